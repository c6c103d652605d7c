// Package progress decides how far an operation is, and what becomes of what it works on when it ends.
//
// Owns: the table of kinds of operations: their steps, what they want, what they may interrupt; when one is done, fails or is hopeless.
// In: operations and environments as they are stored, nodes as people see them, what the registry tells of imports, the time.
// Out: operations and environments as they shall be stored; why a request is refused.
// Never: stores, logs, asks anybody, or looks at a clock.
package progress

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
	Nodes []Node             // of the environment; of host.drain: of users, on the host
	// Missing nodes have no host yet, for the reason Why.
	Missing int
	Why     string
	// Uneven says which layer isn't spread over hosts, "" if all are that can be.
	Uneven string
	Cordon *store.Cordon // of host.drain: nil when the host is gone
	Move   *Moved        // of node.move: nil when the node is gone
}

// Advance is the operation as it stands by the facts. It is pure; a final operation stays as it is. Reaching the deadline fails it: what
// undoing it takes is the caller's business (Undone).
func Advance(op store.Operation, f Facts) store.Operation {
	if op.State.Final() {
		return op
	}
	op.Steps = slices.Clone(op.Steps)
	op.State = operator.OpRunning
	work := kinds[op.Kind]
	if work.look == nil {
		return Finish(op, operator.OpFailed, f.Now,
			operator.NewProblem(operator.Internal, op.Object, "operation kind "+op.Kind+" is not known",
				"upgrade the orchestrator"))
	}
	done, total, detail := work.look(&op, f)
	op.Progress = 5
	if total > 0 {
		op.Progress = min(99, 5+94*done/total)
	}
	switch {
	case op.Host != "" && f.Cordon == nil:
		gone := operator.NewProblem(operator.NotFound, op.Object, "the host was removed meanwhile", "")
		return Finish(op, operator.OpFailed, f.Now, gone)
	case op.Host == "" && op.Kind != "env.delete" && f.Env == nil:
		gone := operator.NewProblem(operator.NotFound, op.Object, "the environment was deleted meanwhile", "")
		return Finish(op, operator.OpFailed, f.Now, gone)
	}
	if p := astray(op, f); p != nil {
		return Finish(op, operator.OpFailed, f.Now, p)
	}
	if done >= total {
		op.Progress = 100
		return Finish(op, operator.OpDone, f.Now, nil)
	}
	if why := hopeless(op, f); why != "" {
		return Finish(op, operator.OpFailed, f.Now, operator.NewProblem(operator.Invalid, op.Object, why,
			"mend its template, push it again (hnctl template push), then "+again(op)))
	}
	if !f.Now.Before(op.Deadline) {
		return Finish(op, operator.OpFailed, f.Now, operator.NewProblem(operator.Unavailable, op.Object,
			fmt.Sprintf("not done within %s: %s", op.Deadline.Sub(op.Created).Round(time.Second), detail), nextOf(op)))
	}
	return op
}

// nextOf is what to do about an operation that ran out of time.
func nextOf(op store.Operation) string {
	switch {
	case op.Kind == "env.create" && !op.Remove:
		return fmt.Sprintf("see hnctl env show %[1]s and the logs of its nodes (hnctl node logs); "+
			"try again with hnctl env start %[1]s, or delete it; else it is removed in a week", op.Env)
	case op.Kind == Drain:
		name := strings.TrimPrefix(op.Object, "hosts/")
		return fmt.Sprintf("what still runs there goes on; see hnctl host drain %s --dry-run, then drain it again, or "+
			"hnctl host uncordon %[1]s", name)
	case op.Kind == Trash:
		return fmt.Sprintf("it goes on by itself, and the environment is in the trash; see hnctl env show %s", op.Env)
	case op.Kind == "env.stop", op.Kind == "env.delete":
		command := strings.Replace(op.Kind, ".", " ", 1)
		return fmt.Sprintf("it goes on by itself; see hnctl env show %s, or watch it again: hnctl %s %[1]s", op.Env, command)
	}
	return "see hnctl op show " + string(op.ID) + " and hnctl host list, then try again"
}

// again is how to make an environment whose creation failed once more.
func again(op store.Operation) string {
	if op.Kind == Restart {
		return fmt.Sprintf("redeploy it, or see hnctl node logs; the nodes behind it were left as they are: hnctl env show %s", op.Env)
	}
	if op.Kind == Edit {
		return "apply the file again; the environment is as it was before"
	}
	if op.Remove {
		return "create the environment again"
	}
	return fmt.Sprintf("delete the environment (hnctl env delete %s) and create it again", op.Env)
}

// hopeless is why an environment can't be created however long one waits, or "": a node's image or program is wrong.
func hopeless(op store.Operation, f Facts) string {
	if op.Kind != "env.create" && op.Kind != Edit && op.Kind != Restart || op.Settled {
		return ""
	}
	for _, n := range wanted(f.Nodes) {
		if op.Kind != "env.create" && (n.Stale || n.Surplus || n.Until.IsZero()) {
			continue // the operation has not touched it
		}
		if n.State == string(host.CtBroken) {
			return fmt.Sprintf("node %d on %s is %s: %s", n.CTID, n.HostName, n.State, n.Reason)
		}
	}
	return ""
}

// Finish ends an operation; steps that were not done end with it.
func Finish(op store.Operation, state operator.OperationState, now time.Time, p *operator.Problem) store.Operation {
	op.State, op.Problem, op.Cancel, op.Steps = state, p, false, slices.Clone(op.Steps)
	for i := range op.Steps {
		if !op.Steps[i].State.Final() {
			op.Steps[i].State, op.Steps[i].At = state, now
		}
	}
	return op
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

// ReasonOf is why an operation ended as it did, "" if there is nothing to say.
func ReasonOf(op store.Operation) string {
	if op.Problem == nil {
		return ""
	}
	return op.Problem.Reason
}

// Node is a node as people see it.
type Node struct {
	operator.Node
	Delivered bool      // its host has it, as it shall be, on disk
	Answered  bool      // its state is an answer to how it shall be: a state from before that counts for nothing
	Away      bool      // its host does not answer
	Stale     bool      // of env.edit: it is not as its layer's spec says yet; of env.restart: it was not started anew yet
	Surplus   bool      // of env.edit: it goes once all others are as they shall be
	Wanted    bool      // of host.drain: it is to run
	Why       string    // of host.drain: what it waits for, "" if nothing is known of that
	Until     time.Time // of host.drain: when the move fails by which it leaves, unless that comes further; zero: it does not move
}

func (n Node) is(s host.ContainerState) bool { return n.Answered && n.State == string(s) }

// What says in what a node is.
func (n Node) What() string {
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
