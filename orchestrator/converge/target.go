package converge

import (
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge/moving"
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
	if p := moving.Stays(*n); p != nil {
		return "", "", p
	}
	from := x.hosts[n.Host]
	switch {
	case from == nil || from.record == nil || from.status.State.State != operator.HostActive:
		return no(operator.Unavailable, "its host does not answer: nothing can be copied from there", "wait for it: hnctl host list")
	case from.status.Report == nil || !from.status.Report.Moves:
		return no(operator.Unavailable, "its host "+from.record.Name+" has a version from which no node moves, or does not say",
			"bring it up to date: hnctl host update "+from.record.Name)
	case n.Host == asked:
		return no(operator.Conflict, "it is on host "+from.record.Name+" already", "name another host, or none")
	case !x.pushed(*n):
		return no(operator.NotFound, fmt.Sprintf("its template %s is not in the registry any more, and the other host has to fetch it",
			n.Container.Image.Name), "push it again: hnctl template push")
	}
	size := counted(n)
	size.Not, size.Moves = n.Host, true
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
	if refusal != nil {
		return no(operator.Exhausted, "no other host takes it: "+refusal.String(), "make room, or add a host: hnctl host list")
	}
	return choice.Host, choice.Why, nil
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
