package progress

import (
	"fmt"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

func lookRun(op *store.Operation, f Facts) (int, int, string) {
	nodes := wanted(f.Nodes)
	total := len(nodes) + f.Missing
	placed := fmt.Sprintf("%d of %d nodes have a host", len(nodes), total)
	if f.Missing > 0 && f.Why != "" {
		placed += "; " + f.Why
	}
	set(op, "place", stateOf(len(nodes), total), placed, f.Now)
	seen, running, halted, first := 0, 0, 0, ""
	for _, n := range nodes {
		if n.Delivered {
			seen++
		}
		if n.is(host.CtRunning) {
			running++
		} else if n.Halted != "" { // nobody waits for a host that is drained
			halted++
		} else if first == "" {
			first = n.What()
		}
	}
	set(op, "deliver", stateOf(seen, total), fmt.Sprintf("%d of %d nodes are with their hosts", seen, total), f.Now)
	detail := fmt.Sprintf("%d of %d nodes run", running, total)
	if first != "" {
		detail += "; " + first
	}
	if halted > 0 {
		detail += fmt.Sprintf("; %d are stopped as long as their hosts are drained", halted)
	}
	if f.Missing > 0 {
		detail += "; " + placed
	}
	set(op, "run", stateOf(running+halted, total), detail, f.Now)
	return running + halted + len(nodes) + seen, 3 * total, detail
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
			first = "; " + n.What()
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
			detail += "; " + n.What()
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
		detail := n.What()
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
