package scrub

import (
	"testing"
	"time"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[Status](t, "status") }

func TestLine(t *testing.T) {
	at := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	for want, s := range map[string]Status{
		"never yet; the first one begins 2026-11-27":               {Next: at},
		"under way since 2026-11-27T10:00:00Z, 40 %, 512 MiB read": {Began: at, Percent: 40, Bytes: 512 << 20},
		"ended 2026-11-27T10:00:00Z, 3 MiB read, 1 blocks mended":  {Began: at, Ended: at, Bytes: 3 << 20, Corrected: 1},
		"ended 2026-11-27T10:00:00Z, 3 MiB read, 1 blocks mended, 2 blocks lost": {Began: at, Ended: at, Bytes: 3 << 20, Corrected: 1,
			Unreadable: 2},
	} {
		if got := s.Line(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
