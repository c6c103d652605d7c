package apply

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// The busier the host, the fewer containers are started at once; one whose start hangs holds nobody up even then.
func TestStartsArePaced(t *testing.T) {
	for _, c := range []struct {
		cpu  float64
		want int // started in the first two seconds and a half, a second each
	}{{0, 8}, {50, 4}, {100, 2}} {
		in(t, func(t *testing.T, w *world, dir string) {
			w.pressure.CPU = c.cpu
			var all []host.Container
			for id := wire.CTID(101); id <= 112; id++ {
				w.startTakes[id] = time.Second
				all = append(all, ct(id, 1))
			}
			w.agent(t, dir).want(t, all...)
			time.Sleep(2500 * time.Millisecond)
			if got := strings.Count(w.log(), "start "); got != c.want {
				t.Errorf("at %.0f %% CPU pressure: %d started, want %d", c.cpu, got, c.want)
			}
		})
	}
	in(t, func(t *testing.T, w *world, dir string) {
		w.pressure.CPU, w.startTakes[101] = 100, 50*time.Second
		w.agent(t, dir).want(t, ct(101, 1), ct(102, 1))
		time.Sleep(10 * time.Second)
		if got := w.log(); !strings.Contains(got, "start 102") {
			t.Errorf("behind a start that hangs: got %s, want 102 started", got)
		}
	})
}

// Rounds without a cause take a hundredth of the time at most, and come every minute at least.
func TestPace(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: time.Second, 2 * time.Millisecond: time.Second, 10 * time.Millisecond: time.Second, 40 * time.Millisecond: 4 * time.Second,
		300 * time.Millisecond: 30 * time.Second, time.Minute: time.Minute,
	} {
		if got := pace(took); got != want {
			t.Errorf("after %v: %v, want %v", took, got, want)
		}
	}
}
