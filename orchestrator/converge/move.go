package converge

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge/moving"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// advance leads the nodes on that move from host to host.
func (p *planner) advance() {
	for n := range p.all() {
		if n.Moving == nil || n.Gone {
			continue
		}
		from, to := p.end(n, n.Host, n.Assigned), p.end(n, n.Moving.Other, n.Moving.Assigned)
		if n.Moving.Step == store.MoveClean {
			from, to = to, from
		}
		next, why := moving.Next(n, from, to, p.requests(n), p.now)
		if next.Moving == nil && n.Moving.Step == store.MoveClean && p.begins(n) {
			continue // until it runs, what is for it waits
		}
		if why != "" {
			p.rerouted = true
			p.put(next, "move", why)
		}
	}
}

// begins tells whether a node is about to run on its host, which answers.
func (p *planner) begins(n store.Node) bool {
	e, ok := p.record(n.Env)
	if !ok || !e.Runs() || n.Halted != "" || n.Waits != "" || !p.reachable(n.Host) {
		return false
	}
	s := p.seen(n)
	return s == "" || s == host.CtWaiting || s == host.CtStarting || s == host.CtStopped
}

// requests are what comes for a node by the resolvers. Where the cluster has none, nothing does.
func (p *planner) requests(n store.Node) moving.Requests {
	e, ok := p.record(n.Env)
	r := p.held[n.CTID]
	r.Serves = ok && !e.System && e.Want == store.WantRunning && n.Halted == "" && n.HTTP != 0 && n.Layer == env.Entry(e.Spec) &&
		p.seen(n) == host.CtRunning && (r.There || p.resolved())
	return r
}

// resolved tells whether the cluster has a resolver, which may be away.
func (p *planner) resolved() bool {
	for n := range p.of(env.System) {
		if n.Container.Component == host.ComponentResolver && !n.Gone {
			return true
		}
	}
	return false
}

// Held are the nodes that wait for the resolvers to hold what comes for them. While there are some a plan is to be made often.
func (x *Index) Held() iter.Seq[wire.CTID] { return maps.Keys(x.held) }

// Said takes in what the resolvers say of one of Held now; there: there are any.
func (x *Index) Said(id wire.CTID, there, held bool, busy int) {
	x.held[id] = moving.Requests{There: there, Held: held, Busy: busy}
	x.dirty.envs[x.nodes[id].Env] = true
}

// setHeld notes whether a node is one of Held.
func (x *Index) setHeld(id wire.CTID, n *store.Node) {
	switch _, there := x.held[id]; {
	case n == nil || (n.Moving == nil || n.Moving.Held.IsZero()) && n.Quiet == nil:
		delete(x.held, id)
	case !there:
		x.held[id] = moving.Requests{}
	}
}

// end is what one end of a node's move says.
func (p *planner) end(n store.Node, on wire.HostID, assigned wire.Revision) moving.Host {
	s := p.status(on)
	e := moving.Host{Known: p.machine(on) != nil, Clear: p.clear(n.CTID, on, assigned)}
	if s.State.State != operator.HostActive || s.Report == nil || s.Report.PlannedFor() < assigned {
		return e
	}
	if c, ok := s.Container(n.CTID); ok && c.Move != nil && c.Move.ID == string(n.Moving.Operation) {
		e.Said = c.Move
	}
	return e
}

// clear tells whether a host that is not to have a container has said that it has none. An orchestrator that ended between storing a node
// and its host's Work has left the number of a Work that never was.
func (p *planner) clear(id wire.CTID, on wire.HostID, assigned wire.Revision) bool {
	w, s := p.work(on), p.status(on)
	if s.State.State != operator.HostActive || s.Report == nil || s.Report.PlannedFor() < min(cmp.Or(assigned, w.Revision), w.Revision) {
		return false
	}
	if slices.ContainsFunc(w.Containers, func(c host.Container) bool { return c.CTID == id && !c.Remove }) {
		return false
	}
	_, still := s.Container(id)
	return !still
}

// away are the addresses that lie on each host and in another's blocks, sorted.
func (p *planner) away() map[wire.HostID][]netip.Prefix {
	out := map[wire.HostID][]netip.Prefix{}
	ids := p.moved
	for id, n := range p.plan.Nodes {
		if _, known := ids[id]; !known && (n.Moved || n.Moving != nil) {
			ids = cloneWith(ids, id)
		}
	}
	for id := range ids {
		n, there := p.node(id)
		if !there || n.Gone {
			continue
		}
		at := n.Lives()
		h := p.machine(at)
		if h == nil {
			continue
		}
		own := slices.Concat([]netip.Prefix{h.Block4}, p.further(*h))
		if slices.ContainsFunc(own, func(b netip.Prefix) bool { return b.Contains(n.Container.IPv4) }) {
			continue
		}
		for _, a := range []netip.Addr{n.Container.IPv4, n.Container.IPv6} {
			if a.IsValid() {
				out[at] = append(out[at], netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	}
	return out
}

func cloneWith(ids map[wire.CTID]bool, id wire.CTID) map[wire.CTID]bool {
	out := map[wire.CTID]bool{id: true}
	for k := range ids {
		out[k] = true
	}
	return out
}
