package apply

import (
	"context"
	"errors"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// The machine is being left: all that runs is stopped at once, each in its own time, what does not end is killed at the end of it, what is
// under way is given up, and nothing is started any more.
func TestLeave(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		w.startErr[105] = errors.New("it fails")
		rev := a.want(t, ct(101, 1), ct(102, 1), ct(103, 1), ct(105, 1))
		time.Sleep(3 * time.Second)
		w.mu.Lock()
		w.stopTakes = map[wire.CTID]time.Duration{102: 20 * time.Second, 103: time.Hour}
		w.startTakes[104] = time.Minute
		w.mu.Unlock()
		a.want(t, ct(101, 1), ct(102, 1), ct(103, 1), ct(104, 1), ct(105, 1))
		time.Sleep(time.Second)
		w.mu.Lock()
		w.done = nil
		w.mu.Unlock()

		began := time.Now()
		var most int
		for left := range a.Leave("the host is being left", began.Add(30*time.Second)) {
			most = max(most, len(left))
			if since := time.Since(began); since > 5*time.Second && since < 15*time.Second && len(left) != 2 {
				t.Errorf("left after %s: %v, want 102 and 103", since, left)
			}
		}
		if took := time.Since(began); took < 30*time.Second || took > 33*time.Second || most < 3 {
			t.Errorf("left after %s, at most %d containers at once: want 30 s and at least 3", took, most)
		}
		expect(t, "done", w.log(), "stop 101, stop 102, kill 103, stop 103")
		time.Sleep(2 * time.Minute)
		expect(t, "done later", w.log(), "stop 101, stop 102, kill 103, stop 103")
		r := a.Report()
		expect(t, "states", states(r), "101 stopped, 102 stopped, 103 stopped, 104 stopped, 105 stopped")
		for _, s := range r.Containers {
			if s.Reason != "the host is being left" {
				t.Errorf("container %d: reason %q", s.CTID, s.Reason)
			}
		}
		if r.Planned == rev+1 && r.Work == rev+1 {
			t.Errorf("applied %d: what the Assignment says is not so", r.Work)
		}
	})
}

// A stop that was under way when the machine is left begins anew, within what is left of the time.
func TestLeaveWhileStopping(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		c := ct(101, 1)
		a.want(t, c)
		time.Sleep(3 * time.Second)
		w.mu.Lock()
		w.stopTakes = map[wire.CTID]time.Duration{101: time.Hour}
		w.mu.Unlock()
		c.Run, c.Process = false, host.Process{Argv: c.Process.Argv, StopAfter: 3600}
		a.want(t, c)
		time.Sleep(3 * time.Second)
		began := time.Now()
		for range a.Leave("it is left", began.Add(10*time.Second)) {
		}
		if took := time.Since(began); took < 10*time.Second || took > 13*time.Second {
			t.Errorf("left after %s, want 10 s", took)
		}
	})
}

// With nothing that runs there is nothing to wait for.
func TestLeaveEmpty(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		time.Sleep(3 * time.Second)
		began := time.Now()
		for left := range a.Leave("it is left", began.Add(time.Minute)) {
			t.Errorf("left: %v", left)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// An agent that comes up while the machine is being left stops what it finds and starts nothing, though that is wanted: not even for a
// moment.
func TestLeaveFromTheStart(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		a := w.agent(t, dir)
		a.want(t, ct(101, 1), ct(102, 1))
		time.Sleep(3 * time.Second)
		a.stop() // killed; 102 has ended by then
		if err := w.Stop(t.Context(), 102); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.done = nil
		w.stopTakes = map[wire.CTID]time.Duration{101: 5 * time.Second}
		w.mu.Unlock()
		began := time.Now()
		b := New(a.o)
		left := b.Leave("its host is being left", began.Add(30*time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		most := 0
		for now := range left {
			most = max(most, len(now))
		}
		if took := time.Since(began); took < 5*time.Second || took > 8*time.Second || most != 1 {
			t.Errorf("left after %s, at most %d at once: want 5 s and 1", took, most)
		}
		time.Sleep(time.Minute)
		expect(t, "done", w.log(), "stop 101")
		cancel()
		<-done
	})
}
