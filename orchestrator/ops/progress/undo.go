package progress

import (
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Undone is the environment after an operation that ended without being done. Cancelling makes what was before wanted again, whatever the
// operation was; failing only where the kind says so. A creation that failed stays, marked, unless it was to leave nothing.
func Undone(e store.Environment, op store.Operation, before *store.Earlier) store.Environment {
	cancelled := op.State == operator.OpCancelled
	switch {
	case op.Kind == "env.create" && (cancelled || op.Remove):
		e.Want = store.WantDeleted
	case op.Kind == "env.create":
		e.Failed = &store.Failure{Operation: op.ID, At: op.Updated, Reason: ReasonOf(op)}
	case before != nil && (cancelled || kinds[op.Kind].undo):
		e.Spec, e.Want = before.Spec, before.Want
		if before.Walls != nil {
			e.Restore(*before.Walls)
		}
	}
	if op.Kind == "env.start" && e.Failed != nil {
		again := *e.Failed
		again.At = op.Updated // somebody is at work on it
		e.Failed = &again
	}
	return e
}
