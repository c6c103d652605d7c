package ops

import (
	"fmt"
	"slices"
	"strings"
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
	// Uneven says which layer isn't spread over hosts, "" if all are that can be.
	Uneven string
}

// Advance is the operation as it stands by the facts. It is pure; a final operation stays as it is. Reaching the deadline fails it: what
// undoing it takes is the caller's business (undone).
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
		return finish(op, operator.OpFailed, f.Now, operator.NewProblem(operator.Invalid, op.Object, why, "mend its template, push it again (hnctl template push), then "+again(op)))
	}
	if !f.Now.Before(op.Deadline) {
		return finish(op, operator.OpFailed, f.Now, operator.NewProblem(operator.Unavailable, op.Object,
			fmt.Sprintf("not done within %s: %s", op.Deadline.Sub(op.Created).Round(time.Second), detail), nextOf(op)))
	}
	return op
}

// nextOf is what to do about an operation that ran out of time.
func nextOf(op store.Operation) string {
	switch {
	case op.Kind == "env.create" && !op.Remove:
		return fmt.Sprintf("see hnctl env show %[1]s and the logs of its nodes (hnctl node logs); try again with hnctl env start %[1]s, or delete it; else it is removed in a week", op.Env)
	case op.Kind == "env.stop", op.Kind == "env.delete":
		return fmt.Sprintf("it goes on by itself; see hnctl env show %s, or watch it again: hnctl %s %[1]s", op.Env, strings.Replace(op.Kind, ".", " ", 1))
	}
	return "see hnctl op show " + string(op.ID) + " and hnctl host list, then try again"
}

// again is how to make an environment whose creation failed once more.
func again(op store.Operation) string {
	if op.Remove {
		return "create the environment again"
	}
	return fmt.Sprintf("delete the environment (hnctl env delete %s) and create it again", op.Env)
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
	want  store.Want // the want it sets; "": it leaves that
	// cancel: a person may cancel it. undo: failing makes what was before it wanted again. A stop is never undone by its deadline: who asked
	// for it wants it stopped, and what still runs ends when it can. A failed creation stays.
	cancel, undo bool
	// over are the kinds it may interrupt.
	over []string
}

// kinds is the table of all operations. A deletion interrupts everything; a stop whatever starts, so that it works on whatever runs; a
// start interrupts a stop.
var kinds = map[string]kind{
	"env.create":   {steps: []string{"accept", "place", "deliver", "run"}, look: lookRun, want: store.WantRunning, cancel: true},
	"env.start":    {steps: []string{"accept", "place", "deliver", "run"}, look: lookRun, want: store.WantRunning, cancel: true, undo: true, over: []string{"env.stop"}},
	"env.stop":     {steps: []string{"accept", "stop"}, look: lookStop, want: store.WantStopped, cancel: true, over: []string{"env.create", "env.start", "env.spread"}},
	"env.delete":   {steps: []string{"accept", "remove"}, look: lookDelete, want: store.WantDeleted, over: []string{"env.create", "env.start", "env.stop", "env.spread"}},
	"env.spread":   {steps: []string{"accept", "spread"}, look: lookSpread, cancel: true},
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

// Node is a node as people see it.
type Node struct {
	operator.Node
	Delivered bool // its host has it, as it shall be, on disk
	Answered  bool // its state is an answer to how it shall be: a state from before that counts for nothing
	Away      bool // its host does not answer
}

func (n Node) is(s host.ContainerState) bool { return n.Answered && n.State == string(s) }

// what says in what a node is.
func (n Node) what() string {
	s := fmt.Sprintf("node %d on %s is %s", n.CTID, n.HostName, n.State)
	if n.Reason != "" {
		s += ": " + n.Reason
	}
	return s
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
		if n.is(host.CtRunning) {
			running++
		} else if first == "" {
			first = n.what()
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
	return running + len(nodes) + seen, 3 * total, detail
}

// lookStop is done when every node has stopped, but for those whose host does not answer: nobody waits for a host that may never be back.
func lookStop(op *store.Operation, f Facts) (int, int, string) {
	nodes, stopped, first, later := wanted(f.Nodes), 0, "", ""
	over := 0
	for _, n := range nodes {
		switch {
		case n.is(host.CtStopped):
			stopped++
			over++
		case n.Away:
			over++
			later += fmt.Sprintf("; node %d is stopped when %s is back", n.CTID, n.HostName)
		case first == "":
			first = "; " + n.what()
		}
	}
	detail := fmt.Sprintf("%d of %d nodes are stopped%s%s", stopped, len(nodes), first, later)
	set(op, "stop", stateOf(over, len(nodes)), detail, f.Now)
	return over, len(nodes), detail
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
	for _, n := range f.Nodes {
		if !n.Away {
			detail += "; " + n.what()
			break
		}
	}
	set(op, "remove", operator.OpRunning, detail, f.Now)
	return 0, 1, detail
}

// lookSpread is done when no layer can be spread better and no move is under way.
func lookSpread(op *store.Operation, f Facts) (int, int, string) {
	detail := f.Uneven
	if detail == "" {
		detail = "every layer is spread over hosts as far as it can be"
		set(op, "spread", operator.OpDone, detail, f.Now)
		return 1, 1, detail
	}
	set(op, "spread", operator.OpRunning, detail, f.Now)
	return 0, 1, detail
}

func lookReplace(op *store.Operation, f Facts) (int, int, string) {
	for _, n := range f.Nodes {
		if n.CTID != op.Node {
			continue
		}
		detail := n.what()
		if n.is(host.CtRunning) {
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
