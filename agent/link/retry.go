package link

import (
	"context"
	"time"

	"hardnode.dev/internal/run"
)

// How long the link waits before it asks again, but for the spread (run.Backoff).
const (
	waitFirst   = 200 * time.Millisecond // after the first failure; then twice as long each time, up to
	waitSilent  = 2 * time.Second        // while nothing answers: the orchestrator may be booting
	waitRefused = 4 * time.Second        // after an answer that says no: that may be true for a moment only
	waitJoin    = 15 * time.Second       // the same before the host has joined: mostly a person must do something first
	waitRenew   = time.Minute            // for a certificate that is still good
)

// retry is a call that is made again and again until it succeeds. The zero value has not failed.
type retry struct {
	failed int
	said   bool // the last failure was an answer that says no
	most   time.Duration
}

// next is how long to wait after a failure. The first no after a silence is no reason to wait long: an orchestrator that stood still says
// no to what is left of that time.
func (r *retry) next(said bool, spread float64) time.Duration {
	most := waitSilent
	if said {
		most = max(r.most, waitRefused)
	}
	if said && !r.said {
		r.failed = min(r.failed, 2)
	}
	r.said = said
	r.failed++
	return run.Backoff(r.failed-1, waitFirst, most, spread)
}

// ok: the call succeeded.
func (r *retry) ok() { r.failed, r.said = 0, false }

// wait waits before the next try; false: ctx has ended.
func (r *retry) wait(ctx context.Context, err error) bool {
	_, said := problemOf(err)
	return run.Wait(ctx, r.next(said, spread()))
}

// renewWait is how long to wait after the n-th failed renewal in a row of a certificate that is good for left. Without a good one the host
// is not heard, so it asks for it as often as for anything else.
func renewWait(n int, left time.Duration, spread float64) time.Duration {
	most := waitRenew
	if left <= 0 {
		most = waitRefused
	}
	return run.Backoff(n, time.Second, most, spread)
}
