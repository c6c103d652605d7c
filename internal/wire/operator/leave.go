package operator

import (
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
)

// LeaveHost orders a host to leave its machine.
type LeaveHost struct {
	Reason string `json:"reason,omitempty" maxLength:"200" doc:"Why, in one line: it is recorded, and shown when the host is back"`
	// WithinSec is how long a host that boots anew is waited for.
	WithinSec int64 `json:"withinSec,omitempty" minimum:"0" maximum:"7200" doc:"How long a host that boots anew may take: its nodes wait for it as long; 0 is 5 minutes and the time that its containers have to stop"`
	Kexec     bool  `json:"kexec,omitempty" doc:"Its kernel starts the next system itself, without the firmware; refused where that can't be"`
}

// HostLeave is that a host was ordered to leave its machine, until it is back in another boot.
type HostLeave struct {
	What   string    `json:"what" enum:"reboot,poweroff,kexec"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Boot   string    `json:"boot" doc:"The boot that ends"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until,omitzero" doc:"When a host that boots anew is expected back; its nodes wait for it as long"`
}

// LeavingHost is a host that has begun to leave its machine.
type LeavingHost struct {
	ID    wire.HostID `json:"id"`
	Name  string      `json:"name"`
	What  string      `json:"what" enum:"reboot,poweroff,kexec"`
	Boot  string      `json:"boot" doc:"The boot that ends: once the host is ACTIVE in another one, it is back"`
	Means string      `json:"means" doc:"What comes of it"`
}

// LeavingMeans says what comes of a host's leaving its machine, for who orders it: all are the hosts of the cluster.
func LeavingMeans(h Host, all []Host, powerOff bool) string {
	var says []string
	switch {
	case h.Containers == 1:
		says = append(says, "its container stops, within its time")
	case h.Containers > 1:
		says = append(says, fmt.Sprintf("its %d containers stop, each within its time", h.Containers))
	}
	const infra = "infra"
	others := 0
	for _, o := range all {
		if o.Role == infra && o.ID != h.ID && o.State.Answers() {
			others++
		}
	}
	if h.Role == infra && others == 0 {
		says = append(says, "it is the only infra host that answers: the API, the panel, the registry and what its resolver serves "+
			"(pages, names) are away until it is back; containers on other hosts go on running")
	}
	if powerOff {
		says = append(says, "it stays off until somebody switches it on")
	}
	if len(says) == 0 {
		return "no containers run on it"
	}
	return strings.Join(says, "; ")
}
