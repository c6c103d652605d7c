//go:build guest

package container

import (
	"context"
	"errors"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
)

// An agent that ends in the middle of a stop does not kill: the container keeps the time it was given, and the next agent goes on.
func TestStopGivenUp(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 408, "trap 'echo asked; sleep 3; echo ended; exit 0' TERM; echo up; while :; do sleep 1; done")
	s.Process.StopAfter = 60
	mustStart(t, r, s)
	said := func(want string) bool {
		found := false
		r.Logs(deadline(t), 408, host.LogsSpec{Tail: 5}, func(_ bool, l []byte) error { found = found || string(l) == want; return nil })
		return found
	}
	until := func(want string) {
		t.Helper()
		for range 300 {
			if said(want) {
				return
			}
			run.Wait(context.Background(), 100*time.Millisecond)
		}
		t.Fatalf("never said %q", want)
	}
	until("up")
	ctx, cancel := context.WithCancel(deadline(t))
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(ctx, 408) }()
	until("asked")
	cancel()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("a stop that is given up: %v", err)
	}
	if o := waitState(t, r, 408, StateExited); o.ExitCode != 0 || !said("ended") {
		t.Errorf("after that: %+v, said its last: %v", o, said("ended"))
	}
	if err := r.Stop(deadline(t), 408); err != nil {
		t.Error(err)
	}
}
