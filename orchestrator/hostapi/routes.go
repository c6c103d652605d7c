package hostapi

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Routes keeps the resolver's document up to date, in memory: it follows from the store and the hosts' reports. Keeping it, and telling a
// resolver that says what it has, costs what changed.
type Routes struct {
	Store *store.Store
	Fleet *live.Fleet
	// Names are the host names of an environment with their certificates. Default is the certificate of the cluster's domain, the same
	// value until there is another. Nil: there are none.
	Names   func(*store.View, wire.EnvName) []host.SiteName
	Default func(*store.View) *host.Certificate
	// Zone is the cluster's domain in the DNS, the same value until there is another; one without a domain: none is served. Nil: likewise.
	Zone    func(*store.View) *zone.Zone
	Cookies secret.Bytes // the key that resolvers sign cookies with

	mu struct {
		sync.Mutex
		sites    world.SiteList
		pending  []wire.EnvName // changed since the last step
		shared   bool           // likewise, the certificate or the zone of the cluster's domain
		revision wire.Revision  // of the last step; 0: there is no document yet
		steps    []step
		names    int    // in all steps but the first
		raw      []byte // the whole document of that revision, encoded; nil: nobody has asked for it
		over     chan struct{}
		seen     wire.Revision // of the store: the document of that revision follows from it
		asked    map[string]asked
	}
}

// asked is what a resolver had when it asked last.
type asked struct {
	revision wire.Revision
	at       time.Time
}

// silent is how long a resolver that asks no more counts: longer than a poll is held.
const silent = 45 * time.Second

// heard is that a resolver asks, and what it has.
func (r *Routes) heard(who string, has wire.Revision, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.asked == nil {
		r.mu.asked = map[string]asked{}
	}
	r.mu.asked[who] = asked{has, now}
	for other, a := range r.mu.asked {
		if now.Sub(a.at) > silent {
			delete(r.mu.asked, other)
		}
	}
}

// Shown tells whether all resolvers that ask have what follows from the store at that revision; false when none asks.
func (r *Routes) Shown(rev wire.Revision, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rev > r.mu.seen || r.mu.revision == 0 {
		return false
	}
	needs := r.mu.revision
	for _, s := range slices.Backward(r.mu.steps) {
		if s.store < rev {
			break
		}
		needs = s.revision
	}
	some := false
	for _, a := range r.mu.asked {
		if now.Sub(a.at) > silent {
			continue
		}
		if some = true; a.revision < needs {
			return false
		}
	}
	return some
}

// step is a change of the document: what became another one since the revision before.
type step struct {
	revision wire.Revision
	changed  []wire.EnvName
	shared   bool // the certificate and the zone of the cluster's domain too
	store    wire.Revision
}

// keptNames is how many names of changed sites are remembered: a resolver that has what was before them is sent all.
const keptNames = 10_000

// Get is the newest document and a channel that is closed when there is a newer one. Its Revision is 0 before the first.
func (r *Routes) Get() (host.Routes, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.revision == 0 {
		return host.Routes{}, r.over()
	}
	doc, _ := r.mu.sites.Routes(r.mu.revision)
	return doc, r.over()
}

// over is closed when there is a newer document; mu is held.
func (r *Routes) over() <-chan struct{} {
	if r.mu.over == nil {
		r.mu.over = make(chan struct{})
	}
	return r.mu.over
}

// news is what leads a resolver that has revision from, 0 being nothing, to the newest document, encoded: the whole of it, or, if it takes
// changes and what it has is known here, these alone. Nil: it has the newest, or there is none, until the channel is closed.
func (r *Routes) news(from wire.Revision, changes bool) ([]byte, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.revision == from || r.mu.revision == 0 {
		return nil, r.over(), nil
	}
	if at := slices.IndexFunc(r.mu.steps, func(s step) bool { return s.revision == from }); changes && at >= 0 {
		changed, shared := map[wire.EnvName]bool{}, false
		for _, s := range r.mu.steps[at+1:] {
			shared = shared || s.shared
			for _, name := range s.changed {
				changed[name] = true
			}
		}
		raw, err := json.Marshal(r.mu.sites.Change(from, r.mu.revision, changed, shared))
		return raw, nil, err
	}
	if r.mu.raw == nil {
		_, r.mu.raw = r.mu.sites.Routes(r.mu.revision)
	}
	return r.mu.raw, nil, nil
}

// Run follows the store and the hosts until ctx ends. After a start it waits a whole detection time, or until every host has reported,
// before the first document: a resolver that already serves must not lose backends only because we have not heard of them yet.
func (r *Routes) Run(ctx context.Context) error {
	patience := time.NewTimer(r.Fleet.Clocks().Detect)
	defer patience.Stop()
	patient := true
	var at live.Version
	for {
		v := r.Store.View()
		moves, now, moved := r.Fleet.Since(at)
		at = now
		if patient {
			snapshot := r.Fleet.Snapshot()
			patient = !heard(v, snapshot)
		}
		r.take(v, moves, !patient)
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

// take follows what changed. If told is set a new document is made when a site changed since the last one, or when there is none yet.
func (r *Routes) take(v *store.View, moves []live.Move, told bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.sites.Names, r.mu.sites.Cookies = r.Names, r.Cookies
	r.mu.pending = append(r.mu.pending, r.mu.sites.Follow(v, moves)...)
	first, shared := r.mu.revision == 0, false
	if r.Default != nil {
		if c := r.Default(v); c != r.mu.sites.Default {
			r.mu.sites.Default, r.mu.shared = c, true
		}
	}
	if r.Zone != nil {
		if z := r.Zone(v); z != r.mu.sites.Zone {
			r.mu.sites.Zone, r.mu.shared = z, true
		}
	}
	shared = r.mu.shared
	if !told {
		return
	}
	r.mu.seen = v.Revision()
	if len(r.mu.pending) == 0 && !first && !shared {
		return
	}
	// The time keeps revisions growing over restarts, though nothing is stored.
	r.mu.revision = max(r.mu.revision+1, wire.Revision(time.Now().UnixMilli()))
	if first {
		r.mu.pending = nil // nobody has what was before
	}
	r.mu.steps = append(r.mu.steps, step{r.mu.revision, r.mu.pending, shared, r.mu.seen})
	r.mu.names += len(r.mu.pending)
	for len(r.mu.steps) > 1 && r.mu.names > keptNames {
		r.mu.names -= len(r.mu.steps[1].changed)
		r.mu.steps = r.mu.steps[1:]
	}
	r.mu.pending, r.mu.shared, r.mu.raw = nil, false, nil
	if r.mu.over != nil {
		close(r.mu.over)
	}
	r.mu.over = make(chan struct{})
}
