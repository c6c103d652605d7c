package hostapi

import (
	"context"
	"sync"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/enroll"
	"hardnode.dev/orchestrator/store"
)

// held are the calls that last, by host: a change of a host's record costs the calls of that host, and any other change costs none of them.
type held struct {
	mu struct {
		sync.Mutex
		calls map[wire.HostID]map[*call]bool
		n     int
	}
}

type call struct {
	host   store.Host
	cancel context.CancelCauseFunc
}

// ended cancels the call if its host is not enrolled in v.
func (c *call) ended(v *store.View) {
	if !enroll.Enrolled(v, c.host) {
		c.cancel(enroll.NotEnrolled(c.host.Name))
	}
}

// hold is the context of a call that ends when its host is removed. end must be called when the call is over.
func (l *held) hold(ctx context.Context, h store.Host, view func() *store.View) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{h, cancel}
	l.mu.Lock()
	if l.mu.calls == nil {
		l.mu.calls = map[wire.HostID]map[*call]bool{}
	}
	if l.mu.calls[h.ID] == nil {
		l.mu.calls[h.ID] = map[*call]bool{}
	}
	l.mu.calls[h.ID][c] = true
	l.mu.n++
	l.mu.Unlock()
	c.ended(view()) // whatever is newer follow finds the call for
	return ctx, func() {
		l.mu.Lock()
		if delete(l.mu.calls[h.ID], c); len(l.mu.calls[h.ID]) == 0 {
			delete(l.mu.calls, h.ID)
		}
		l.mu.n--
		l.mu.Unlock()
		cancel(nil)
	}
}

func (l *held) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.n
}

// follow ends calls until ctx ends.
func (l *held) follow(ctx context.Context, view func() *store.View) error {
	v := view()
	l.end(v, nil, false)
	for {
		select {
		case <-v.Over():
		case <-ctx.Done():
			return nil
		}
		next := view()
		changes, ok := next.Since(v.Revision())
		v = next
		l.end(v, changes, ok)
	}
}

// end ends the calls of hosts that changed and are not enrolled in v; of all hosts if the changes are not known.
func (l *held) end(v *store.View, changes []store.Change, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !known {
		for _, calls := range l.mu.calls {
			for c := range calls {
				c.ended(v)
			}
		}
	}
	for _, change := range changes {
		if change.Kind == store.Hosts.Kind() {
			for c := range l.mu.calls[wire.HostID(change.Name)] {
				c.ended(v)
			}
		}
	}
}
