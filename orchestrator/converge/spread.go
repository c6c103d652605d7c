package converge

import (
	"fmt"
	"maps"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// spread says which environments have layers that aren't spread over hosts any more, and mends those that somebody asked to mend, one node
// of an environment at a time: a new node first, on a host that has none of the layer; once that runs, the old one goes. Only nodes without
// volumes move. An environment that has a move under way waits for its end.
func (p *planner) spread(moving map[wire.EnvName]bool) {
	for _, name := range p.list {
		e, ok := p.record(name)
		if !ok || e.System || !e.Runs() || moving[name] {
			continue
		}
		for _, l := range e.Spec.Layers {
			old, spec, better, why := p.evener(e, l)
			if better == "" {
				continue
			}
			why = fmt.Sprintf("layer %s isn't spread: %s", l.Name, why)
			p.uneven[name] = why
			if p.spreading(name) && p.healthy(e, l.Name) {
				made, refusal := p.create(spec, &old, better)
				if refusal == nil {
					made.Replaces = old.CTID
					made.Placed = fmt.Sprintf("takes the place of node %d: %s; %s", old.CTID, why, made.Placed)
					p.put(made, "place", made.Placed)
				}
			}
			break
		}
	}
}

// moves sees the moves under way through, and tells which environments have one. A new node that nobody waits for any more is retired.
func (p *planner) moves() map[wire.EnvName]bool {
	moving := map[wire.EnvName]bool{}
	for n := range p.all() {
		if n.Replaces == 0 || n.Gone {
			continue
		}
		old, there := p.node(n.Replaces)
		leaves := there && p.cordon(old.Host).Leaves() // its layer is spread, else
		switch e, _ := p.record(n.Env); {
		case (!there || old.Gone) && p.taken(n):
			n.Gone, n.Why = true, fmt.Sprintf("another node has taken the place of node %d", n.Replaces)
			p.put(n, "retire", n.Why)
		case !there || old.Gone:
			n.Replaces = 0
			p.put(n, "keep", "the node whose place it takes is gone")
		case p.runs(n):
			why := "its layer is spread over hosts"
			if leaves {
				why = fmt.Sprintf("host %s is drained", p.hostName(old.Host))
			}
			old.Gone, old.ReplacedBy, old.Why = true, n.CTID, fmt.Sprintf("node %d runs in its place: %s", n.CTID, why)
			p.put(old, "retire", old.Why)
			n.Replaces = 0
			p.put(n, "keep", fmt.Sprintf("it runs in the place of node %d", old.CTID))
			moving[n.Env] = true // what is next, the next plan says
			p.moving(n, leaves, old.Why)
		case leaves && p.status(n.Host).Loss.Lost:
			n.Gone, n.Why = true, fmt.Sprintf("its host was lost before it ran: node %d needs another one in its place", old.CTID)
			p.put(n, "retire", n.Why)
		case !p.spreading(n.Env) && !leaves || !e.Runs():
			n.Gone, n.Why = true, fmt.Sprintf("what it was made for ended before it ran: node %d stays", old.CTID)
			p.put(n, "retire", n.Why)
		default:
			moving[n.Env] = true
			p.moving(n, leaves, fmt.Sprintf("node %d on host %s comes for node %d", n.CTID, p.hostName(n.Host), old.CTID))
		}
	}
	return moving
}

// moving says that a layer is being spread. A node that leaves a host is told of only where somebody waits for the layer to be spread.
func (p *planner) moving(n store.Node, leaves bool, what string) {
	switch {
	case !leaves:
		p.uneven[n.Env] = fmt.Sprintf("layer %s is being spread: %s", n.Layer, what)
	case p.spreading(n.Env):
		p.uneven[n.Env] = "a node leaves a host first: " + what
	}
}

// taken tells whether another node has the position of n in its layer for good.
func (p *planner) taken(n store.Node) bool {
	for o := range p.of(n.Env) {
		if o.CTID != n.CTID && o.Layer == n.Layer && o.Index == n.Index && !o.Gone && o.Replaces == 0 {
			return true
		}
	}
	return false
}

// evener is the node of a layer that is to be made anew elsewhere for the layer to be spread better, as what, where and why; where is "":
// there is none.
func (p *planner) evener(e store.Environment, l operator.LayerSpec) (old store.Node, spec env.Node, to wire.HostID, why string) {
	for _, crowd := range p.crowds(e, l.Name) {
		old = crowd[len(crowd)-1]
		spec = again(e, l, old.Index, p.templates, old)
		p.watching[e.Spec.Name] = true
		if better, why, there := p.board.Evener(wanted(spec), old.Host); there {
			return old, spec, better, why
		}
	}
	return store.Node{}, env.Node{}, "", ""
}

// crowds are the nodes of a layer that can move on the one ACTIVE host that has the most of them in the zone that has the most, and on the
// one that has the most of all, each by number. Groups of one are none.
func (p *planner) crowds(e store.Environment, layer wire.LayerName) (out [][]store.Node) {
	at, in := map[wire.HostID][]store.Node{}, map[string]int{}
	for n := range p.of(e.Spec.Name) {
		if n.Layer == layer && !n.Gone && n.Moving == nil && len(n.Container.Volumes) == 0 &&
			p.status(n.Host).State.State == operator.HostActive {
			at[n.Host] = append(at[n.Host], n)
			in[p.board.ZoneOf(n.Host)]++
		}
	}
	var zoned, largest []store.Node
	fullest := ""
	for _, z := range slices.Sorted(maps.Keys(in)) {
		if in[z] > in[fullest] {
			fullest = z
		}
	}
	for _, h := range slices.Sorted(maps.Keys(at)) {
		if p.board.ZoneOf(h) == fullest && len(at[h]) > len(zoned) {
			zoned = at[h]
		}
		if len(at[h]) > len(largest) {
			largest = at[h]
		}
	}
	if in[fullest] > 1 && in[fullest] > len(zoned) { // else its nodes are those of one host
		out = append(out, zoned)
	}
	if len(largest) > 1 {
		out = append(out, largest)
	}
	return out
}

// healthy tells whether all nodes of a layer run.
func (p *planner) healthy(e store.Environment, layer wire.LayerName) bool {
	for n := range p.of(e.Spec.Name) {
		if n.Layer == layer && !n.Gone && !p.runs(n) {
			return false
		}
	}
	return true
}

// runs tells whether a node was seen running, as it shall be, on a host that answers.
func (p *planner) runs(n store.Node) bool {
	s := p.status(n.Host)
	c, ok := s.Container(n.CTID)
	return ok && s.State.State == operator.HostActive && c.State == host.CtRunning && c.Generation == n.Container.Generation &&
		c.Boot >= n.Container.Boot
}
