package operator

import (
	"time"

	"hardnode.dev/internal/wire/host"
)

// OrderSystem orders the release that a host's system shall be of. The same order twice is one order, also after it failed: take it back
// and give it again to have it tried again.
type OrderSystem struct {
	Release   string `json:"release" minLength:"1" maxLength:"60" doc:"One that was imported (hnctl release list)"`
	Step      string `json:"step" enum:"stage,switch,hot,kexec" doc:"stage: write it into the slot that is not booted; switch: boot it as well; kexec: likewise, started by the running kernel without the firmware, where that can be; hot: replace the programs that run by its, without a reboot, if nothing else differs"`
	WithinSec int64  `json:"withinSec,omitempty" doc:"Seconds from its kernel's start that it has to be well, 30 to 7200; 0 is 600"`
	Reason    string `json:"reason,omitempty" maxLength:"200" doc:"Why, in one line"`
}

// HostSystem is what is wanted of a host's system, and how it is.
type HostSystem struct {
	Wanted *WantedSystem      `json:"wanted,omitempty" doc:"Absent: nothing is wanted"`
	Image  string             `json:"image,omitempty" doc:"What the image is that a host without slots runs, for people"`
	Status *host.SystemStatus `json:"status,omitempty" doc:"As the host reported last; absent: it has not, since the orchestrator's start"`
}

// WantedSystem is the order in force.
type WantedSystem struct {
	Release   string    `json:"release"`
	Step      string    `json:"step" enum:"stage,switch,hot,kexec"`
	WithinSec int64     `json:"withinSec,omitempty"`
	Order     string    `json:"order" doc:"Names the order; the host's status says which one it took up last"`
	By        string    `json:"by"`
	Reason    string    `json:"reason,omitempty"`
	At        time.Time `json:"at"`
}
