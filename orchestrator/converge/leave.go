package converge

import (
	"crypto/sha256"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/place"
	"hardnode.dev/orchestrator/store"
)

// exit is a way in which a node that runs leaves a host that is drained.
type exit struct {
	way   string
	takes func(*store.Node) bool // what kind of node can leave like this
	// begin has the node leave like this, or waits for its turn; a refusal: no other host takes it now.
	begin func(*planner, store.Environment, store.Node) *place.Refusal
	// last: a node leaves like this once no other one of its host can leave in another way.
	last bool
}

// exits are the ways, the best first: a node leaves by the first that takes it and is not refused.
var exits = []exit{
	{way: operator.WayReplace, takes: plain, begin: (*planner).succeed},
	{way: operator.WayMove, takes: func(n *store.Node) bool { return !plain(n) }, begin: (*planner).depart},
	{way: operator.WayStop, takes: func(*store.Node) bool { return true }, begin: (*planner).halt, last: true},
}

// plain tells whether a node can be made anew anywhere.
func plain(n *store.Node) bool { return len(n.Container.Volumes) == 0 }

// leave has the nodes of hosts that are drained leave them, and those that were stopped for it run again where that is over.
func (p *planner) leave() {
	for n := range p.all() {
		e, ok := p.record(n.Env)
		c := p.cordon(n.Host)
		switch {
		case n.Gone || !ok:
		case n.Halted != "" && (c == nil || c.Drain == nil):
			n.Halted = ""
			p.put(n, "start", "its host is not drained any more")
		case n.Moving != nil && n.Moving.Drain != "" && n.Moving.Step == store.MoveCopy && n.Moving.Why == "" &&
			(!c.Leaves() || c.Drain.Operation != n.Moving.Drain):
			m := *n.Moving
			m.Why, n.Moving = "its host is not drained any more", &m
			p.put(n, "move", m.Why)
		case c.Leaves() && p.runsThere(e, &n):
			p.exit(e, n, c)
		}
	}
}

// runsThere tells whether a node of a user is to run on its host now, and is there for good.
func (p *planner) runsThere(e store.Environment, n *store.Node) bool {
	return !n.Gone && n.Env != env.System && n.Halted == "" && n.Replaces == 0 && n.Moving == nil &&
		e.Runs() && p.reachable(n.Host)
}

// exit has a node leave its host.
func (p *planner) exit(e store.Environment, n store.Node, c *store.Cordon) {
	var refusal *place.Refusal
	for _, x := range exits {
		switch {
		case !x.takes(&n):
		case x.last && refusal != nil && plain(&n) && !c.Drain.Stop:
			p.stuck[n.Env] = stuck(n.CTID, p.hostName(n.Host), refusal)
			return
		case x.last && p.others(n.Host, c.Drain.Stop):
			p.watching[n.Env] = true
			return
		default:
			if refusal = x.begin(p, e, n); refusal == nil {
				return
			}
		}
	}
}

func stuck(id wire.CTID, host string, r *place.Refusal) string {
	return fmt.Sprintf("node %d is to leave host %s, and no other host takes it: %s", id, host, r)
}

// others tells whether nodes of a host leave it, or can, by a way that is none of the last; fitting: those that no other host takes now
// don't count.
func (p *planner) others(id wire.HostID, fitting bool) bool {
	m := p.hosts[id]
	if m == nil {
		return false
	}
	for n := range p.each(m.nodes) {
		e, _ := p.record(n.Env)
		switch {
		case departs(&n, id):
			return true
		case n.Host != id || !p.runsThere(e, &n):
		case !plain(&n):
			if p.bound(&n) == "" {
				return true
			}
		case !fitting || p.successor(&n) || p.board.Fits(p.sized(e, n)):
			return true
		}
	}
	return false
}

// departs tells whether a node is about to go from a host with its data.
func departs(n *store.Node, from wire.HostID) bool {
	return n.Host == from && n.Moving != nil && n.Moving.Step != store.MoveClean
}

const noMove = "is not to be moved"

// bound is why a node does not leave its host with its data, "" if it can.
func (p *planner) bound(n *store.Node) string {
	c, stays := p.cordon(n.Host), p.stays(*n)
	switch {
	case c.Leaves() && c.Drain.NoMove:
		return noMove
	case stays != nil:
		return stays.Reason
	case c.Leaves() && c.Drain.Operation != "" && n.Tried == c.Drain.Operation:
		return "its move to another host was given up"
	case !p.board.Fits(p.carried(n)):
		return "no other host takes it"
	}
	return ""
}

// depart has a node go to another host with its data; one of its host at a time does.
func (p *planner) depart(e store.Environment, n store.Node) *place.Refusal {
	if p.bound(&n) != "" {
		return &place.Refusal{} // halt says why
	}
	for o := range p.each(p.hosts[n.Host].nodes) {
		if departs(&o, n.Host) {
			return nil
		}
	}
	choice, refusal := p.board.Place(p.carried(&n))
	if refusal != nil {
		return refusal
	}
	drain := p.cordon(n.Host).Drain.Operation
	why := fmt.Sprintf("host %s is drained; %s", p.hostName(n.Host), choice.Why)
	sum := sha256.Sum256([]byte("node.move " + n.CTID.String() + " " + string(drain)))
	op := progress.NewMove(wire.OperationID(fmt.Sprintf("op-%x", sum[:8])), n, choice.Host, e, why, "orchestrator", p.now)
	n.Moving = &store.Moving{Operation: op.ID, Other: choice.Host, Step: store.MoveCopy, At: p.now, Drain: drain}
	p.plan.Operations = append(p.plan.Operations, op)
	p.put(n, "move", why)
	return nil
}

