package run

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Waits between attempts to accept that failed.
const (
	acceptMin = 5 * time.Millisecond
	acceptMax = time.Second
)

// Accept hands each connection to a goroutine of its own until ctx ends or the listener is closed, and returns when all are done. Any other
// error of accept passes sooner or later (no descriptors or memory left, a client that gave up: accept(2), "Error handling"): it is told
// when it begins, and accept is called again after a while.
func Accept[C any](ctx context.Context, accept func() (C, error), tell func(error), serve func(C)) {
	var conns sync.WaitGroup
	defer conns.Wait()
	failed, last := 0, ""
	for {
		c, err := accept()
		if err == nil {
			failed, last = 0, ""
			conns.Go(func() { serve(c) })
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		if err.Error() != last {
			tell(err)
		}
		last = err.Error()
		if !Wait(ctx, Backoff(failed, acceptMin, acceptMax, 0.5)) {
			return
		}
		failed++
	}
}
