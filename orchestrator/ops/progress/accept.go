package progress

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// NoOperation says that there is no such operation.
func NoOperation(id wire.OperationID) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "operations/"+string(id), "there is no such operation", "see hnctl op list")
}

// Refusal is why a request of a kind can't be accepted for an environment as it is, nil if it can. e is nil when there is none; revision is
// e's, and match the one it must have, 0 being any.
func Refusal(kind string, name wire.EnvName, e *store.Environment, revision, match wire.Revision) *operator.Problem {
	object := "environments/" + string(name)
	switch {
	case kind == "env.create" && e != nil && !e.InTrash():
		return env.Taken(name, true)
	case kind != "env.create" && e == nil:
		return operator.NewProblem(operator.NotFound, object, "there is no such environment", "see hnctl env list")
	case e != nil && e.System:
		return operator.NewProblem(operator.Denied, object, "it is the platform itself", "its components are changed by the Patcher only")
	case e != nil && e.Want == store.WantDeleted && kind != "env.delete": // a deletion that ran out of time may be watched again
		return operator.NewProblem(operator.Conflict, object, "it is being deleted", "wait until it is gone: hnctl op list")
	case e != nil && trashed(kind, name, e) != nil:
		return trashed(kind, name, e)
	case kind == Rename && e.Want != store.WantStopped:
		return operator.NewProblem(operator.Conflict, object, "it is to run, and its nodes know its name from their start on",
			"stop it first: hnctl env stop "+string(name))
	case kind == Transfer && e.Want != store.WantStopped:
		return operator.NewProblem(operator.Conflict, object, "it is to run, and changes hands only while it is stopped",
			"stop it first: hnctl env stop "+string(name))
	case kind == "env.spread" && !e.Runs():
		return operator.NewProblem(operator.Conflict, object, "it is not to run: there is nothing to move",
			"start it first: hnctl env start "+string(name))
	case kind == Restart && !e.Runs():
		return operator.NewProblem(operator.Conflict, object, "it is not to run: there is nothing to start anew",
			"start it: hnctl env start "+string(name))
	case kind == "env.start" && e.Held != "":
		return operator.NewProblem(operator.Denied, object, "it can't be started: "+e.Held, "ask those who run the cluster")
	case match != 0 && match != revision:
		p := operator.NewProblem(operator.Conflict, object, fmt.Sprintf("it has revision %d now, If-Match says %d", revision, match),
			"read it again and repeat")
		p.Status = 412
		return p
	}
	return nil
}

// Interrupt is the operation that holds an environment as it is once another begins, or why that must wait.
func (k Kind) Interrupt(holder, by store.Operation) (store.Operation, *operator.Problem) {
	if !k.Interrupts(holder.Kind) {
		return holder, operator.NewProblem(operator.Conflict, by.Object, fmt.Sprintf("operation %s (%s) is at work on it", holder.ID,
			holder.Kind),
			"wait for it: hnctl op watch "+string(holder.ID))
	}
	why := operator.NewProblem(operator.Conflict, by.Object, "interrupted by "+by.Kind, "see operation "+string(by.ID))
	ended := Finish(holder, operator.OpCancelled, by.Created, why)
	ended.Updated, ended.Before = by.Created, nil
	return ended, nil
}

// Cancelled is an operation that a person cancels now, or why it can't be.
func Cancelled(op store.Operation, by string, now time.Time) (store.Operation, *operator.Problem) {
	object := "operations/" + string(op.ID)
	switch {
	case op.State.Final():
		return op, operator.NewProblem(operator.Conflict, object, "it is "+string(op.State)+" already", "")
	case !op.Cancel:
		return op, operator.NewProblem(operator.Conflict, object, op.Kind+" can't be cancelled",
			"wait for it: hnctl op watch "+string(op.ID))
	}
	return Finish(op, operator.OpCancelled, now, operator.NewProblem(operator.Conflict, op.Object, "cancelled by "+by, "")), nil
}
