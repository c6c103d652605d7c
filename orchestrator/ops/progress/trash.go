package progress

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Trash and Restore are the kinds of the operations that put an environment into the trash, and bring it back.
const (
	Trash   = "env.trash"
	Restore = "env.restore"
)

// lookRestore is done when all of an environment runs that came out of the trash, or at once if it was stopped before.
func lookRestore(op *store.Operation, f Facts) (int, int, string) {
	if f.Env == nil || f.Env.Runs() {
		return lookRun(op, f)
	}
	for _, name := range []string{"place", "deliver", "run"} {
		set(op, name, operator.OpDone, "it is stopped, as it was before", f.Now)
	}
	return 1, 1, ""
}

// trashed is why a request of a kind can't be accepted for an environment, by whether it is in the trash; nil if it can.
func trashed(kind string, name wire.EnvName, e *store.Environment) *operator.Problem {
	object := "environments/" + string(name)
	switch {
	case kind == Restore && !e.InTrash():
		return operator.NewProblem(operator.Conflict, object, "it is not in the trash", "see hnctl env trash list")
	case !e.InTrash(), kind == Restore, kind == "env.delete":
		return nil
	case kind == "env.create":
		return env.TakenByTrash(name, true)
	}
	return operator.NewProblem(operator.Conflict, object,
		fmt.Sprintf("it is in the trash, until %s", e.Trash.Until.Format(time.RFC3339)),
		"bring it back first: hnctl env trash restore "+string(name))
}
