// Package moving decides what comes next in the move of a node from one host to another.
//
// Owns: the rules by which a move goes on, ends, or is given up, so that no two hosts ever run the node.
// In: how far the move is, what both hosts and the resolvers say.
// Out: the next step, and why.
// Never: stores anything, or gives a move up by itself: a person or the operation's end does.
package moving

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Host is one end of a move.
type Host struct {
	Known bool // there is a record of it: without one it is gone for good, on somebody's word
	// Clear: it has answered to what it is told now, and has nothing of the node.
	Clear bool
	// Said is what it says of this move, in an answer to what it is told now; nil: nothing yet.
	Said *move.State
}

// Requests are those for the node, which come by resolvers.
type Requests struct {
	Serves bool // there are any: it is one that resolvers name, and runs
	There  bool // there are resolvers that say something
	Held   bool // each resolver that is there has what comes wait
	Busy   int  // sent before that, and under way
}

// How long a node that is about to stop waits at most until the resolvers say that they hold what comes for it, and then for the requests
// that are under way. A resolver that is away, or a request without end, is not waited for.
const (
	HoldWithin = time.Second
	EndWithin  = 2 * time.Second
)

// Stops tells whether nothing keeps a node from being stopped, what comes for it being held since then: hold is how long the resolvers have
// to say so, and end how long requests have to end.
func (r Requests) Stops(since, now time.Time, hold, end time.Duration) (bool, string) {
	waited := now.Sub(since)
	switch {
	case !r.Serves:
		return true, "nothing comes for it"
	case r.Held && r.Busy == 0:
		return true, "what comes for it waits, and nothing is under way"
	case waited >= end, waited < 0: // a clock was set
		return true, fmt.Sprintf("%d requests are under way still", r.Busy)
	case !r.Held && waited >= hold:
		return true, "not all resolvers have said that what comes for it waits"
	}
	return false, ""
}

// Next is a node as it is after what from and to say, which are the host that it leaves and the one that it goes to; why is "" while
// nothing changes. The node is one that moves.
func Next(n store.Node, from, to Host, r Requests, now time.Time) (next store.Node, why string) {
	m := *n.Moving
	step := func(s store.MoveStep, why string) (store.Node, string) {
		m.Step, m.At, m.Held = s, now, time.Time{}
		n.Moving = &m
		return n, why
	}
	end := func(why string) (store.Node, string) {
		if n.Moving = nil; m.Step != store.MoveClean {
			n.Tried = m.Drain
		}
		return n, why
	}
	arrived := to.Said != nil && to.Said.Phase == move.Last && to.Said.Arrived
	there := func() (store.Node, string) {
		n.Assigned, m.Assigned = m.Assigned, n.Assigned
		n.Host, m.Other = m.Other, n.Host
		n.Moved, m.Why = true, ""
		return step(store.MoveClean, "all of it has come: it runs there from now on")
	}
	switch m.Step {
	case store.MoveCopy:
		switch {
		case m.Why != "": // the other host was never told to run it
			return end("its move is given up: " + m.Why)
		case !to.Known:
			return end("its move is given up: the host that it was to go to was removed")
		}
		// a host that does not answer would not stop it, and what comes for it would wait for nothing
		ready := to.Said != nil && to.Said.Phase == move.Copy && to.Said.Ready && from.Said != nil
		if !m.Held.IsZero() {
			switch stops, why := r.Stops(m.Held, now, HoldWithin, EndWithin); {
			case stops && ready:
				return step(store.MoveLast, "it stops, and starts on the other host: "+why)
			case stops:
				m.Held, n.Moving = time.Time{}, &m
				return n, "there is more to copy, or its host does not answer: what comes for it waits no more"
			}
			return n, ""
		}
		switch {
		case ready && r.Serves:
			m.Held, n.Moving = now, &m
			return n, "what is left to copy is little: what comes for it waits"
		case ready:
			return step(store.MoveLast, "what is left to copy is little: it stops, and starts on the other host")
		}
	case store.MoveLast:
		switch {
		case arrived:
			return there()
		case !to.Known:
			return end("its move is given up: the host that it was to go to was removed")
		case m.Why != "": // whatever that host has said, it may come, and run, at any moment
			return step(store.MoveRecall, "its move is given up, if the other host has not all of it yet: "+m.Why)
		}
	case store.MoveRecall:
		switch {
		case arrived: // it may have run there, and written
			return there()
		case !to.Known:
			return end("its move is given up: the host that it was to go to was removed")
		case to.Said != nil && to.Said.Phase == move.Copy, to.Clear: // it does not come any more
			return step(store.MoveBack, "its move is given up: "+m.Why)
		}
	case store.MoveBack:
		if to.Clear || !to.Known {
			return end("its move was given up, and the other host has nothing of it: it runs where it was")
		}
	case store.MoveClean:
		if from.Clear || !from.Known {
			return end("nothing of it is left on the host that it came from")
		}
	}
	return n, ""
}

// Stays is why a node can't move by what is known of itself, nil if it can.
func Stays(n store.Node) *operator.Problem {
	object := "nodes/" + n.CTID.String()
	switch {
	case n.Gone:
		return operator.NewProblem(operator.NotFound, object, "there is no such node", "see hnctl node list")
	case n.Env == env.System:
		return operator.NewProblem(operator.Denied, object, "it is one of the platform's own nodes, which stay on their host",
			"move a node of another environment")
	case n.Moving != nil:
		return operator.NewProblem(operator.Conflict, object,
			fmt.Sprintf("it moves already, or is being removed where it was: operation %s", n.Moving.Operation),
			"wait for it: hnctl op watch "+string(n.Moving.Operation))
	case n.Replaces != 0:
		return operator.NewProblem(operator.Conflict, object, fmt.Sprintf("it is about to take the place of node %s", n.Replaces),
			"wait until it has: hnctl node list")
	}
	return nil
}
