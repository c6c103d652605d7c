package env

import (
	"cmp"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// Unknown is the state of a node whose host does not answer: nobody can say whether it runs.
const Unknown = "unknown"

// NodeState is what is known of one wanted node.
type NodeState struct {
	CTID   wire.CTID
	State  string // a host.ContainerState, or Unknown
	Reason string
	Halted bool // it is stopped for as long as its host is drained
}

// Facts are all that an environment's state follows from.
type Facts struct {
	Want    string // running, stopped or deleted
	Nodes   []NodeState
	Missing int    // nodes that are wanted and have no host
	Why     string // why nodes are missing
	// Busy is the kind of the operation at work on the environment, "" if none.
	Busy string
	// Held is why it does not run though it is wanted to, or would be: its account is suspended, or it is in the trash. "": it does as it
	// is wanted.
	Held string
	// Failed says that its creation failed and what becomes of it, "" if it didn't.
	Failed string
}

// State says where an environment is, and why when that is not obvious. It never says "running" of what nobody has seen running.
//
//	creating ─▶ running ◀─▶ stopping ─▶ down ─▶ launching ─▶ running
//	               │  └─▶ unknown (a host does not answer)
//	               └────▶ broken  (a node can't run, has no host, or stays on a drained one; its creation failed)
func State(f Facts) (operator.EnvironmentState, string) {
	count, reason := map[string]int{}, map[string]string{}
	for _, n := range f.Nodes {
		count[n.State]++
		if reason[n.State] == "" {
			reason[n.State] = fmt.Sprintf("node %d: %s", n.CTID, n.Reason)
		}
	}
	total, halted := len(f.Nodes)+f.Missing, 0
	for _, n := range f.Nodes {
		if n.Halted && n.State == string(host.CtStopped) {
			halted++
		}
	}
	running, stopped := count[string(host.CtRunning)], count[string(host.CtStopped)]
	if f.Want == "deleted" {
		return operator.EnvStopping, "it is being deleted"
	}
	// A node that can't run is worth saying before anything that will pass.
	if n := count[string(host.CtBroken)]; n > 0 {
		return operator.EnvBroken, reason[string(host.CtBroken)]
	}
	if f.Want == "stopped" || f.Held != "" {
		total = len(f.Nodes) // what has no host does not run
		switch {
		case stopped == total:
			return operator.EnvDown, cmp.Or(f.Held, f.Failed)
		case count[Unknown] > 0:
			return operator.EnvUnknown, reason[Unknown] + "; it is stopped when its host is back"
		}
		why := ""
		for _, n := range f.Nodes {
			if n.State != string(host.CtStopped) {
				why = fmt.Sprintf("; node %d is %s", n.CTID, n.State)
				if n.Reason != "" {
					why += ": " + n.Reason
				}
				break
			}
		}
		return operator.EnvStopping, fmt.Sprintf("%d of %d nodes are stopped%s", stopped, total, why)
	}
	switch {
	case total > 0 && running == total:
		return operator.EnvRunning, ""
	case f.Busy == "env.create":
		return operator.EnvCreating, progress(running, total, f.Why)
	case f.Busy == "env.start":
		return operator.EnvLaunching, progress(running, total, f.Why)
	case f.Busy == "env.edit", f.Busy == "env.restart":
		return operator.EnvUpdating, progress(running, total, f.Why)
	case f.Failed != "":
		return operator.EnvBroken, f.Failed
	case halted > 0 && halted == total:
		return operator.EnvDown, reason[string(host.CtStopped)]
	case halted > 0 && halted+running == total:
		return operator.EnvBroken, progress(running, total, reason[string(host.CtStopped)])
	case f.Missing > 0:
		return operator.EnvBroken, fmt.Sprintf("%d of %d nodes have no host: %s", f.Missing, total, f.Why)
	case count[Unknown] > 0:
		return operator.EnvUnknown, reason[Unknown]
	case count[string(host.CtFailing)] > 0:
		return operator.EnvBroken, reason[string(host.CtFailing)]
	}
	why := reason[string(host.CtStopping)]
	if why == "" {
		why = reason[string(host.CtStopped)] // its host is being left, say
	}
	return operator.EnvLaunching, progress(running, total, why)
}

func progress(running, total int, why string) string {
	s := fmt.Sprintf("%d of %d nodes run", running, total)
	if why != "" {
		s += "; " + why
	}
	return s
}
