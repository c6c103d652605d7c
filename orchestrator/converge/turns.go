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
			case n.Stays != "" && e.Runs():
				what, why = "keep", "it is not stopped after all"
			case n.Stays != "":
				what, why = "stop", "no layer that starts after it is waited for any more"
			case n.Made != nil && !n.Made.At.IsZero(): // an edit made it, or changed it, while it waited: its time begins now
				made := *n.Made
				made.At = p.now
				n.Made = &made
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

// before is which layer a layer's nodes wait for; "": none. Which node of it is not said: each that comes would be written into all that
// wait.
func (p *planner) before(e store.Environment, l operator.LayerSpec) string {
	for _, name := range l.After {
		b := layerOf(e, name)
		if b == nil {
			continue
		}
		there := map[int]bool{}
		for n := range p.of(e.Spec.Name) {
			if n.Gone || n.Layer != name || n.Index >= b.Nodes {
				continue
			}
			up := n.Halted != "" || n.Waits == "" && p.runs(n) && p.heard(n)
			if up {
				there[n.Index] = true
			}
		}
		if len(there) < b.Nodes {
			return fmt.Sprintf("it starts once layer %s runs", name)
		}
	}
	return ""
}

// behind is which layer that starts after another one has still to stop; "": none. Nobody waits for a host that does not
// answer: it stops its nodes when it is back.
func (p *planner) behind(e store.Environment, name wire.LayerName) string {
	for n := range p.of(e.Spec.Name) {
		l := layerOf(e, n.Layer)
		if n.Gone || l == nil || !slices.Contains(l.After, name) || !p.reachable(n.Host) {
			continue
		}
		if s := p.seen(n); n.Stays != "" || !p.heard(n) || s == host.CtRunning || s == host.CtStarting || s == host.CtStopping ||
			s == host.CtFailing {
			return fmt.Sprintf("it stops once layer %s has", n.Layer)
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
