package progress

import (
	"fmt"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// Restart is the kind of the operations that start nodes of an environment anew.
const Restart = "env.restart"

// lookRestart is done when every node that it is about was started anew and runs. Each has its own time, from its start on.
func lookRestart(op *store.Operation, f Facts) (int, int, string) {
	total, told, up, first := 0, 0, 0, ""
	for _, n := range f.Nodes {
		if n.Gone || n.Surplus || n.Halted != "" {
			continue
		}
		if n.Until.After(op.Deadline) {
			op.Deadline = n.Until
		}
		total++
		switch {
		case n.Stale:
			if first == "" {
				first = fmt.Sprintf("; node %d waits for its turn", n.CTID)
			}
			continue
		case n.is(host.CtRunning):
			up++
		default:
			first = "; " + n.What()
		}
		told++
	}
	detail := fmt.Sprintf("%d of %d nodes were started anew, %d of them run%s", told, total, up, first)
	set(op, "restart", stateOf(up, total), detail, f.Now)
	return told + up, 2 * total, detail
}
