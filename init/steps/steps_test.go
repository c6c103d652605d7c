package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun(t *testing.T) {
	ok := func(context.Context) (string, error) { return "fine", nil }
	bad := func(context.Context) (string, error) { return "", errors.New("no such device") }
	hang := func(context.Context) (string, error) { time.Sleep(time.Hour); return "", nil }
	boom := func(context.Context) (string, error) { panic("oops") }
	for _, c := range []struct {
		name  string
		table []Step
		fails string // the fatal step
		said  string
	}{
		{"all well", []Step{{Name: "a", Run: ok}, {Name: "b", Run: ok}}, "", "step a: fine (0 ms)\nstep b: fine (0 ms)\n"},
		{"a minor one fails", []Step{{Name: "a", Run: bad}, {Name: "b", Run: ok}}, "",
			"step a: no such device (0 ms)\nstep b: fine (0 ms)\n"},
		{"a fatal one fails", []Step{{Name: "a", Fatal: true, Run: bad}, {Name: "b", Run: ok}}, "a", "step a: no such device (0 ms)\n"},
		{"one hangs", []Step{{Name: "a", Fatal: true, Deadline: time.Second, Run: hang}}, "a", "step a: not done after 1s (1200 ms)\n"},
		{"one panics", []Step{{Name: "a", Run: boom}, {Name: "b", Run: ok}}, "", "step a: panic: oops (0 ms)\nstep b: fine (0 ms)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said strings.Builder
				start := time.Now()
				r := &Runner{Uptime: func() time.Duration { return time.Since(start) }, Say: func(f string, a ...any) {
					fmt.Fprintf(&said, f+"\n", a...)
				}}
				err := r.Run(t.Context(), c.table)
				var failure *Failure
				if got := errors.As(err, &failure); got != (c.fails != "") || got && failure.Step != c.fails {
					t.Errorf("got %v, want failure of %q", err, c.fails)
				}
				if said.String() != c.said {
					t.Errorf("said:\n%swant:\n%s", said.String(), c.said)
				}
				time.Sleep(2 * time.Hour) // lets the hanging row end
			})
		})
	}
}
