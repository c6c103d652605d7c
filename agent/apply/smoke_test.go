package apply

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/internal/wire"
)

// A smoke container runs, is let in by the network before it does, and leaves nothing; no report names it. What goes wrong is said.
func TestSmoke(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*world)
		want string // in the error; "": none
		runs bool   // it was started
	}{
		{"it ends well", func(w *world) {}, "", true},
		{"it can't be started", func(w *world) { w.startErr[smokeCTID] = errors.New("idmap: no rights") }, "idmap: no rights", false},
		{"it does not reach its host", func(w *world) {
			w.codes[smokeCTID] = 1
			w.said = map[wire.CTID]string{smokeCTID: `{"version":1,"init":"app","error":{"code":"unavailable","reason":"no answer"}}`}
		}, "it ended with code 1: no answer", true},
		{"its program can't run", func(w *world) {
			w.codes[smokeCTID] = 139
			w.said = map[wire.CTID]string{smokeCTID: "illegal instruction"}
		}, `it ended with code 139: "illegal instruction\n"`, true},
		{"it hangs", func(w *world) { w.lives[smokeCTID] = time.Hour }, "it has not ended after 20s (running)", true},
		{"the network is broken", func(w *world) { w.cut = true }, "the host's network did not take it in within 20s", false},
		{"an earlier one was left", func(w *world) {
			w.cts[smokeCTID] = container.Observed{CTID: smokeCTID, State: container.StateExited, ExitKnown: true, ExitCode: 7}
		}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, w *world, dir string) {
				w.codes = map[wire.CTID]int{smokeCTID: 0}
				w.lives[smokeCTID] = 50 * time.Millisecond
				c.set(w)
				a := w.agent(t, dir)
				a.want(t, ct(100, 1))
				time.Sleep(3 * time.Second)
				done := make(chan error, 1)
				go func() { done <- a.Smoke(t.Context()) }()
				var err error
				for over := false; !over; {
					select {
					case err = <-done:
						over = true
					case <-time.After(5 * time.Millisecond):
					}
					for _, s := range a.Report().Containers {
						if s.CTID == smokeCTID {
							t.Fatalf("it is reported: %+v", s)
						}
					}
				}
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%v, want %q", err, c.want)
				}
				time.Sleep(3 * time.Second)
				w.mu.Lock()
				defer w.mu.Unlock()
				if _, left := w.cts[smokeCTID]; left || slices.Contains(w.ends, smokeCTID) {
					t.Errorf("it is left: %+v, %d", w.cts[smokeCTID], w.ends)
				}
				if runs := slices.Contains(w.attached, smokeCTID); runs != c.runs {
					t.Errorf("connected: %v", runs)
				}
			})
		})
	}
}

// What an agent that was killed has left of one is removed by the next, and its range given back; nobody hears of it.
func TestSmokeLeft(t *testing.T) {
	in(t, func(t *testing.T, w *world, dir string) {
		w.lives[smokeCTID] = time.Hour
		a := w.agent(t, dir)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(time.Second / 2)
		w.mu.Lock()
		w.cts[smokeCTID] = container.Observed{CTID: smokeCTID, State: container.StateOrphan}
		w.mu.Unlock()
		if _, err := a.store.UIDBase(smokeCTID, false); err != nil {
			t.Fatal(err)
		}
		for ctx.Err() == nil {
			if n := len(a.Report().Containers); n != 0 {
				t.Fatalf("%d containers are reported", n)
			}
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		if !strings.Contains(w.log(), "remove 999999999 keep=false") {
			t.Errorf("done: %s", w.log())
		}
	})
}
