package live

import (
	"time"

	"hardnode.dev/internal/wire/operator"
)

// Duty is what people have decided on a host. It is stored elsewhere; what is decided of nodes and of liveness does not read it here.
type Duty struct {
	Cordon string    // who keeps new nodes off it and why; "" if nobody does
	Since  time.Time // of that
}

// Shown is the state that people see. A host that does not answer shows that, whatever is decided on it; one that does shows the decision:
//
//	ACTIVE ─ cordon ─▶ MAINTENANCE ─ uncordon ─▶ ACTIVE
func Shown(s State, d Duty) State {
	switch {
	case d.Cordon == "":
		return s
	case s.State != operator.HostActive:
		s.Reason += "; it takes no new nodes: " + d.Cordon
		return s
	}
	return State{State: operator.HostMaintenance, Reason: "it takes no new nodes: " + d.Cordon, Since: d.Since}
}
