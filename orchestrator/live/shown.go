package live

import (
	"time"

	"hardnode.dev/internal/wire/operator"
)

// Duty is what people have decided on a host. It is stored elsewhere; what is decided of nodes and of liveness does not read it here.
type Duty struct {
	Cordon string    // who keeps new nodes off it and why; "" if nobody does
	Since  time.Time // of that
	Drain  Drain
	// Deadline and Failed are of the drain: when it ends if it is under way, and why it did not empty the host.
	Deadline time.Time
	Failed   string
}

// Drain is how far the emptying of a host is.
type Drain int

// The drains of a host that is cordoned.
const (
	NotDrained Drain = iota
	Draining
	Drained
	DrainFailed
)

// Shown is the state that people see. A host that does not answer shows that, whatever is decided on it; one that does shows the decision:
//
//	ACTIVE ─ cordon ─▶ MAINTENANCE ─ drain ─▶ EVACUATING ─ all nodes have left ─▶ EVACUATED
//	   └──────────── drain ───────────────────▲     └─ its deadline ─▶ EVACUATION_FAILED ─ drain ─▶ EVACUATING
//
// From each of them, uncordon leads to ACTIVE, and cancelling a drain to what was before it.
func Shown(s State, d Duty) State {
	switch {
	case d.Cordon == "":
		return s
	case s.State != operator.HostActive:
		s.Reason += "; it takes no new nodes: " + d.Cordon
		return s
	}
	out := State{State: operator.HostMaintenance, Reason: "it takes no new nodes: " + d.Cordon, Since: d.Since}
	switch d.Drain {
	case Draining:
		out.State, out.Reason, out.Deadline = operator.HostEvacuating, "its nodes leave it: "+d.Cordon, d.Deadline
	case Drained:
		out.State, out.Reason = operator.HostEvacuated, "no node of a user runs on it: "+d.Cordon
	case DrainFailed:
		out.State, out.Reason = operator.HostEvacuationFailed, d.Failed+"; "+d.Cordon
	}
	return out
}
