package progress

import (
	"fmt"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Edit is the kind of the operations that make an environment what another spec says.
const Edit = "env.edit"

// lookEdit is done when every node is as the spec says, and those that go have gone. From the moment on in which only those are left it
// can't be undone, since data goes with them. Each node that is changed has its own time.
func lookEdit(op *store.Operation, f Facts) (int, int, string) {
	total, as, up, going, first := f.Missing, 0, 0, 0, ""
	for _, n := range f.Nodes {
		switch {
		case n.Gone || n.Surplus:
			if !n.Away {
				going++
			}
			continue
		case n.Until.After(op.Deadline):
			op.Deadline = n.Until
		}
		total++
		if n.Stale {
			if first == "" {
				first = fmt.Sprintf("; node %d waits for its turn", n.CTID)
			}
			continue
		}
		as++
		switch {
		case n.is(host.CtRunning), n.Halted != "", f.Env != nil && !f.Env.Runs() && n.Delivered:
			up++
		default:
			first = "; " + n.What()
		}
	}
	placed := fmt.Sprintf("%d of %d nodes have a host", total-f.Missing, total)
	if f.Missing > 0 && f.Why != "" {
		placed += "; " + f.Why
	}
	set(op, "place", stateOf(total-f.Missing, total), placed, f.Now)
	set(op, "change", stateOf(as, total), fmt.Sprintf("%d of %d nodes are as they shall be", as, total), f.Now)
	detail := fmt.Sprintf("%d of %d nodes run so%s", up, total, first)
	set(op, "run", stateOf(up, total), detail, f.Now)
	if f.Missing > 0 {
		detail += "; " + placed
	}
	if up >= total && f.Env != nil {
		op.Settled, op.Cancel, op.Before = true, false, nil
	}
	if !op.Settled {
		return as + up, 2*total + 1, detail
	}
	if going == 0 {
		set(op, "remove", operator.OpDone, "nothing is left of what goes, but on hosts that don't answer", f.Now)
		return 1, 1, detail
	}
	detail = fmt.Sprintf("%d nodes are being removed", going)
	set(op, "remove", operator.OpRunning, detail, f.Now)
	return 2 * total, 2*total + 1, detail
}
