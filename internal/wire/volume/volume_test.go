package volume

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[Use](t, "use") }

func TestForPeople(t *testing.T) {
	for _, c := range []struct {
		u       Use
		percent int
		size    string
	}{
		{Use{Bytes: 5 << 20}, 0, "no limit"},
		{Use{Bytes: 5 << 20, Limit: 20 << 20}, 25, "20 MiB"},
		{Use{Bytes: 1 << 62, Limit: 1 << 62}, 100, "4398046511104 MiB"},
		{Use{Bytes: 30 << 20, Limit: 20 << 20}, 150, "20 MiB"},
	} {
		if c.u.Percent() != c.percent || c.u.Size() != c.size {
			t.Errorf("%+v: %d %%, %q, want %d %%, %q", c.u, c.u.Percent(), c.u.Size(), c.percent, c.size)
		}
	}
}