// sized is a node as it would be made anew, as placing sees it.
func (p *planner) sized(e store.Environment, n store.Node) place.Node {
	l := layerOf(e, n.Layer)
	if l == nil {
		return counted(&n)
	}
	w := wanted(again(e, *l, n.Index, p.templates, n))
	w.For = n.Host
	return w
}

// successor tells whether a node of the same layer is on its way to take another's place: one does at a time.
func (p *planner) successor(n *store.Node) bool {
	for o := range p.of(n.Env) {
		if o.Layer == n.Layer && o.Replaces != 0 && !o.Gone {
			return true
		}
	}
	return false
}

// succeed makes a node anew on another host. Once that one runs the old one goes (moves); an old one that can't run goes at once, for
// nobody is to wait for it.
func (p *planner) succeed(e store.Environment, n store.Node) *place.Refusal {
	l := layerOf(e, n.Layer)
	if l == nil || p.successor(&n) {
		return nil
	}
	made, refusal := p.create(again(e, *l, n.Index, p.templates, n), &n, "")
	if refusal != nil {
		return refusal
	}
	why := fmt.Sprintf("host %s is drained", p.hostName(n.Host))
	made.Placed = fmt.Sprintf("takes the place of node %d: %s; %s", n.CTID, why, made.Placed)
	state := p.seen(n)
	if n.Waits != "" {
		state = host.CtWaiting // for layers that start before it, as the other one will
	}
	if state == host.CtFailing || state == host.CtBroken || state == host.CtWaiting {
		why += ", and it is " + string(state)
		n.Gone, n.Why, n.ReplacedBy = true, why, made.CTID
		p.put(made, "place", made.Placed)
		p.put(n, "retire", fmt.Sprintf("replaced by node %d: %s", made.CTID, why))
		return nil
	}
	made.Replaces = n.CTID
	p.put(made, "place", made.Placed)
	return nil
}

// halt stops a node where it is.
func (p *planner) halt(_ store.Environment, n store.Node) *place.Refusal {
	why := "no other host takes it"
	if !plain(&n) {
		why = "it has a volume, and " + p.bound(&n)
	}
	n.Halted = fmt.Sprintf("it stays on host %s, which is drained: %s; it is started again when the host is uncordoned", p.hostName(n.Host),
		why)
	p.put(n, "stop", n.Halted)
	return nil
}

// seen is the state that a host says a node is in, as it shall be now; "" if it says nothing of that.
func (p *planner) seen(n store.Node) host.ContainerState {
	s := p.status(n.Host)
	c, ok := s.Container(n.CTID)
	if !ok || s.State.State != operator.HostActive || c.Generation != n.Container.Generation ||
		c.Boot < n.Container.Boot {
		return ""
	}
	return c.State
}

// cordon is a host's, nil if it has none.
func (x *Index) cordon(id wire.HostID) *store.Cordon {
	if m := x.hosts[id]; m != nil {
		return m.cordon
	}
	return nil
}

// drained makes the environments dirty that have nodes on hosts which are drained: when the last of them stop depends on the others.
func (x *Index) drained() {
	for id := range x.drains {
		x.on(x.hosts[id], false)
	}
}

// departure is how a node with volumes would leave its host.
func (p *planner) departure(n *store.Node, stays bool) (way, to, why string) {
	const has = "it has a volume, and "
	if stays {
		return operator.WayStop, "", has + noMove
	}
	if why := p.stays(*n); why != nil {
		return operator.WayStop, "", has + why.Reason
	}
	choice, refusal := p.board.Place(p.carried(n))
	if refusal != nil {
		return operator.WayStop, "", has + "no other host takes it: " + refusal.String()
	}
	return operator.WayMove, p.hostName(choice.Host), choice.Why
}

// Leaving is how each node of a user would leave a host that were drained now, by number. Stop: those that no other host takes are stopped;
// stays: those with volumes are.
func (x *Index) Leaving(id wire.HostID, stop, stays bool) []operator.DrainNode {
	x.recount()
	m := x.hosts[id]
	if m == nil || m.record == nil {
		return nil
	}
	x.board.Try()
	defer x.board.Undo()
	p := &planner{Index: x}
	out := []operator.DrainNode{}
	for _, ctid := range m.nodes {
		n := *x.nodes[ctid]
		e, ok := p.record(n.Env)
		if n.Gone || n.Env == env.System || !ok || n.Host != id {
			continue
		}
		d := operator.DrainNode{CTID: ctid, Env: n.Env, Layer: n.Layer}
		switch {
		case n.Moving != nil:
			d.Way, d.Why = operator.WayStay, "it moves already"
		case n.Halted != "":
			d.Way, d.Why = operator.WayStay, n.Halted
		case !e.Runs():
			d.Way, d.Why = operator.WayStay, "its environment does not run"
		case !plain(&n):
			d.Way, d.HostName, d.Why = p.departure(&n, stays)
		default:
			size := p.sized(e, n)
			size.Not = id
			choice, refusal := x.board.Place(size)
			switch {
			case refusal == nil:
				d.Way, d.HostName, d.Why = operator.WayReplace, p.hostName(choice.Host), choice.Why
				x.board.Retire(size.Layer, id)
			case stop:
				d.Way, d.Why = operator.WayStop, "no other host takes it: "+refusal.String()
			default:
				d.Way, d.Why = operator.WayStuck, "no other host takes it: "+refusal.String()
			}
		}
		out = append(out, d)
	}
	return out
}
