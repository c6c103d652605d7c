package converge

import (
	"cmp"
	"slices"
	"time"

	"hardnode.dev/orchestrator/store"
)

// restart starts nodes anew that an operation env.restart is about: one after the other in the order that layers start in, each when those
// before it run and the delay is over; or all at the same time. A node that does not come to run keeps the others as they are.
func (p *planner) restart() {
	for _, name := range p.list {
		e, ok := p.record(name)
		if !ok || e.System || e.Restart == nil || !e.Runs() || p.rolling[name] { // an edit is being undone: that comes first
			continue
		}
		r, busy := *e.Restart, false
		var nodes []store.Node
		for n := range p.of(name) {
			if r.About(n) && !n.Gone && n.Halted == "" && n.Waits == "" {
				nodes = append(nodes, n)
			}
		}
		up := func(n store.Node) int {
			if n.Restarted != nil && n.Restarted.By == r.Operation {
				return steadily
			}
			return p.health(e, n)
		}
		at := turnOf(e.Spec)
		slices.SortFunc(nodes, func(a, b store.Node) int {
			return cmp.Or(up(a)-up(b), at(a.Layer)-at(b.Layer), a.Index-b.Index, cmp.Compare(a.CTID, b.CTID))
		})
		for _, n := range nodes { // all of them: one of the last may have come first
			if done := n.Restarted; done != nil && done.By == r.Operation {
				rests := p.now.Sub(done.At) < time.Duration(r.DelaySeconds)*time.Second
				busy = busy || rests || !p.steady(e, n)
			}
		}
		for _, n := range nodes {
			switch done := n.Restarted; {
			case done != nil && done.By == r.Operation:
			case busy && !r.Together, n.Moving != nil:
				busy = true
			default:
				busy = true
				if !r.Together && p.runs(n) {
					ready, ended := p.leaves(e, n)
					if !ready {
						continue
					}
					if ended != "" {
						n.Quiet = &store.Quiet{At: n.Quiet.At, Stopped: true}
					}
				}
				n.Container.Boot++
				n.Restarted = &store.Restarted{By: r.Operation, At: p.now}
				p.put(n, "restart", "asked for by operation "+string(r.Operation))
			}
		}
		if busy {
			p.rolling[name] = true
		}
	}
}
