package progress

import (
	"slices"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
)

// lasting is how long all nodes must have run before a creation that had failed counts as mended: one that crashes runs for a moment too.
const lasting = 10 * time.Second

// Mended tells whether all of an environment whose creation had failed runs, and has for a while. nodes are all of it.
func Mended(f env.Facts, nodes []Node, now time.Time) bool {
	if state, _ := env.State(f); state != operator.EnvRunning {
		return false
	}
	for _, n := range wanted(nodes) {
		if n.Started.IsZero() || now.Sub(n.Started) < lasting {
			return false
		}
	}
	return true
}

// SeenBroken tells whether every node was looked at now and not all of them run. While a host does not answer, or has not reported since
// the orchestrator started, its node may run for all one knows: nobody's data is deleted on a guess.
func SeenBroken(f env.Facts) bool {
	state, _ := env.State(f)
	return state != operator.EnvRunning && !slices.ContainsFunc(f.Nodes, func(n env.NodeState) bool { return n.State == env.Unknown })
}
