package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// HostState is where a host is (DESIGN "Words").
type HostState string

// The host states.
const (
	HostJoining          HostState = "JOINING"
	HostActive           HostState = "ACTIVE"
	HostMaintenance      HostState = "MAINTENANCE"
	HostEvacuating       HostState = "EVACUATING"
	HostEvacuated        HostState = "EVACUATED"
	HostEvacuationFailed HostState = "EVACUATION_FAILED"
	HostUnreachable      HostState = "UNREACHABLE"
	HostFenced           HostState = "FENCED"
	HostBroken           HostState = "BROKEN"
)

// Host is a host as people see it.
type Host struct {
	ID         wire.HostID `json:"id"`
	Name       string      `json:"name"`
	Role       string      `json:"role"`
	State      HostState   `json:"state" enum:"JOINING,ACTIVE,MAINTENANCE,EVACUATING,EVACUATED,EVACUATION_FAILED,UNREACHABLE,FENCED,BROKEN"`
	Reason     string      `json:"reason,omitempty"`
	Unlicensed string      `json:"unlicensed,omitempty" doc:"Why nothing new is placed here; nothing running is ever stopped for it"`
	Underlay   string      `json:"underlay"`
	Block      string      `json:"block" doc:"Container addresses that live here"`
	MoreBlocks []string    `json:"moreBlocks,omitempty" doc:"Further ones, given when the addresses of the first are used"`
	Version    string      `json:"version"`
	Boot       string      `json:"boot"`
	Code       string      `json:"code" doc:"Short code, also on the host's console"`
	Joined     time.Time   `json:"joined"`
	Seen       time.Time   `json:"seen" doc:"Last report"`
	Containers int         `json:"containers"`
	CPUs       int         `json:"cpus"`
	MHz        int64       `json:"mhz"`
	MemoryMiB  int64       `json:"memoryMiB"`
	MemoryUsed int64       `json:"memoryUsedMiB"`
	DiskMiB    int64       `json:"diskMiB"`
	DiskUsed   int64       `json:"diskUsedMiB"`
	Load1      float64     `json:"load1"`
	UptimeSec  int64       `json:"uptimeSec"`
	Problems   []string    `json:"problems,omitempty"`
}

// NewJoinToken asks for a one-time permission to join.
type NewJoinToken struct {
	Name    string `json:"name,omitempty" maxLength:"63" doc:"Name the host gets; empty makes one up"`
	Role    string `json:"role" enum:"user,infra,hypervisor"`
	Seconds int64  `json:"seconds,omitempty" minimum:"0" maximum:"31536000" doc:"How long it is good for; 0 is a day"`
}

// JoinToken carries the token's text, for the host's configuration (join.token): the only time it is shown.
type JoinToken struct {
	Name    string    `json:"name,omitempty"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
	Text    string    `json:"text"`
}
