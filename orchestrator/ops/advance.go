package ops

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Facts are what an operation's progress follows from.
type Facts struct {
	Now   time.Time
	Env   *store.Environment // nil when it is gone
	Nodes []Node             // of the environment
	// Missing nodes have no host yet, for the reason Why.
	Missing int
	Why     string
}

// Advance is the operation as it stands by the facts. It is pure; a final operation stays as it is. Reaching the deadline fails it: what
// undoing it takes is the caller's business (Operation.Undo).
func Advance(op store.Operation, f Facts) store.Operation {
	if op.State.Final() {
		return op
	}
	op.Steps = slices.Clone(op.Steps)
	op.State = operator.OpRunning
	work := kinds[op.Kind]
	if work.look == nil {
		return finish(op, operator.OpFailed, f.Now, operator.NewProblem(operator.Internal, op.Object, "operation kind "+op.Kind+" is not known", "upgrade the orchestrator"))
	}
	done, total, detail := work.look(&op, f)
	op.Progress = 5
	if total > 0 {
		op.Progress = min(99, 5+94*done/total)
	}
	if op.Kind != "env.delete" && f.Env == nil {
		return finish(op, operator.OpFailed, f.Now, operator.NewProblem(operator.NotFound, op.Object, "the environment was deleted meanwhile", ""))
	}
	if done >= total {
		op.Progress = 100
		return finish(op, operator.OpDone, f.Now, nil)
	}
	if why := hopeless(op, f); why != "" {
		return finish(op, operator.OpFailed, f.Now, operator.NewProblem(operator.Invalid, op.Object, why, "mend its template, push it again (hnctl template push), then create the environment again"))
	}
	if !f.Now.Before(op.Deadline) {
		return finish(op, operator.OpFailed, f.Now, operator.NewProblem(operator.Unavailable, op.Object,
			fmt.Sprintf("not done within %s: %s", op.Deadline.Sub(op.Created).Round(time.Second), detail), "see hnctl op show "+string(op.ID)+" and hnctl host list, then try again"))
	}
	return op
}

// hopeless is why an environment can't be created however long one waits, or "": a node's image or program is wrong.
func hopeless(op store.Operation, f Facts) string {
	if op.Kind != "env.create" {
		return ""
	}
	for _, n := range wanted(f.Nodes) {
		if n.State == string(host.CtBroken) {
			return fmt.Sprintf("node %d on %s is %s: %s", n.CTID, n.HostName, n.State, n.Reason)
		}
	}
	return ""
}

// finish ends an operation; steps that were not done end with it.
func finish(op store.Operation, state operator.OperationState, now time.Time, p *operator.Problem) store.Operation {
	op.State, op.Problem, op.Cancel = state, p, false
	for i := range op.Steps {
		if !op.Steps[i].State.Final() {
			op.Steps[i].State, op.Steps[i].At = state, now
		}
	}
	return op
}

// kind is how one kind of operation is watched: its steps, and how far it is (done of total, and a detail for people).
type kind struct {
	steps []string
	look  func(op *store.Operation, f Facts) (done, total int, detail string)
	undo  store.Want // the want that undoing restores; "" when there is nothing to undo
	want  store.Want // the want it sets
	// over are the kinds it may interrupt.
	over []string
}

// kinds is the table of all operations. A deletion interrupts everything; starting and stopping interrupt each other.
var kinds = map[string]kind{
	"env.create":   {steps: []string{"accept", "place", "deliver", "run"}, look: lookRun, undo: store.WantDeleted, want: store.WantRunning},
	"env.start":    {steps: []string{"accept", "place", "deliver", "run"}, look: lookRun, undo: store.WantStopped, want: store.WantRunning, over: []string{"env.stop"}},
	"env.stop":     {steps: []string{"accept", "stop"}, look: lookStop, undo: store.WantRunning, want: store.WantStopped, over: []string{"env.start"}},
	"env.delete":   {steps: []string{"accept", "remove"}, look: lookDelete, want: store.WantDeleted, over: []string{"env.create", "env.start", "env.stop"}},
	"node.replace": {steps: []string{"place", "run"}, look: lookReplace},
}

