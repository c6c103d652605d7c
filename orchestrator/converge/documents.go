package converge

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// The container addresses of a host's block: the last octet of IPv4, the interface identifier of IPv6.
const firstAddress, lastAddress = 10, 250

// address is the next free address of the host's block after the last one given out, so that a freed one rests as long as it can.
// The host has one: placing counted them.
func (p *planner) address(h store.Host) (v4, v6 netip.Addr, octet int) {
	octet = p.cursors[h.ID]
	for range lastAddress - firstAddress + 1 {
		if octet++; octet < firstAddress || octet > lastAddress {
			octet = firstAddress
		}
		if v4 = nth(h.Block4, octet); !p.used[v4] {
			break
		}
	}
	p.used[v4] = true
	if h.Block6.IsValid() {
		v6 = nth(h.Block6, octet)
	}
	return v4, v6, octet
}

// nth is the block's network address plus n.
func nth(block netip.Prefix, n int) netip.Addr {
	a := block.Masked().Addr()
	b := a.AsSlice()
	b[len(b)-1] += byte(n)
	out, _ := netip.AddrFromSlice(b)
	return out
}

// works derives each host's list of containers from the nodes and raises its revision when it changed.
func (p *planner) works() {
	lists := map[wire.HostID][]host.Container{}
	for n := range p.all() {
		if n.Gone || n.Host == "" {
			continue
		}
		c := n.Container
		c.Run = n.Env == env.System || p.envs[n.Env].Want == store.WantRunning
		lists[n.Host] = append(lists[n.Host], c)
	}
	for _, h := range p.Hosts {
		old, ok := p.Works[h.ID]
		next := host.Work{Version: host.WorkVersion, Revision: old.Revision + 1, Containers: lists[h.ID]}
		if next.Containers == nil {
			next.Containers = []host.Container{}
		}
		if !ok && h.Role == host.RoleInfra && h.Number == 0 {
			next.Revision = max(1, p.Cluster.FirstWork) // it runs exactly this already
		}
		if ok && same(old.Containers, next.Containers) {
			continue
		}
		p.plan.Works[h.ID] = next
		p.assign(h.ID, old.Containers, next)
		p.step(fmt.Sprintf("assign work %d", next.Revision), "", h.ID, fmt.Sprintf("%d containers", len(next.Containers)))
	}
	for id := range p.Works {
		if _, there := p.hosts[id]; !there {
			p.plan.DeleteWorks = append(p.plan.DeleteWorks, id)
		}
	}
	slices.Sort(p.plan.DeleteWorks)
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
		if !there || !same(o, c) {
			p.assigned(c.CTID, on, next.Revision)
		}
	}
	for id := range was {
		p.assigned(id, on, next.Revision)
	}
}

func (p *planner) assigned(id wire.CTID, on wire.HostID, rev wire.Revision) {
	if n, there := p.nodes[id]; there && n.Host == on {
		n.Assigned = rev
		p.nodes[id], p.plan.Nodes[id] = n, n
	}
}

// peers derives what every host knows of the others. What a host has not said since the orchestrator started is taken from the last
// document, so that a restart changes nothing.
func (p *planner) peers() {
	before := map[wire.HostID]host.Peer{}
	for _, o := range p.Peers.Hosts {
		before[o.ID] = o
	}
	next := host.Peers{Version: host.PeersVersion, Revision: p.Peers.Revision + 1, Cluster: p.Cluster.ID, Range4: p.Cluster.Range4, Range6: p.Cluster.Range6,
		Gossip: p.gossip(), Registry: p.Cluster.Registry, Hosts: []host.Peer{}}
	hosts := slices.SortedFunc(maps.Values(p.hosts), func(a, b store.Host) int { return cmp.Compare(a.ID, b.ID) })
	at := addresses(hosts, before, p.Input)
	for _, h := range hosts {
		o := before[h.ID]
		o.ID, o.Name, o.Role, o.Identity, o.Blocks = h.ID, h.Name, h.Role, h.Key, []netip.Prefix{h.Block4}
		if h.Block6.IsValid() {
			o.Blocks = append(o.Blocks, h.Block6)
		}
		if r := p.Live[h.ID].Report; r != nil {
			o.Boot, o.MeshKey = r.Boot, r.MeshKey
		}
		o.Underlay, o.Addrs = at[h.ID].underlay, at[h.ID].others
		next.Hosts = append(next.Hosts, o)
	}
	next.Names, next.Groups = p.names()
	was := p.Peers
	was.Revision = next.Revision
	if !same(next, was) {
		p.plan.Peers = &next
		p.step(fmt.Sprintf("publish peers %d", next.Revision), "", "", fmt.Sprintf("%d hosts, %d names", len(next.Hosts), len(next.Names)))
	}
}

// names are the DNS answers and groups: every node by its number, every layer and component by its name (a layer without nodes of
// unreachable hosts, while it has others).
func (p *planner) names() (names []host.Name, groups []host.Group) {
	layers, silent, members := map[string][]netip.Addr{}, map[string][]netip.Addr{}, map[string][]netip.Addr{}
	for n := range p.all() {
		if n.Gone || n.Host == "" {
			continue
		}
		addrs := []netip.Addr{n.Container.IPv4}
		if n.Container.IPv6.IsValid() {
			addrs = append(addrs, n.Container.IPv6)
		}
		names = append(names, host.Name{Name: env.DNSName(n.CTID, n.Env), Addrs: addrs})
		group := "users"
		if n.Env == env.System {
			group = string(env.System)
		}
		members[group] = append(members[group], addrs...)
		l := cmp.Or(n.Container.Component, string(n.Layer)) + "." + string(n.Env) + ".internal"
		if p.reachable(n.Host) || n.Env == env.System {
			layers[l] = append(layers[l], addrs...)
		} else {
			silent[l] = append(silent[l], addrs...)
		}
	}
	for l, addrs := range silent {
		if len(layers[l]) == 0 {
			layers[l] = addrs
		}
	}
	for _, l := range slices.Sorted(maps.Keys(layers)) {
		names = append(names, host.Name{Name: l, Addrs: layers[l]})
	}
	for _, g := range slices.Sorted(maps.Keys(members)) {
		groups = append(groups, host.Group{Name: g, Addrs: members[g]})
	}
	return names, groups
}

// replacement is the operation people watch while a node is replaced. Its id follows from the new node's number.
func replacement(old, made store.Node, why string, now time.Time, c live.Clocks) store.Operation {
	sum := sha256.Sum256([]byte("node.replace " + made.CTID.String()))
	return store.Operation{Env: made.Env, Node: made.CTID, Old: old.CTID, Operation: operator.Operation{
		ID: wire.OperationID(fmt.Sprintf("op-%x", sum[:8])), Kind: "node.replace", Object: "environments/" + string(made.Env), By: "orchestrator", Account: made.Container.Account,
		State: operator.OpRunning, Created: now, Updated: now, Deadline: now.Add(c.Replace), Progress: 10,
		Steps: []operator.Step{
			{Name: "place", State: operator.OpDone, Detail: fmt.Sprintf("node %d takes the place of node %d: %s", made.CTID, old.CTID, why), At: now},
			{Name: "run", State: operator.OpRunning, At: now},
		},
	}}
}
