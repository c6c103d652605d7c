package sites

import (
	"context"
	"time"

	"hardnode.dev/internal/wire/hold"
)

// HoldFor is how long requests wait at most for a node that moves to another host or is started anew, whatever the routes say.
const HoldFor = 10 * time.Second

// holding is that a backend answers nothing for a moment.
type holding struct {
	over  chan struct{} // closed when it answers again
	until time.Time     // the hold's own end: whoever is to end it may be away
}

// hold begins one, or ends it. One that is going on ends when it would have. Whoever ends it says that the backend serves: what was found
// out while it was stopped counts for nothing.
func (b *Backend) hold(yes bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case yes && b.held == nil:
		b.held = &holding{over: make(chan struct{}), until: now.Add(HoldFor)}
	case !yes && b.held != nil:
		if !b.up {
			b.up = true
			b.life, b.end = context.WithCancelCause(context.Background())
		}
		close(b.held.over)
		b.held = nil
	}
}

// Held tells whether what is for the backend is to wait: until over is closed, and for left at most.
func (b *Backend) Held(now time.Time) (over <-chan struct{}, left time.Duration, held bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil || !now.Before(b.held.until) {
		return nil, 0, false
	}
	return b.held.over, b.held.until.Sub(now), true
}

// Held are the backends that are held, each with the requests that are under way to it. One that has a request under way gets no other one
// until the hold's end: whoever counts itself by Enter and finds it held then goes back (Leave) and waits.
func (t *Table) Held(now time.Time) (out []hold.Node) {
	for _, b := range t.held {
		if _, _, held := b.Held(now); held {
			out = append(out, hold.Node{CTID: b.CTID, Busy: int(b.busy.Load())})
		}
	}
	return out
}
