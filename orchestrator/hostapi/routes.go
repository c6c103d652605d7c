package hostapi

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Routes keeps the resolver's document up to date, in memory: it follows from the store and the hosts' reports.
type Routes struct {
	Store *store.Store
	Fleet *live.Fleet
	World func() world.World

	mu struct {
		sync.Mutex
		doc  host.Routes
		raw  string // the sites, encoded
		over chan struct{}
	}
}

// Get is the newest document, and a channel that is closed when there is a newer one. Its Revision is 0 before the first.
func (r *Routes) Get() (host.Routes, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.over == nil {
		r.mu.over = make(chan struct{})
	}
	return r.mu.doc, r.mu.over
}

// Run follows the world until ctx ends. After a start it waits a whole detection time, or until every host has reported, before the
// first document: a resolver that already serves must not lose backends only because we have not heard of them yet.
func (r *Routes) Run(ctx context.Context) error {
	patience := time.Now().Add(r.Fleet.Clocks().Detect)
	for {
		snapshot, fleet := r.Fleet.Snapshot()
		v := r.Store.View()
		if time.Now().After(patience) || heard(v, snapshot) {
			r.set(r.World().Sites())
		}
		t := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-fleet:
		case <-v.Over():
		case <-t.C:
		}
		t.Stop()
		if !run.Wait(ctx, 5*time.Millisecond) {
			return nil
		}
	}
}

// heard tells whether every host that has nodes has reported.
func heard(v *store.View, s live.Snapshot) bool {
	for n := range store.Nodes.Rows(v) {
		if n.HTTP != 0 && !n.Gone && s[n.Host].Report == nil {
			return false
		}
	}
	return true
}

func (r *Routes) set(sites []host.Site) {
	raw, err := json.Marshal(sites)
	if err != nil {
		panic("BUG: routes: " + err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if string(raw) == r.mu.raw {
		return
	}
	r.mu.raw = string(raw)
	// The time keeps revisions growing over restarts, though nothing is stored.
	r.mu.doc = host.Routes{Version: 1, Revision: max(r.mu.doc.Revision+1, wire.Revision(time.Now().UnixMilli())), Sites: sites}
	if r.mu.over != nil {
		close(r.mu.over)
	}
	r.mu.over = make(chan struct{})
}
