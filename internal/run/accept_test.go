package run

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// An error of accept is waited out: it ends nothing, is told once while it lasts, and does not spin.
func TestAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		accept := func() (int, error) {
			calls++
			switch {
			case calls < 60:
				return 0, &net.OpError{Op: "accept", Err: unix.EMFILE}
			case calls == 60:
				return 7, nil
			case calls == 61:
				return 0, unix.ECONNABORTED
			case calls == 62:
				return 8, nil
			}
			return 0, net.ErrClosed
		}
		var told []string
		served := make(chan int, 2)
		began := time.Now()
		Accept(t.Context(), accept, func(err error) { told = append(told, err.Error()) }, func(c int) { served <- c })
		if took := time.Since(began); took < 45*time.Second {
			t.Errorf("60 calls in %s: it spins", took)
		}
		got := []int{<-served, <-served}
		slices.Sort(got)
		if !slices.Equal(got, []int{7, 8}) || len(told) != 2 {
			t.Errorf("served %v, told %q: want 7 and 8, two errors", got, told)
		}
	})
}

// The end comes at once, with an error that lasts too.
func TestAcceptEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		Accept(ctx, func() (int, error) { return 0, errors.New("no memory") }, func(error) {}, func(int) {})
		if ctx.Err() == nil {
			t.Error("ended before its context")
		}
	})
}
