// Package sites knows which nodes serve which host name, and which of them are well.
//
// Owns: the table of sites, the health of each backend, whose turn it is.
// In: Routes from the orchestrator; news of backends that failed or came back.
// Out: the site of a Host header; the next backend to try.
// Never: opens a connection, or drops what it knows of a backend because of a new Routes document.
package sites

import (
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/zone"
)

// Book holds the table in force. Its zero value holds none.
type Book struct {
	mu    sync.Mutex // held by Replace
	table atomic.Pointer[Table]
}

// Table is one Routes document, ready for look-ups. It does not change.
type Table struct {
	Revision wire.Revision
	Zone     *zone.Zone // the cluster's domain in the DNS; nil: none is served
	Moved    bool       // some of the backends that stayed are on another host than in the table before
	sites    []*Site
	names    map[string]*Name
	certs    certificates
	backends map[key]*Backend
	held     []*Backend // those that the document has so
}

type key struct {
	ctid wire.CTID
	addr string
}

// Site is one environment.
type Site struct {
	Env      wire.EnvName
	Domain   string
	Running  bool
	State    string          // the environment's state, for the page
	Check    string          // path of the backends' check; "" is a TCP connection
	Front    *front.Settings // nil: all as usual
	Since    time.Time       // when the environment was created
	Pass     []byte          // SHA-256 of what lets a person in during maintenance; empty: nothing does
	Backends []*Backend
	shares   []uint32 // of the backends, 0 to front.MaxWeight
	uneven   bool     // they are not all the same
	marks    []string // of the backends; empty: clients don't stay with one
	turn     *atomic.Uint32
	waiting  *atomic.Int32
	sources  *limit.Gate // of requests by client; nil: all have what the resolver gives all
}

// Table is the table in force, or nil before the first.
func (b *Book) Table() *Table { return b.table.Load() }

// Replace puts a document in force. Backends that stay keep their health and their connections.
func (b *Book) Replace(r host.Routes) *Table {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, now := b.table.Load(), time.Now()
	t := &Table{Revision: r.Revision, Zone: r.Zone, names: make(map[string]*Name, len(r.Sites)),
		certs: certificates{made: map[[32]byte]*tls.Certificate{}}, backends: map[key]*Backend{}}
	var certs *certificates
	if old != nil {
		certs = &old.certs
	}
	t.certs.setCluster(r.Default, certs)
	for _, s := range r.Sites {
		site := &Site{Env: s.Env, Domain: s.Domain, Running: s.Running, State: s.State, Check: s.Check, Front: s.Front,
			Since: s.Since, Pass: s.Pass, turn: &atomic.Uint32{}, waiting: &atomic.Int32{}}
		each := 0
		if s.Front != nil {
			each = s.Front.PerSource
		}
		for _, be := range s.Backends {
			k := key{be.CTID, be.Addr.String()}
			x := t.backends[k]
			if x == nil && old != nil {
				x = old.backends[k]
			}
			if x == nil {
				x = newBackend(be.CTID, k.addr, be.Host)
			}
			x.hold(be.Held, now)
			t.Moved = x.on(be.Host) || t.Moved
			if be.Held {
				t.held = append(t.held, x)
			}
			t.backends[k] = x
			site.Backends, site.shares = append(site.Backends, x), append(site.shares, share(be))
			site.uneven = site.uneven || site.shares[0] != share(be)
			if s.Front != nil && s.Front.Sticky && len(r.Cookies) > 0 {
				site.marks = append(site.marks, mark(r.Cookies, s.Env, be.CTID))
			}
		}
		if old != nil {
			if o := old.names[s.Domain]; o != nil && o.Site.Env == s.Env {
				site.turn, site.waiting = o.Site.turn, o.Site.waiting
				if g := o.Site.sources; g != nil && g.Each == each {
					site.sources = g
				}
			}
		}
		if each > 0 && site.sources == nil {
			site.sources = &limit.Gate{Each: each}
		}
		t.sites = append(t.sites, site)
		t.nameSite(site, s, certs)
	}
	if old != nil {
		for k, x := range old.backends {
			if t.backends[k] == nil {
				x.hold(false, now) // who waits looks where the site's nodes are now
			}
		}
	}
	b.table.Store(t)
	return t
}

// Lookup is the site of a Host header, or nil.
func (t *Table) Lookup(hostHeader string) *Site {
	if n := t.Name(hostHeader); n != nil {
		return n.Site
	}
	return nil
}

// Sites are all sites, in no order. The list is not the caller's.
func (t *Table) Sites() []*Site { return t.sites }

// Count is how many sites there are.
func (t *Table) Count() int { return len(t.sites) }

// Normalize makes the name of a Host header (RFC 9110, section 7.2) comparable: no port, lower case, no trailing dot. ok is false when
// the header can name no site: it is empty, an address in brackets, or has something that is no port behind the colon.
func Normalize(h string) (name string, ok bool) {
	if i := strings.IndexByte(h, ':'); i >= 0 {
		for _, c := range []byte(h[i+1:]) {
			if c < '0' || c > '9' {
				return "", false
			}
		}
		h = h[:i]
	}
	h = strings.TrimSuffix(h, ".")
	if h == "" || len(h) > 253 || h[0] == '[' {
		return "", false
	}
	return strings.ToLower(h), true // does not allocate when it is lower-case already
}

// FreeBeside tells whether another backend than b is up and not held.
func (s *Site) FreeBeside(b *Backend, now time.Time) bool {
	return slices.ContainsFunc(s.Backends, func(x *Backend) bool {
		_, _, held := x.Held(now)
		return x != b && x.Up() && !held
	})
}

// Wait counts one more request that waits for a node, if no more than limit then wait. Each Wait that was granted ends with Done.
func (s *Site) Wait(limit int32) bool {
	if s.waiting.Add(1) <= limit {
		return true
	}
	s.waiting.Add(-1)
	return false
}

// Done ends a Wait.
func (s *Site) Done() { s.waiting.Add(-1) }
