package hostapi

import (
	"context"
	"sync"
	"sync/atomic"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/enroll"
	"hardnode.dev/orchestrator/store"
)

// held are the calls that last, by host. A change of a host's record, Work or System costs the calls of that host, one of what all hosts
// are told costs all but those that wait for their place in a turn, and any other change of the store costs none.
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
	news   chan struct{} // there may be something to tell the host; a hint
	placed atomic.Bool   // its host is told of what all are told when its place in the turn comes
}

// callKey finds the call in its context.
type callKey struct{}

// news delivers a hint after each change of the store that a host may be told of: of its record, its Work, its System, and what all hosts
// are told.
func news(ctx context.Context) <-chan struct{} {
	c, _ := ctx.Value(callKey{}).(*call)
	return c.news
}

// inTurn tells that the call waits for its host's place in a turn. It gets no more hints of what all hosts are told, but for names of an
// environment that the host runs a node of.
func inTurn(ctx context.Context) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.placed.Store(true)
	}
}

func (c *call) hint() {
	select {
	case c.news <- struct{}{}:
	default:
	}
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
	c := &call{host: h, cancel: cancel, news: make(chan struct{}, 1)}
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
	return context.WithValue(ctx, callKey{}, c), func() {
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

// end hints at what changed, and ends the calls of hosts that are not enrolled in v. If the changes are not known, all may have changed.
func (l *held) end(v *store.View, changes []store.Change, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := !known
	for _, change := range changes {
		all = all || ofAll(change)
		if ofHost := change.Kind == store.Hosts.Kind(); ofHost || change.Kind == store.Works.Kind() || change.Kind == store.Systems.Kind() {
			for c := range l.mu.calls[wire.HostID(change.Name)] {
				if c.hint(); ofHost {
					c.ended(v)
				}
			}
		}
		if change.Kind == store.EnvNames.Kind() {
			for n := range store.NodesOf.Of(v, change.Name) {
				for c := range l.mu.calls[n.Host] {
					c.hint()
				}
			}
		}
	}
	if !all {
		return
	}
	for _, calls := range l.mu.calls {
		for c := range calls {
			if !known {
				c.ended(v)
			}
			if !known || !c.placed.Load() {
				c.hint()
			}
		}
	}
}

// ofAll tells whether a change may be one of what all hosts are told: who they are, or the names of an environment.
func ofAll(c store.Change) bool {
	switch c.Kind {
	case store.PeersDoc.Kind(), store.EnvNames.Kind(), store.Envs.Kind(), store.Clusters.Kind():
		return true
	case store.Numbers.Kind():
		return c.Name == store.Published
	}
	return false
}
