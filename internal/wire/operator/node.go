package operator

import (
	"fmt"
	"net/netip"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/strain"
	"hardnode.dev/internal/wire/tune"
	"hardnode.dev/internal/wire/volume"
)

// Node is one container as people see it.
type Node struct {
	CTID         wire.CTID         `json:"ctid"`
	Env          wire.EnvName      `json:"env"`
	Account      wire.Account      `json:"account,omitempty" doc:"Whose its environment is"`
	Layer        wire.LayerName    `json:"layer"`
	Template     wire.TemplateName `json:"template"`
	Digest       wire.Digest       `json:"digest"`
	Component    string            `json:"component,omitempty" doc:"Name of the platform component (environment jelastic only)"`
	Host         wire.HostID       `json:"host"`
	HostName     string            `json:"hostName"`
	Placed       string            `json:"placed" doc:"Why it is on that host"`
	State        string            `json:"state" enum:"waiting,starting,running,failing,stopping,stopped,broken,removing,unknown" doc:"unknown while its host is unreachable"`
	Reason       string            `json:"reason,omitempty"`
	Halted       string            `json:"halted,omitempty" doc:"Why it is stopped though its environment is to run: its host is drained"`
	NextStart    time.Time         `json:"nextStart,omitzero" doc:"When it is started again, while it waits for that"`
	Gone         bool              `json:"gone,omitempty" doc:"No longer wanted: it is removed as soon as its host answers"`
	InternalIP   string            `json:"internalIP"`
	InternalIPv6 string            `json:"internalIPv6,omitempty"`
	ExternalIP   string            `json:"externalIP,omitempty"`
	Addresses    []netip.Addr      `json:"addresses,omitempty" doc:"Its public addresses"`
	Cloudlets    wire.Cloudlets    `json:"cloudlets"`
	UndoUntil    time.Time         `json:"undoUntil,omitzero" doc:"Until when its layer's last redeploy can be undone"`
	Restarts     int               `json:"restarts"`
	Started      time.Time         `json:"started,omitzero"`
	MemoryMiB    int64             `json:"memoryMiB"`
	CPUSeconds   float64           `json:"cpuSeconds"`
	DiskMiB      int64             `json:"diskMiB"`
	Strain       strain.Strain     `json:"strain,omitzero" doc:"What it lacks: percent of the last minute in which some of it waited, and what its limits did to it"`

	Tuned tune.Tuned `json:"tuned,omitzero" doc:"What its servers made of its last new size, since its host's agent started"`

	Volumes []volume.Use `json:"volumes,omitempty" doc:"What each of its volumes takes and may take"`
}

// Note is the node's reason in words that hold now, "" for none: with how long it waits for its next start, in whole seconds.
func (n Node) Note(now time.Time) string {
	left := n.NextStart.Sub(now)
	if n.NextStart.IsZero() || left <= 0 {
		return n.Reason
	}
	next := fmt.Sprintf("next start in %d s", (left+time.Second-1)/time.Second)
	if n.Reason == "" {
		return next
	}
	return n.Reason + "; " + next
}
