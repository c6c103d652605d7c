package progress

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Move is the kind of the operations that have a node go to another host.
const Move = "node.move"

// MovePatience is how long a move may come no further.
const MovePatience = 5 * time.Minute

// NewMove is an operation that has a node of an environment go to another host.
func NewMove(id wire.OperationID, n store.Node, to wire.HostID, e store.Environment, why, by string, now time.Time) store.Operation {
	k, _ := Of(Move)
	op := store.Operation{Node: n.CTID, Env: n.Env, Made: e.Created, From: n.Host, To: to, Operation: operator.Operation{ID: id, Kind: Move,
		Object: "nodes/" + n.CTID.String(), By: by, Account: e.Account, State: operator.OpPending, Created: now, Updated: now,
		Deadline: now.Add(MovePatience), Steps: k.Steps(now), Cancel: k.Cancel()}}
	op.Steps[0].Detail = why
	return op
}

// Moved is what is known of a node that moves.
type Moved struct {
	Node   Node
	On     wire.HostID   // where it is
	Moving *store.Moving // by this operation; nil: it has ended, or was given up
	From   End
	To     End
}

// End is one of the two hosts of a move.
type End struct {
	Name    string
	Removed bool // there is no record of it
	Away    bool // it does not answer
	Lost    bool
	Said    *move.State // of this move; nil: nothing
}

// lookMove is done when the node is on the other host as it shall be, and nothing of it is left where it was. A host that is away is not
// waited for: what it has is removed when it is back.
func lookMove(op *store.Operation, f Facts) (int, int, string) {
	const total = 4
	m := f.Move
	if m == nil {
		return 0, total, "the node is not wanted any more"
	}
	op.Cancel = m.Moving != nil && m.Moving.Step == store.MoveCopy
	said := m.To.Said
	switch {
	case m.On != op.To && (m.Moving == nil || m.Moving.Step == store.MoveCopy):
		detail := copied(m.To)
		further(op, said, f.Now)
		set(op, "copy", operator.OpRunning, detail, f.Now)
		return 1, total, detail
	case m.On != op.To:
		set(op, "copy", operator.OpDone, "", f.Now)
		detail := fmt.Sprintf("it is stopped, and host %s copies what has changed since", m.To.Name)
		if said != nil && said.Error != "" {
			detail += ": " + said.Error
		}
		further(op, said, f.Now)
		set(op, "last", operator.OpRunning, detail, f.Now)
		return 2, total, detail
	}
	set(op, "copy", operator.OpDone, "", f.Now)
	set(op, "last", operator.OpDone, "", f.Now)
	detail := m.Node.What()
	if f.Env != nil && f.Env.Runs() && m.Node.Halted == "" && !m.Node.is(host.CtRunning) {
		set(op, "start", operator.OpRunning, detail, f.Now)
		return 3, total, detail
	}
	set(op, "start", operator.OpDone, detail, f.Now)
	switch {
	case m.Moving == nil:
		set(op, "clean", operator.OpDone, "nothing of it is left on host "+m.From.Name, f.Now)
		return total, total, detail
	case m.From.Away:
		detail = fmt.Sprintf("host %s is away: it removes what it has of the node when it is back", m.From.Name)
		set(op, "clean", operator.OpDone, detail, f.Now)
		return total, total, detail
	}
	detail = fmt.Sprintf("host %s removes what it has of the node", m.From.Name)
	set(op, "clean", operator.OpRunning, detail, f.Now)
	return 3, total, detail
}

// copied says how much of a node is copied.
func copied(to End) string {
	said := to.Said
	switch {
	case said == nil:
		return fmt.Sprintf("host %s has not begun to copy", to.Name)
	case said.Waits:
		return fmt.Sprintf("it waits: host %s copies others first, or the host that it leaves gives others first", to.Name)
	case said.Error != "":
		return fmt.Sprintf("host %s can't go on with copying now: %s", to.Name, said.Error)
	case said.Of > 0:
		return fmt.Sprintf("host %s has copied %d of about %d MiB, round %d", to.Name, said.Bytes>>20, said.Of>>20, said.Round)
	}
	return fmt.Sprintf("host %s has copied %d MiB, round %d", to.Name, said.Bytes>>20, said.Round)
}

// further gives a move that comes further, or waits for others, its time anew.
func further(op *store.Operation, said *move.State, now time.Time) {
	if said != nil && said.Waits && op.Deadline.Before(now.Add(MovePatience*4/5)) { // not at each look: it is stored
		op.Deadline = now.Add(MovePatience)
	}
	if said == nil || said.Bytes == op.Copied {
		return
	}
	op.Copied, op.Deadline = said.Bytes, now.Add(MovePatience)
}

// left tells whether the host that a node leaves is gone, and the other one says that it has not all of the node.
func left(m *Moved) bool {
	said := m.To.Said
	return (m.From.Removed || m.From.Lost) && said != nil && said.Phase == move.Last && !said.Arrived && said.Error != ""
}

// astray is why a move can't be done any more, nil if it can. Once the node is stopped its time ends it, or that its own host is lost
// before all of it has come, as the other one says: else that one may have all of it.
func astray(op store.Operation, f Facts) *operator.Problem {
	m := f.Move
	again := "move it again when the hosts answer: hnctl host list"
	switch {
	case op.Kind != Move:
		return nil
	case m == nil:
		return operator.NewProblem(operator.NotFound, op.Object, "the node was deleted meanwhile", "")
	case m.Moving == nil && m.On != op.To:
		return operator.NewProblem(operator.Unavailable, op.Object, "its move was given up: it is where it was", again)
	case m.Moving != nil && m.Moving.Step == store.MoveLast && left(m):
		return operator.NewProblem(operator.Unavailable, op.Object,
			fmt.Sprintf("host %s is lost, on which it was stopped, and not all of it has come: what counts is what is there", m.From.Name),
			fmt.Sprintf("bring that host back, and it runs there again; if it is gone for good, a node is made anew once it is removed, "+
				"without the data (hnctl host remove %s): restore a backup then (hnctl node backup restore)", m.From.Name))
	case m.Moving == nil || m.Moving.Step != store.MoveCopy:
		return nil
	case m.To.Removed, m.From.Removed:
		return operator.NewProblem(operator.NotFound, op.Object, "one of the two hosts was removed meanwhile", again)
	case m.To.Lost:
		return operator.NewProblem(operator.Unavailable, op.Object, "host "+m.To.Name+" is lost: the node stays where it is", again)
	case m.From.Lost:
		return operator.NewProblem(operator.Unavailable, op.Object, fmt.Sprintf("host %s, which it leaves, is lost", m.From.Name), again)
	}
	return nil
}
