package smoke

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// None is run before somebody asks; then until one goes well, and no more.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		smoke := New(func(context.Context) error {
			time.Sleep(time.Second)
			if runs.Add(1) < 3 {
				return errors.Join(errors.New("idmap: no"), errors.New("undo: no"))
			}
			return nil
		}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- smoke.Run(ctx) }()
		time.Sleep(time.Hour)
		if n := runs.Load(); n != 0 {
			t.Fatalf("%d ran though nobody asked", n)
		}
		for _, want := range []string{"no smoke container has run yet", "the smoke container: idmap: no; undo: no",
			"the smoke container: idmap: no; undo: no", ""} {
			if got := smoke.Why(); got != want {
				t.Errorf("after %d: %q, want %q", runs.Load(), got, want)
			}
			time.Sleep(again + time.Second/2)
		}
		time.Sleep(time.Hour)
		if n := runs.Load(); n != 3 || smoke.Why() != "" {
			t.Errorf("%d ran, %q", n, smoke.Why())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// An end in the middle of one says nothing of it.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		smoke := New(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		smoke.Why()
		if err := smoke.Run(ctx); err != nil || smoke.Why() != "no smoke container has run yet" {
			t.Errorf("%v, %q", err, smoke.Why())
		}
	})
}
