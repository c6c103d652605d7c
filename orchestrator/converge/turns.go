package converge

import (
	"cmp"
	"fmt"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// turns has the nodes of layers that start after others wait until those run, and, as long as an operation stops the environment, those of
// layers before others run until these have stopped. A node that was told to run once waits for nothing any more, whatever becomes of the
// layers before it: it is their start that has an order, not their health.
func (p *planner) turns() {
	for _, name := range p.list {
		e, ok := p.record(name)
		if !ok || e.System {
			continue
		}
		for n := range p.of(name) {
			if n.Gone {
				continue
			}
			waits, stays := "", ""
			switch l := layerOf(e, n.Layer); {
			case l == nil, n.Halted != "", p.beside(n):
			case e.Runs() && !p.told(n):
				waits = p.before(e, *l)
			case !e.Runs() && p.envs[name].stopping && p.told(n):
				stays = p.behind(e, n.Layer)
			}
			if waits != "" || stays != "" {
				p.rolling[name] = true // it is looked at again whenever something is heard
			}
			if waits == n.Waits && stays == n.Stays {
				continue
			}
			what, why := "start", "the layers before it run"
			switch {
			case waits != "":
				what, why = "hold", waits
			case stays != "":
				what, why = "keep", stays
			case n.Stays != "":
				what, why = "stop", "the layers that start after it have stopped"
			}
			n.Waits, n.Stays = waits, stays
			p.put(n, what, why)
		}
	}
}

// beside tells whether a node takes the place of one that does not wait, or did not until it was lost: its layer had its turn.
func (p *planner) beside(n store.Node) bool {
	if n.Replaces == 0 && n.Assigned != 0 {
		return false // as nearly all: no other node need be looked at
	}
	for old := range p.of(n.Env) {
		if old.Waits == "" && (old.CTID == n.Replaces || old.Gone && old.ReplacedBy == n.CTID && n.Assigned == 0) {
			return true
		}
	}
	return false
}

// told tells whether a host was told to run a node.
func (p *planner) told(n store.Node) bool {
	for _, on := range ends(&n) {
		list := p.work(on).Containers
		if at, there := slices.BinarySearchFunc(list, n.CTID, func(c host.Container, id wire.CTID) int {
			return cmp.Compare(c.CTID, id)
		}); there && list[at].Run {
			return true
		}
	}
	return false
}

// before is which layer a layer's nodes wait for, and the node that it lacks; "": none. Nobody waits for a host that is drained.
func (p *planner) before(e store.Environment, l operator.LayerSpec) string {
	for _, name := range l.After {
		b := layerOf(e, name)
		if b == nil {
			continue
		}
		there, first := map[int]bool{}, wire.CTID(0)
		for n := range p.of(e.Spec.Name) {
			if n.Gone || n.Layer != name || n.Index >= b.Nodes {
				continue
			}
			up := n.Halted != "" || n.Waits == "" && p.runs(n) && p.heard(n)
			if there[n.Index] = there[n.Index] || up; !up && first == 0 && n.Replaces == 0 {
				first = n.CTID
			}
		}
		up := 0
		for _, is := range there {
			if is {
				up++
			}
		}
		switch {
		case up >= b.Nodes:
		case first != 0:
			return fmt.Sprintf("it starts once layer %s runs: node %d does not yet", name, first)
		case len(there) >= b.Nodes:
			return fmt.Sprintf("it starts once layer %s runs: nodes of it are on their way to other hosts", name)
		default:
			return fmt.Sprintf("it starts once layer %s runs: %d of its %d nodes have no host", name, b.Nodes-len(there), b.Nodes)
		}
	}
	return ""
}

// behind is which layer that starts after another one has still to stop, and its node; "": none. Nobody waits for a host that does not
// answer: it stops its nodes when it is back.
func (p *planner) behind(e store.Environment, name wire.LayerName) string {
	for n := range p.of(e.Spec.Name) {
		l := layerOf(e, n.Layer)
		if n.Gone || l == nil || !slices.Contains(l.After, name) || !p.reachable(n.Host) {
			continue
		}
		if s := p.seen(n); n.Stays != "" || !p.heard(n) || s == host.CtRunning || s == host.CtStarting || s == host.CtStopping ||
			s == host.CtFailing {
			return fmt.Sprintf("it stops once layer %s has: node %d has not yet", n.Layer, n.CTID)
		}
	}
	return ""
}

// heard tells whether a host's report answers how a node shall be.
func (p *planner) heard(n store.Node) bool {
	r := p.status(n.Host).Report
	return r != nil && r.PlannedFor() >= n.Assigned
}

// turnOf is by which the nodes of an environment's layers are started one after the other: those first that others start after, else as
// they are in the file.
func turnOf(s operator.EnvironmentSpec) func(wire.LayerName) int {
	stages := env.Stages(s)
	return func(name wire.LayerName) int {
		for i, l := range s.Layers {
			if l.Name == name {
				return stages[name]*len(s.Layers) + i
			}
		}
		return (len(s.Layers) + 1) * len(s.Layers)
	}
}
