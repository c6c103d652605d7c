package converge

import (
	"time"

	"hardnode.dev/orchestrator/converge/moving"
	"hardnode.dev/orchestrator/store"
)

// How long a node that is about to be started anew waits at most, where others of its layer serve meanwhile, until the resolvers that are
// there say that they send it nothing more, and then for the requests that are under way. quietFor is how long a resolver keeps to that
// whatever it is told (resolver/sites.HoldFor): what begins is to be over by then.
const (
	quietWithin = 5 * time.Second
	endWithin   = 8 * time.Second
	quietFor    = 10 * time.Second
)

// leaves tells whether a node that runs may be stopped to be started anew: nothing is under way to it, and what comes for it goes to the
// other nodes of its layer, or waits where there is none. That a resolver keeps to this for one node means that it knows that those before
// serve again: it is told both in one document.
func (p *planner) leaves(e store.Environment, n store.Node) (ready bool, why string) {
	r := p.requests(n)
	p.leaving[n.CTID] = true
	switch {
	case n.Quiet == nil && !r.Serves:
		return true, ""
	case n.Quiet == nil:
		n.Quiet = &store.Quiet{At: p.now}
		p.put(n, "hold", "it is to be started anew: what comes for it goes to others, or waits")
		return false, ""
	}
	hold, end := moving.HoldWithin, moving.EndWithin
	if p.relieved(e, n) {
		end = endWithin
		if r.There {
			hold = quietWithin
		}
	}
	return r.Stops(n.Quiet.At, p.now, hold, end)
}

// relieved tells whether other nodes of a node's layer serve meanwhile.
func (p *planner) relieved(e store.Environment, n store.Node) bool {
	for o := range p.of(n.Env) {
		if o.CTID != n.CTID && o.Layer == n.Layer && !o.Gone && o.Quiet == nil && p.steady(e, o) && p.runs(o) {
			return true
		}
	}
	return false
}

// loud has what comes for nodes reach them again that were started anew and run, or are not to be started anew any more.
func (p *planner) loud() {
	for n := range p.all() {
		q := n.Quiet
		if q == nil {
			continue
		}
		e, ok := p.record(n.Env)
		why := ""
		switch waited := p.now.Sub(q.At); {
		case n.Gone, !ok, !e.Runs(), n.Halted != "":
			why = "it is not to run"
		case waited >= quietFor, waited < 0: // a clock was set
			why = "it has been so for long enough"
		case !q.Stopped && !p.leaving[n.CTID]:
			why = "it is not started anew"
		case q.Stopped && p.steady(e, n):
			why = "it runs again"
		default:
			continue
		}
		n.Quiet = nil
		p.put(n, "serve", why)
	}
}
