package world

import (
	"cmp"
	"net/netip"
	"slices"

	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Sites is what the resolver serves: every user environment with an HTTP port, its backends being the nodes that were seen running and
// healthy on a host that answers now, or that replaces its programs. Where there is none of those, nodes that ran on another UNREACHABLE
// host that is not lost count too: what does not report may serve all the same, and the resolver sees for itself.
func (w World) Sites() []host.Site {
	out := []host.Site{}
	for _, e := range store.Envs.Refs(w.View) {
		if s, ok := w.site(e); ok {
			out = append(out, s)
		}
	}
	return out
}

// site is one of Sites, by its environment's record, which may be nil; false if the environment is none.
func (w World) site(e *store.Environment) (host.Site, bool) {
	if e == nil || e.System || e.Want == store.WantDeleted || e.InTrash() || !w.seesIn(ofEnvironment(*e), e.Spec.Name) {
		return host.Site{}, false
	}
	state, _ := env.State(w.Facts(*e))
	site := host.Site{Env: e.Spec.Name, Domain: w.domain(*e), Running: e.Runs(), State: string(state),
		Backends: []host.Backend{}, Since: e.Created.UTC()}
	shares := w.front(*e, &site)
	var unseen []host.Backend
	entry := env.Entry(e.Spec)
	for n := range store.NodesOf.Of(w.View, string(e.Spec.Name)) {
		if n.Gone || n.HTTP == 0 || n.Layer != entry {
			continue
		}
		silent, held := w.silent(n), w.held(n, site.Running)
		if !silent && !held && w.NodeOf(n).State != string(host.CtRunning) {
			continue
		}
		if c := n.Container.Check; c != nil && c.Port == n.HTTP {
			site.Check = c.Path
		}
		b := host.Backend{CTID: n.CTID, Addr: netip.AddrPortFrom(n.Container.IPv4, n.HTTP), Host: n.Host, Held: held}
		switch share := shares.Weight(n.Index + 1); share {
		case front.MaxWeight: // what 0 stands for
		case 0:
			b.Spare = true
		default:
			b.Weight = share
		}
		if silent && !w.Live[n.Host].Serves {
			unseen = append(unseen, b)
		} else {
			site.Backends = append(site.Backends, b)
		}
	}
	if len(site.Backends) == 0 && site.Running {
		site.Backends = append(site.Backends, unseen...)
	}
	return site, true
}

// front enters how the site is served, and gives back the shares of its nodes, which may be nil.
func (w World) front(e store.Environment, site *host.Site) *front.Settings {
	rec := store.Fronts.Find(w.View, string(e.Spec.Name))
	if rec == nil || !rec.Since.Equal(e.Created) {
		return nil
	}
	settings := rec.Settings
	settings.Weights = nil
	site.Front = &settings
	if settings.Maintenance {
		site.Pass = rec.Pass
	}
	return &rec.Settings
}

// held tells whether a node is stopped, or about to be, since it moves to another host or is started anew: what is for it goes to others,
// or waits until it runs again.
func (w World) held(n store.Node, runs bool) bool {
	m := n.Moving
	switch {
	case n.Quiet != nil && runs && n.Halted == "":
		return true
	case m == nil || !runs || n.Halted != "":
		return false
	case m.Step == store.MoveCopy:
		return !m.Held.IsZero()
	}
	return m.Step == store.MoveLast || w.NodeOf(n).State != string(host.CtRunning)
}

// silent tells whether a node ran when its host, UNREACHABLE now and not lost, reported last.
func (w World) silent(n store.Node) bool {
	s := w.Live[n.Host]
	c, ok := s.Container(n.CTID)
	return ok && s.State.State == operator.HostUnreachable && !s.Loss.Lost &&
		c.State == host.CtRunning && c.Generation == n.Container.Generation && c.Boot >= n.Container.Boot
}

// Resolvers are the addresses at which the world reaches the resolvers, as far as they are known here: the external ones of their hosts.
func Resolvers(v *store.View) (out []netip.Addr) {
	c, _ := store.Clusters.Get(v, store.Only)
	for n := range store.Nodes.Rows(v) {
		if n.Container.Component != "resolver" || n.Gone {
			continue
		}
		h, _ := store.Hosts.Get(v, string(n.Host))
		if addr, err := netip.ParseAddr(cmp.Or(h.External, c.Infra.External, c.Infra.Underlay)); err == nil &&
			!slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	return out
}
