package sites

import "time"

// HoldFor is how long requests wait at most for a node that moves to another host, whatever the routes say.
const HoldFor = 10 * time.Second

// hold is that a backend answers nothing for a moment.
type hold struct {
	over  chan struct{} // closed when it answers again
	until time.Time     // the hold's own end: whoever is to end it may be away
}

// hold begins one, or ends it. One that is going on ends when it would have.
func (b *Backend) hold(yes bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case yes && b.held == nil:
		b.held = &hold{over: make(chan struct{}), until: now.Add(HoldFor)}
	case !yes && b.held != nil:
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
