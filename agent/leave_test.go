package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hardnode.dev/internal/wire"
)

// What init and the console hear while containers are being stopped: each change, a sign of life every few seconds, and how it ended.
func TestTellLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []int // containers that still run, 4 s apart; the channel is closed after the last
		stuck bool  // it is never closed
		want  string
		said  string
	}{
		{"none", nil, false, "no containers ran", ""},
		{"all end", []int{3, 1}, false, "3 containers stopped in 8s",
			"STATUS=stopping containers: 1 of 3 still run (100); at most 26s more"},
		{"many", []int{9}, false, "9 containers stopped in 4s", "9 of 9 still run (100, 101, 102, 103, 104 and 4 more)"},
		{"one is killed", []int{3, 1, 1, 1, 1, 1, 1, 1, 1}, false, "2 containers stopped; killed at the end of the time: 100",
			"at most 0s more"},
		{"one does not die", []int{2, 1}, true, "containers that don't end are left to init: 100",
			"1 of 2 still run (100); at most 0s more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				left := make(chan []wire.CTID)
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					for _, n := range c.steps {
						var ids []wire.CTID
						for i := range n {
							ids = append(ids, wire.CTID(100+i))
						}
						select {
						case left <- ids:
						case <-ctx.Done():
							return
						}
						time.Sleep(4 * time.Second)
					}
					if !c.stuck {
						close(left)
					}
				}()
				var said []string
				last := time.Now()
				got := tellLeft(ctx, left, time.Now().Add(30*time.Second), func(s string) {
					if since := time.Since(last); since > sayEvery {
						t.Errorf("silent for %s", since)
					}
					last = time.Now()
					if !strings.HasPrefix(s, "EXTEND_TIMEOUT_USEC=20000000\n") {
						t.Errorf("said %q: asks for no time", s)
					}
					said = append(said, s)
				})
				cancel()
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if c.said != "" && !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, c.said) }) {
					t.Errorf("never said %q, but %q", c.said, said)
				}
			})
		})
	}
}
