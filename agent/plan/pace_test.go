package plan

import (
	"testing"

	"hardnode.dev/internal/wire/host"
)

func TestPaceUnderPressure(t *testing.T) {
	for _, c := range []struct {
		name string
		p    host.Pressure
		want int

		checks, patience int
	}{
		{"nothing to do, or a kernel that doesn't tell", host.Pressure{}, 4, 64, 1},
		{"a busy host", host.Pressure{CPU: 39, Memory: 4, IO: 29}, 4, 64, 1},
		{"half of the time somebody waits for a CPU", host.Pressure{CPU: 50}, 2, 16, 2},
		{"a slow disk", host.Pressure{IO: 30}, 2, 16, 2},
		{"memory is short", host.Pressure{Memory: 5}, 2, 16, 2},
		{"four times too much to do", host.Pressure{CPU: 99}, 1, 4, 5},
		{"a disk that stands still", host.Pressure{IO: 100}, 1, 4, 5},
		{"thrashing", host.Pressure{Memory: 25, CPU: 10}, 1, 4, 5},
	} {
		if got := Starts(c.p); got != c.want {
			t.Errorf("%s: %d starts at once, want %d", c.name, got, c.want)
		}
		if n, patience := Checks(c.p); n != c.checks || patience != c.patience {
			t.Errorf("%s: %d checks at once, each %d times as long, want %d and %d", c.name, n, patience, c.checks, c.patience)
		}
	}
}
