package ops

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// restarts notes in an environment's record which nodes are started anew, or says why that can't be.
func restarts(tx *store.Tx, e *store.Environment, op store.Operation, r operator.RestartEnvironment) error {
	rec := store.Restart{Operation: op.ID, RestartEnvironment: r}
	about, there := 0, false
	for n := range store.NodesOf.Of(tx.View(), string(e.Spec.Name)) {
		there = there || n.CTID == r.CTID
		if rec.About(n) && !n.Gone {
			about++
		}
	}
	object := "environments/" + string(e.Spec.Name)
	switch l := layerOf(*e, r.Layer); {
	case r.DelaySeconds < 0 || r.DelaySeconds > operator.MostDelay:
		return operator.NewProblem(operator.Invalid, "delaySeconds", fmt.Sprintf("%d seconds, want 0 to %d", r.DelaySeconds,
			operator.MostDelay), "change the delay")
	case r.Together && r.DelaySeconds > 0:
		return operator.NewProblem(operator.Invalid, "delaySeconds", "nodes that are started together have no delay between them",
			"leave one of the two out")
	case r.Layer != "" && l == nil:
		return operator.NewProblem(operator.NotFound, "layer", fmt.Sprintf("the environment has no layer %q", r.Layer),
			"see hnctl env show "+string(e.Spec.Name))
	case r.CTID != 0 && !there:
		return operator.NewProblem(operator.NotFound, "ctid", fmt.Sprintf("node %d is none of the environment", r.CTID),
			"see hnctl env show "+string(e.Spec.Name))
	case about == 0:
		return operator.NewProblem(operator.Conflict, object, "it has no node to be started anew",
			"see hnctl env show "+string(e.Spec.Name))
	}
	e.Restart = &rec
	return nil
}

// restarted notes of the nodes that a restart is about how far it is with them; the others don't count. Each has patience from its start
// on.
func restarted(w world.World, op store.Operation, f progress.Facts, patience time.Duration) progress.Facts {
	nodes := f.Nodes[:0:0]
	for _, n := range f.Nodes {
		rec, _ := store.Nodes.Get(w.View, n.CTID.String())
		if f.Env.Restart == nil || !f.Env.Restart.About(rec) {
			continue
		}
		if done := rec.Restarted; done == nil || done.By != op.ID {
			n.Stale = true
		} else {
			n.Until = done.At.Add(patience + time.Duration(f.Env.Restart.DelaySeconds)*time.Second)
		}
		l := layerOf(*f.Env, rec.Layer)
		n.Surplus = l == nil || rec.Index >= l.Nodes || rec.Waits != "" // one that waits for its turn is yet to be started
		nodes = append(nodes, n)
	}
	f.Nodes = nodes
	return f
}
