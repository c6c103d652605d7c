package operator

import (
	"strings"
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"90s": "2026-11-25T11:58:30Z", "2h30m": "2026-11-25T09:30:00Z", "7d": "2026-11-18T12:00:00Z", "1d12h": "2026-11-24T00:00:00Z",
		"0s": "2026-11-25T12:00:00Z", "0": "2026-11-25T12:00:00Z",
		"2026-11-25T11:00:00Z": "2026-11-25T11:00:00Z", "2026-11-25T13:00:00+02:00": "2026-11-25T11:00:00Z",
		"2026-11-25t11:00:00.5z": "2026-11-25T11:00:00.5Z", "2026-11-24": "2026-11-24T00:00:00Z",
		"": "no time", "yesterday": "no time", "10": "no time", "-5m": "in the past", "-1d": "no time", "1d-2h": "no time",
		"99999d": "no time", "100000h": "in the past", "2026-13-01": "no time",
		"2026-11-26T00:00:00Z": "in the future", "d": "no time", "1.5d": "no time", "9999999h9999999h9999999h": "no time",
	} {
		got, err := ParseSince(text, now)
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && got.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q: got %v, %v; want %s", text, got, err, want)
		}
	}
}
