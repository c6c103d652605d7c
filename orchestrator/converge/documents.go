package converge

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/converge/same"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// work is a host's Work as it is stored; the zero one if there is none.
func (p *planner) work(id wire.HostID) host.Work {
	if m := p.hosts[id]; m != nil && m.work != nil {
		return *m.work
	}
	return host.Work{}
}

// works derives the list of containers of each host that something changed on from its nodes, and raises its revision when it changed.
func (p *planner) works() {
	made, dirty := map[wire.HostID][]wire.CTID{}, maps.Clone(p.dirty.hosts)
	for id, n := range p.plan.Nodes {
		dirty[n.Host] = true
		was := p.nodes[id]
		for _, on := range ends(was) {
			dirty[on] = true
		}
		for _, on := range ends(&n) {
			dirty[on] = true
			if !slices.Contains(ends(was), on) {
				made[on] = append(made[on], id)
			}
		}
		if e, ok := p.record(n.Env); ok && len(e.Mounts) > 0 { // who mounts from a node is told where it is
			for o := range p.of(n.Env) {
				dirty[o.Host] = true
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(dirty)) {
		m := p.hosts[id]
		if m == nil || m.record == nil {
			if m != nil && m.work != nil {
				p.plan.DeleteWorks = append(p.plan.DeleteWorks, id)
			}
			continue
		}
		nodes := m.nodes
		if more := made[id]; len(more) > 0 {
			nodes = slices.Concat(nodes, more)
			slices.Sort(nodes)
		}
		list := []host.Container{}
		for n := range p.each(nodes) {
			if n.Gone && n.Env != env.System {
				continue
			}
			part, has := n.Part(id)
			if !has {
				continue
			}
			c := n.Container
			c.Move = part
			c.Run, c.Remove = n.Env == env.System, n.Gone // a component goes only when its host is told so
			if e, ok := p.record(n.Env); ok && n.Env != env.System {
				c.Run = (e.Runs() && n.Waits == "" || n.Stays != "") && n.Halted == ""
				c.Ports = e.PortsOf(n.Layer, n.Index+1)
				c.Addresses = e.AddressesOf(n.Layer, n.Index+1)
				c.Snapshots = e.ScheduleOf(n.Layer, n.Index+1)
				if id != n.Lives() { // it answers for nothing there
					c.Ports, c.Addresses = nil, nil
				}
				if len(e.Mounts) > 0 {
					c.Mounts = e.MountsOf(n.Layer, n.Index+1, p.on)
					c.Shares = e.SharesOf(n.CTID, slices.Collect(p.of(n.Env)))
				}
				if len(e.Walls) > 0 {
					c.Firewall = firewall.Merge(e.Rules(n.Layer, 0), e.Rules(n.Layer, n.Index+1))
				}
			}
			list = append(list, c)
		}
		old := p.work(id)
		next := host.Work{Version: host.WorkVersion, Revision: old.Revision + 1, Containers: list}
		if m.work == nil && m.record.Role == host.RoleInfra && m.record.Number == 0 {
			next.Revision = max(1, p.cluster.FirstWork) // it runs exactly this already
		}
		if m.work != nil && same.Documents(old.Containers, next.Containers) {
			continue
		}
		p.plan.Works[id] = next
		p.assign(id, old.Containers, next)
		p.step(fmt.Sprintf("assign work %d", next.Revision), "", id, fmt.Sprintf("%d containers", len(list)))
	}
}

// on is the host of a node; "" if it is nowhere.
func (p *planner) on(id wire.CTID) wire.HostID {
	if n, there := p.node(id); there && !n.Gone {
		return n.Host
	}
	return ""
}

// assign notes the revision in the nodes whose container is another one now, or is left out: until the host has planned for it, what it
// reports of them says nothing of what they shall be.
func (p *planner) assign(on wire.HostID, old []host.Container, next host.Work) {
	was := make(map[wire.CTID]host.Container, len(old))
	for _, c := range old {
		was[c.CTID] = c
	}
	for _, c := range next.Containers {
		o, there := was[c.CTID]
		delete(was, c.CTID)
		if !there || !same.Documents(o, c) {
			p.assigned(c.CTID, on, next.Revision)
		}
	}
	for id := range was {
		p.assigned(id, on, next.Revision)
	}
}

func (p *planner) assigned(id wire.CTID, on wire.HostID, rev wire.Revision) {
	n, there := p.node(id)
	switch {
	case there && n.Host == on && n.Assigned != rev:
		n.Assigned = rev
		p.plan.Nodes[id] = n
	case there && n.Host != on && n.Other() == on && n.Moving.Assigned != rev:
		m := *n.Moving
		m.Assigned, n.Moving = rev, &m
		p.plan.Nodes[id] = n
	}
}

// peers derives what every host knows of the others, and the names of the dirty environments. What a host has not said since the
// orchestrator started is taken from the last document, so that a restart changes nothing.
func (p *planner) peers() {
	was := p.Index.peers
	keys := p.keys()
	next := host.Peers{Version: host.PeersVersion, Revision: max(p.published, was.Revision) + 1, Cluster: p.cluster.ID,
		Range4: p.cluster.Range4, Range6: p.cluster.Range6,
		Gossip: keys, Registry: p.cluster.Registry, Hosts: []host.Peer{}}
	if p.dirty.peers || p.rerouted || p.plan.Gossip != nil || len(p.plan.More) > 0 {
		before := map[wire.HostID]host.Peer{}
		for _, o := range was.Hosts {
			before[o.ID] = o
		}
		hosts := p.records()
		at, away := addresses(hosts, before, p.cluster, p.status), p.away()
		for _, h := range hosts {
			o := before[h.ID]
			o.ID, o.Name, o.Role, o.Identity, o.Blocks = h.ID, h.Name, h.Role, h.Key, []netip.Prefix{h.Block4}
			if h.Block6.IsValid() {
				o.Blocks = append(o.Blocks, h.Block6)
			}
			// Orchestrators before 2026-11-26 publish a host's first block only, and leave alone what has moved: while one of them is at
			// work again, what lies in the others is still reached.
			o.Blocks, o.Moved = append(o.Blocks, p.further(h)...), slices.Concat(away[h.ID], p.further(h))
			if r := p.status(h.ID).Report; r != nil {
				o.Boot, o.MeshKey = r.Boot, r.MeshKey
			}
			o.Underlay, o.Addrs = at[h.ID].underlay, at[h.ID].others
			next.Hosts = append(next.Hosts, o)
		}
		was.Revision = next.Revision
		if !same.Documents(next, was) {
			p.plan.Peers = &next
		}
	}
	named := 0
	for _, name := range p.list {
		var old *store.Names
		if e := p.envs[name]; e != nil {
			old = e.names
		}
		switch now := p.names(name); {
		case now == nil && old != nil, now != nil && (old == nil || !same.Documents(*now, *old)):
			p.plan.Names[name] = now
			named++
		}
	}
	switch {
	case p.plan.Peers != nil:
		p.step(fmt.Sprintf("publish peers %d", next.Revision), "", "",
			fmt.Sprintf("%d hosts; the names of %d environments", len(next.Hosts), named))
	case named > 0:
		p.step(fmt.Sprintf("publish peers %d", next.Revision), "", "", fmt.Sprintf("the names of %d environments", named))
	}
}

// ends are the hosts that have something of a node; nil has none.
func ends(n *store.Node) []wire.HostID {
	switch {
	case n == nil:
		return nil
	case n.Moving == nil:
		return []wire.HostID{n.Host}
	}
	return []wire.HostID{n.Host, n.Moving.Other}
}

// names are the DNS answers of one environment: every node by its number, every layer and component by its name (without nodes of
// unreachable hosts, while it has others). nil: there are none.
func (p *planner) names(e wire.EnvName) *store.Names {
	out := store.Names{}
	layers, silent := map[string][]netip.Addr{}, map[string][]netip.Addr{}
	for n := range p.of(e) {
		if n.Gone || n.Host == "" {
			continue
		}
		addrs := []netip.Addr{n.Container.IPv4}
		if n.Container.IPv6.IsValid() {
			addrs = append(addrs, n.Container.IPv6)
		}
		out.Nodes = append(out.Nodes, host.Name{Name: env.DNSName(n.CTID, e), Addrs: addrs})
		l := cmp.Or(n.Container.Component, string(n.Layer)) + "." + string(e) + ".internal"
		if p.reachable(n.Host) || e == env.System {
			layers[l] = append(layers[l], addrs...)
		} else {
			silent[l] = append(silent[l], addrs...)
		}
	}
	if out.Nodes == nil {
		return nil
	}
	for l, addrs := range silent {
		if len(layers[l]) == 0 {
			layers[l] = addrs
		}
	}
	for _, l := range slices.Sorted(maps.Keys(layers)) {
		out.Layers = append(out.Layers, host.Name{Name: l, Addrs: layers[l]})
	}
	return &out
}
