package hostapi

import (
	"context"
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

	mu struct {
		sync.Mutex
		doc  host.Routes
		raw  []byte // doc, encoded
		over chan struct{}
	}
}

// Get is the newest document and a channel that is closed when there is a newer one. Its Revision is 0 before the first.
func (r *Routes) Get() (host.Routes, <-chan struct{}) {
	doc, _, over := r.get()
	return doc, over
}

// get is Get with the document encoded; neither must be changed.
func (r *Routes) get() (host.Routes, []byte, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.over == nil {
		r.mu.over = make(chan struct{})
	}
	return r.mu.doc, r.mu.raw, r.mu.over
}

// Run follows the store and the hosts until ctx ends. After a start it waits a whole detection time, or until every host has reported,
// before the first document: a resolver that already serves must not lose backends only because we have not heard of them yet.
func (r *Routes) Run(ctx context.Context) error {
	patience := time.NewTimer(r.Fleet.Clocks().Detect)
	defer patience.Stop()
	first, patient := true, true
	var sites world.SiteList
	var at live.Version
	for {
		v := r.Store.View()
		moves, now, moved := r.Fleet.Since(at)
		at = now
		changed := sites.Follow(v, moves)
		if first && patient {
			snapshot, _ := r.Fleet.Snapshot()
			patient = !heard(v, snapshot)
		}
		if !patient && (changed || first) {
			first = false
			r.set(&sites)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		case <-v.Over():
		case <-patience.C:
			patient = false
		}
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

func (r *Routes) set(sites *world.SiteList) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The time keeps revisions growing over restarts, though nothing is stored.
	r.mu.doc, r.mu.raw = sites.Routes(max(r.mu.doc.Revision+1, wire.Revision(time.Now().UnixMilli())))
	if r.mu.over != nil {
		close(r.mu.over)
	}
	r.mu.over = make(chan struct{})
}