// set brings one step to a state; the time is that of the last change.
func set(op *store.Operation, name string, s operator.OperationState, detail string, now time.Time) {
	for i := range op.Steps {
		if st := &op.Steps[i]; st.Name == name && (st.State != s || st.Detail != detail) {
			st.State, st.Detail, st.At = s, detail, now
		}
	}
}

func stateOf(done, total int) operator.OperationState {
	if done >= total {
		return operator.OpDone
	}
	return operator.OpRunning
}

// Node is a node as people see it, and whether its host has its newest work.
type Node struct {
	operator.Node
	Delivered bool
}

// wanted are the nodes that count: those that are going don't.
func wanted(nodes []Node) []Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return n.Gone })
}

func lookRun(op *store.Operation, f Facts) (int, int, string) {
	nodes := wanted(f.Nodes)
	total := len(nodes) + f.Missing
	placed := fmt.Sprintf("%d of %d nodes have a host", len(nodes), total)
	if f.Missing > 0 && f.Why != "" {
		placed += "; " + f.Why
	}
	set(op, "place", stateOf(len(nodes), total), placed, f.Now)
	seen, running, first := 0, 0, ""
	for _, n := range nodes {
		if n.Delivered {
			seen++
		}
		if n.State == string(host.CtRunning) {
			running++
		} else if first == "" {
			first = fmt.Sprintf("node %d on %s is %s: %s", n.CTID, n.HostName, n.State, n.Reason)
		}
	}
	set(op, "deliver", stateOf(seen, total), fmt.Sprintf("%d of %d nodes are with their hosts", seen, total), f.Now)
	detail := fmt.Sprintf("%d of %d nodes run", running, total)
	if first != "" {
		detail += "; " + first
	}
	if f.Missing > 0 {
		detail += "; " + placed
	}
	set(op, "run", stateOf(running, total), detail, f.Now)
	if running == total {
		seen = total // a node that runs was delivered; a newer work may be under way for another environment
	}
	return running + len(nodes) + seen, 3 * total, detail
}

func lookStop(op *store.Operation, f Facts) (int, int, string) {
	nodes, stopped, first := wanted(f.Nodes), 0, ""
	for _, n := range nodes {
		if n.State == string(host.CtStopped) {
			stopped++
		} else if first == "" {
			first = fmt.Sprintf("; node %d on %s is %s: %s", n.CTID, n.HostName, n.State, n.Reason)
		}
	}
	detail := fmt.Sprintf("%d of %d nodes are stopped%s", stopped, len(nodes), first)
	set(op, "stop", stateOf(stopped, len(nodes)), detail, f.Now)
	return stopped, len(nodes), detail
}

func lookDelete(op *store.Operation, f Facts) (int, int, string) {
	if f.Env == nil {
		detail := "all is removed"
		if left := len(f.Nodes); left > 0 {
			detail = fmt.Sprintf("removed but for %d nodes on hosts that don't answer: those are removed when their hosts are back", left)
		}
		set(op, "remove", operator.OpDone, detail, f.Now)
		return 1, 1, detail
	}
	detail := fmt.Sprintf("%d nodes are being removed", len(f.Nodes))
	set(op, "remove", operator.OpRunning, detail, f.Now)
	return 0, 1, detail
}

func lookReplace(op *store.Operation, f Facts) (int, int, string) {
	for _, n := range f.Nodes {
		if n.CTID != op.Node {
			continue
		}
		detail := fmt.Sprintf("node %d on %s is %s", n.CTID, n.HostName, n.State)
		if n.Reason != "" {
			detail += ": " + n.Reason
		}
		if n.State == string(host.CtRunning) {
			set(op, "run", operator.OpDone, detail, f.Now)
			return 1, 1, detail
		}
		set(op, "run", operator.OpRunning, detail, f.Now)
		return 0, 1, detail
	}
	set(op, "run", operator.OpDone, "it is not wanted any more", f.Now)
	return 1, 1, ""
}

func newSteps(k kind, now time.Time) []operator.Step {
	out := make([]operator.Step, len(k.steps))
	for i, name := range k.steps {
		out[i] = operator.Step{Name: name, State: operator.OpPending, At: now}
	}
	out[0].State = operator.OpDone
	return out
}
