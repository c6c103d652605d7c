package converge

import (
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge/moving"
	"hardnode.dev/orchestrator/place"
	"hardnode.dev/orchestrator/store"
)

// Target is the host that a node would move to: the one that is asked for, if it takes the node, or else, asked for none, the best one.
func (x *Index) Target(id wire.CTID, asked wire.HostID) (to wire.HostID, why string, refused *operator.Problem) {
	object := "nodes/" + id.String()
	no := func(code operator.Code, why, next string) (wire.HostID, string, *operator.Problem) {
		return "", "", operator.NewProblem(code, object, why, next)
	}
	x.recount()
	n := x.nodes[id]
	if n == nil {
		return no(operator.NotFound, "there is no such node", "see hnctl node list")
	}
	if p := x.stays(*n); p != nil {
		return "", "", p
	}
	if n.Host == asked {
		return no(operator.Conflict, "it is on host "+x.hosts[n.Host].record.Name+" already", "name another host, or none")
	}
	size := x.carried(n)
	if asked != "" {
		why, refusal := x.board.On(asked, size)
		if refusal == "" {
			return asked, why, nil
		}
		name := string(asked)
		if m := x.hosts[asked]; m != nil && m.record != nil {
			name = m.record.Name
		}
		return no(operator.Exhausted, "host "+name+" "+refusal, "name another host, or none: hnctl node move "+id.String()+" --dry-run")
	}
	x.board.Try()
	defer x.board.Undo()
	choice, refusal := x.board.Place(size)
	switch {
	case refusal != nil && refusal.Lacks != "":
		return no(operator.Exhausted, "no other host takes it: "+refusal.String(), Unlabelled(n.Layer))
	case refusal != nil:
		return no(operator.Exhausted, "no other host takes it: "+refusal.String(), "make room, or add a host: hnctl host list")
	}
	return choice.Host, choice.Why, nil
}

// stays is why a node can't go from where it is with its data, nil if it can: whether another host takes it is left open.
func (x *Index) stays(n store.Node) *operator.Problem {
	if p := moving.Stays(n); p != nil {
		return p
	}
	object, from := "nodes/"+n.CTID.String(), x.hosts[n.Host]
	switch {
	case from == nil || from.record == nil || from.status.State.State != operator.HostActive:
		return operator.NewProblem(operator.Unavailable, object, "its host does not answer: nothing can be copied from there",
			"wait for it: hnctl host list")
	case from.status.Report == nil || !from.status.Report.Moves:
		return operator.NewProblem(operator.Unavailable, object, "its host "+from.record.Name+
			" has a version from which no node moves, or does not say", "bring it up to date: hnctl host update "+from.record.Name)
	case !x.pushed(n):
		return operator.NewProblem(operator.NotFound, object, fmt.Sprintf(
			"its template %s is not in the registry any more, and the other host has to fetch it", n.Container.Image.Name),
			"push it again: hnctl template push")
	}
	return nil
}

// carried is a node as placing sees it that goes to another host with its data.
func (x *Index) carried(n *store.Node) place.Node {
	size := counted(n)
	size.Not, size.For, size.Moves = n.Host, n.Host, true
	if e := x.envs[n.Env]; e != nil && e.record != nil {
		if l := layerOf(*e.record, n.Layer); l != nil {
			size.Place = l.Place
		}
	}
	return size
}

// pushed tells whether the registry has a node's template still.
func (x *Index) pushed(n store.Node) bool {
	for _, t := range x.templates {
		if t.Image.Digest == n.Container.Image.Digest {
			return true
		}
	}
	return false
}
