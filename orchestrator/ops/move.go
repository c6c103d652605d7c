package ops

import (
	"context"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge/moving"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// MoveRequest is that a person wants a node on another host, which takes it as far as is known.
type MoveRequest struct {
	Node wire.CTID
	To   wire.HostID
	Why  string // it goes there
	Rate int64  // bytes a second; 0: no bound
	By   string
	// Also adds to the transaction (the idempotency key), once the operation has its id.
	Also func(*store.Tx, store.Operation)
}

// Move has a node go to another host with its data, and returns once that is durable. Errors are Problems.
func (o *Ops) Move(ctx context.Context, r MoveRequest) (operator.Operation, error) {
	id, err := newID()
	if err != nil {
		return operator.Operation{}, err
	}
	now, object := o.now(), "nodes/"+r.Node.String()
	var op store.Operation
	_, err = o.Store.Update(ctx, func(tx *store.Tx) error {
		n, there := store.Nodes.Read(tx, r.Node.String())
		e, known := store.Envs.Read(tx, string(n.Env))
		_, host := store.Hosts.Read(tx, string(r.To))
		switch {
		case !there || !known:
			return operator.NewProblem(operator.NotFound, object, "there is no such node", "see hnctl node list")
		case !host:
			return operator.NewProblem(operator.NotFound, "hosts/"+string(r.To), "there is no such host", "see hnctl host list")
		case n.Host == r.To:
			return operator.NewProblem(operator.Conflict, object, "it is on that host already", "name another host, or none")
		}
		if p := moving.Stays(n); p != nil {
			return p
		}
		op = progress.NewMove(id, n, r.To, e, r.Why, r.By, now)
		n.Moving = &store.Moving{Operation: id, Other: r.To, Step: store.MoveCopy, At: now, Rate: r.Rate}
		store.Nodes.Put(tx, r.Node.String(), n)
		store.Operations.Put(tx, string(id), op)
		if r.Also != nil {
			r.Also(tx, op)
		}
		return nil
	})
	if err != nil {
		return operator.Operation{}, err
	}
	logging.Or(o.Log).Info("accepted", logging.Op, string(id), logging.Step, op.Kind, logging.Container, r.Node, logging.Host, string(r.To),
		logging.Reason, r.Why)
	return o.get(id)
}

// moved is what the progress of a move follows from.
func moved(w world.World, op store.Operation, f progress.Facts) progress.Facts {
	n, there := store.Nodes.Get(w.View, op.Node.String())
	if !there || n.Gone {
		return f
	}
	f.Move = &progress.Moved{Node: nodeOf(w, n), On: n.Host, From: end(w, op.From), To: end(w, op.To)}
	if n.Moving != nil && n.Moving.Operation == op.ID {
		f.Move.Moving = n.Moving
	}
	for id, at := range map[wire.HostID]**move.State{op.From: &f.Move.From.Said, op.To: &f.Move.To.Said} {
		s := w.Live[id]
		if c, ok := s.Container(op.Node); ok && c.Move != nil && c.Move.ID == string(op.ID) {
			*at = c.Move
		}
	}
	return f
}

func end(w world.World, id wire.HostID) progress.End {
	h, there := store.Hosts.Get(w.View, string(id))
	s := w.Live[id]
	return progress.End{Name: h.Name, Removed: !there, Away: s.State.State == operator.HostUnreachable, Lost: s.Loss.Lost}
}

// giveUp has a move that ended without being done go back, where it still can: what a host has said of having all of it wins.
func giveUp(tx *store.Tx, op store.Operation) {
	n, there := store.Nodes.Read(tx, op.Node.String())
	if !there || n.Moving == nil || n.Moving.Operation != op.ID {
		return
	}
	m := *n.Moving
	m.Why = progress.ReasonOf(op)
	n.Moving = &m
	store.Nodes.Put(tx, op.Node.String(), n)
}

// begun is why a move can't be cancelled any more, nil if it can. Reading the node makes the commit fail if that changes meanwhile.
func begun(tx *store.Tx, op store.Operation) *operator.Problem {
	n, there := store.Nodes.Read(tx, op.Node.String())
	if !there || n.Moving == nil || n.Moving.Operation != op.ID || n.Moving.Step == store.MoveCopy {
		return nil
	}
	return operator.NewProblem(operator.Conflict, "operations/"+string(op.ID), "the node is stopped already to start on the other host",
		"wait for it: hnctl op watch "+string(op.ID)+"; then move it back")
}
