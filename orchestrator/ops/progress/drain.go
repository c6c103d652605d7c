package progress

import (
	"fmt"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Drain is the kind of the operations that empty a host.
const Drain = "host.drain"

// DrainRefusal is why a host can't be drained now, nil if it can; holder is the operation at work on it, nil if there is none.
func DrainRefusal(h store.Host, holder *store.Operation, object string) *operator.Problem {
	switch {
	case h.Role != host.RoleUser:
		return operator.NewProblem(operator.Denied, object, "it is of role "+string(h.Role)+": no node of a user is on it, and what is "+
			"does not leave it", "to keep new nodes off it: hnctl host cordon "+h.Name)
	case holder != nil:
		return operator.NewProblem(operator.Conflict, object, fmt.Sprintf("operation %s (%s) is at work on it", holder.ID, holder.Kind),
			"wait for it: hnctl op watch "+string(holder.ID))
	}
	return nil
}

// AfterDrain is a host's cordon after the drain in it ended, nil if there is none any more. Cancelling brings back what was before, nil
// being none; by its deadline nothing is undone: what has left or was stopped stays so, and what still runs goes on there.
func AfterDrain(c store.Cordon, op store.Operation, before *store.Cordon) *store.Cordon {
	if op.State == operator.OpCancelled {
		return before
	}
	d := *c.Drain
	d.Ended = op.Updated
	if op.State == operator.OpFailed {
		d.Failed = ReasonOf(op)
	}
	c.Drain = &d
	return &c
}

// Uncordoned is a drain that ends because its host is uncordoned.
func Uncordoned(op store.Operation, by string) store.Operation {
	return Finish(op, operator.OpCancelled, op.Updated, operator.NewProblem(operator.Conflict, op.Object,
		"interrupted: the host was uncordoned by "+by, ""))
}

// lookDrain is done when no node of a user runs on the host any more. What a host that does not answer has is not waited for: what took its
// place elsewhere runs, and the rest is as it is once it is back.
func lookDrain(op *store.Operation, f Facts) (int, int, string) {
	leave, stop, first, later := 0, 0, "", 0
	say := func(text string) {
		if first == "" {
			first = "; " + text
		}
	}
	for _, n := range f.Nodes {
		if until := n.Until.Add(MovePatience); !n.Until.IsZero() && until.After(op.Deadline) {
			op.Deadline = until // moves have a time of their own
		}
		switch {
		case n.Away && (n.Gone || n.Halted != "" || !n.Wanted):
			later++
		case n.Gone:
			stop++
			say(n.What())
		case n.Halted == "" && n.Wanted:
			leave++
			if n.Why != "" {
				say(n.Why)
			} else {
				say(n.What())
			}
		case !n.is(host.CtStopped):
			stop++
			say(n.What())
		}
	}
	total := max(len(op.Nodes), leave+stop)
	set(op, "replace", stateOf(total-leave, total), fmt.Sprintf("%d of %d nodes have left, or are to stay", total-leave, total), f.Now)
	detail := fmt.Sprintf("%d of %d nodes don't run there any more%s", total-leave-stop, total, first)
	if later > 0 {
		detail += fmt.Sprintf("; %d are removed or stopped when the host is back", later)
	}
	set(op, "stop", stateOf(total-leave-stop, total), detail, f.Now)
	return total - leave - stop, total, detail
}
