package converge

import (
	"cmp"
	"fmt"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/edit"
	"hardnode.dev/orchestrator/store"
)

// editing tells whether an edit is at work on an environment that may still be undone.
func (p *planner) editing(name wire.EnvName) bool {
	e := p.envs[name]
	return e != nil && e.editing
}

// revise brings nodes from the spec of their layer that they are made of to the one that is wanted: live where that can be, else one of a
// layer after the other, each when those before it run, and a layer once those that it starts after are at their end. An edit that was
// undone goes the same way back, but waits for no node longer than an operation would: who owns the undo is this.
func (p *planner) revise() {
	for _, name := range p.list {
		e, ok := p.record(name)
		if !ok || e.System || e.Want == store.WantDeleted {
			continue
		}
		open, at := map[wire.LayerName]bool{}, turnOf(e.Spec)
		layers := slices.Clone(e.Spec.Layers)
		slices.SortFunc(layers, func(a, b operator.LayerSpec) int { return at(a.Name) - at(b.Name) })
		for _, l := range layers {
			held := slices.ContainsFunc(l.After, func(name wire.LayerName) bool { return open[name] })
			open[l.Name] = p.reviseLayer(e, l, held) || held
		}
	}
}

// reviseLayer revises one layer. Held: none of it is started anew yet. It tells whether nodes of it are on their way to what they shall
// be, so that those of layers which start after it go on as they are.
func (p *planner) reviseLayer(e store.Environment, l operator.LayerSpec, held bool) (open bool) {
	name, editing, busy := e.Spec.Name, p.editing(e.Spec.Name), false
	var old []store.Node
	there := map[int]bool{}
	for n := range p.of(name) {
		if n.Layer == l.Name && !n.Gone {
			there[n.Index] = true
		}
		switch {
		case n.Gone || n.Layer != l.Name || n.Made == nil:
		case n.Index >= l.Nodes:
			if !editing {
				p.settle(n)
				continue
			}
			// it serves until all others do; one that was started anew before this edit may yet come up
			busy = busy || p.recent(n) && !p.steady(e, n)
		case !edit.Same(n.Made.Spec, l):
			p.rolling[name] = true
			if n.Moving == nil { // else once it is there
				old = append(old, n)
			}
		case !p.steady(e, n):
			p.rolling[name] = true
			open = open || p.recent(n) || editing && !n.Made.At.IsZero()
			busy = busy || editing || p.now.Sub(n.Made.At) < p.clocks.Change
			if !busy {
				p.settle(n)
			}
		case !editing:
			p.settle(n)
		}
	}
	for i := range l.Nodes {
		open = open || editing && e.Runs() && !there[i] // the edit adds it
	}
	slices.SortFunc(old, func(a, b store.Node) int {
		return cmp.Or(p.health(e, a)-p.health(e, b), a.Index-b.Index, cmp.Compare(a.CTID, b.CTID))
	})
	for _, n := range old {
		next, why, problem := p.revised(n, l)
		if problem != nil {
			p.stuck[name] = problem.Reason
			return open
		}
		ends := edit.Restarts(n.Container, next.Container) && e.Runs()
		open = open || ends
		if ends && (held || busy && p.runs(n)) {
			continue
		}
		if ends && p.runs(n) {
			ready, ended := p.leaves(e, n)
			if !ready {
				busy = true
				continue
			}
			if ended != "" {
				next.Quiet, why = &store.Quiet{At: n.Quiet.At, Stopped: true}, why+"; "+ended
			}
		}
		// one that was started anew a moment ago and is now changed live is still about to come up
		busy = busy || ends || !p.steady(e, n) && p.now.Sub(n.Made.At) < p.clocks.Change
		what := "change"
		if ends {
			what = "restart"
		}
		p.put(next, what, why)
	}
	return open
}

// recent tells whether a node was changed, or started anew, so short a time ago that it may yet come up.
func (p *planner) recent(n store.Node) bool {
	began := n.Made.At
	if n.Restarted != nil && n.Restarted.At.After(began) {
		began = n.Restarted.At
	}
	return p.now.Sub(began) < p.clocks.Change
}

// settle ends what is kept of a node for an edit.
func (p *planner) settle(n store.Node) {
	p.put(edit.Settled(n, p.now), "keep", "the edit is at its end")
}

// revised is a node as a spec of its layer wants it, and why.
func (p *planner) revised(n store.Node, l operator.LayerSpec) (store.Node, string, *operator.Problem) {
	if b := n.Made.Before; b != nil && edit.Same(b.Spec, l) {
		n.Cloudlets, n.HTTP, n.Container = b.Cloudlets, b.HTTP, edit.Back(n.Container, b.Container)
		n.Made = &store.Made{Spec: l, At: p.now}
		return n, "the edit is undone", nil
	}
	next, changes, problem := edit.Revise(edit.Of(n, n.Made.Spec, p.of(n.Env)), l, p.templates)
	if problem != nil {
		return n, "", problem
	}
	why := ""
	for i, c := range changes {
		if i > 0 {
			why += "; "
		}
		why += c.Detail
	}
	before := n.Made.Before
	if before == nil {
		before = &store.Before{Spec: n.Made.Spec, Cloudlets: n.Cloudlets, HTTP: n.HTTP, Container: n.Container}
	}
	if next.Container.Generation != n.Container.Generation {
		next.Container.Formers = edit.Formers(before, n.Former)
	}
	n.Cloudlets, n.HTTP, n.Container = next.Cloudlets, next.HTTP, next.Container
	n.Made = &store.Made{Spec: l, At: p.now, Before: before}
	return n, fmt.Sprintf("layer %s is edited: %s", l.Name, why), nil
}

// How well a node does, by which those come first whose start anew takes nothing from anybody: else another would be down beside them.
const (
	down     = iota
	unsure   // it runs, but its host has not said so of what it was told last
	steadily // it runs as it shall
)

func (p *planner) health(e store.Environment, n store.Node) int {
	switch {
	case p.steady(e, n):
		return steadily
	case p.runs(n):
		return unsure
	}
	return down
}

// steady tells whether a node is seen to be as it shall be now.
func (p *planner) steady(e store.Environment, n store.Node) bool {
	if !e.Runs() || n.Halted != "" {
		return true
	}
	r := p.status(n.Host).Report
	return r != nil && r.PlannedFor() >= n.Assigned && p.runs(n)
}

// forget lets go of what nodes were before a redeploy that can't be undone any more.
func (p *planner) forget() {
	for n := range p.all() {
		if n.Former != nil && n.Made == nil && !n.Gone && !p.now.Before(n.Former.Until) {
			n.Former, n.Container.Formers = nil, nil
			p.put(n, "keep", "its last redeploy can't be undone any more")
		}
	}
}
