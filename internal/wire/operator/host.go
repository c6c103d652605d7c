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

// Answers tells whether a host in this state does what it is asked at this moment.
func (s HostState) Answers() bool {
	switch s {
	case HostActive, HostMaintenance, HostEvacuating, HostEvacuated, HostEvacuationFailed:
		return true
	}
	return false
}

// Host is a host as people see it.
type Host struct {
	ID         wire.HostID `json:"id"`
	Name       string      `json:"name"`
	Role       string      `json:"role"`
	State      HostState   `json:"state" enum:"JOINING,ACTIVE,MAINTENANCE,EVACUATING,EVACUATED,EVACUATION_FAILED,UNREACHABLE,FENCED,BROKEN"`
	Reason     string      `json:"reason,omitempty"`
	Unlicensed string      `json:"unlicensed,omitempty" doc:"Why nothing new is placed here; nothing running is ever stopped for it"`
	Cordon     *HostCordon `json:"cordon,omitempty" doc:"It takes no new nodes; what runs on it goes on"`
	Leaving    *HostLeave  `json:"leaving,omitempty" doc:"It was ordered to leave its machine, and is not back"`
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
	SwapMiB    int64       `json:"swapMiB,omitempty" doc:"What containers may have swapped out to compressed memory; nothing: the host has none"`
	SwapUsed   int64       `json:"swapUsedMiB,omitempty"`
	DiskMiB    int64       `json:"diskMiB"`
	DiskUsed   int64       `json:"diskUsedMiB"`
	Load1      float64     `json:"load1"`
	UptimeSec  int64       `json:"uptimeSec"`
	Problems   []string    `json:"problems,omitempty"`
	Disks      []HostDisk  `json:"disks,omitempty" doc:"Its disks and their health, by their own account"`
	Boots      []HostBoot  `json:"boots,omitempty" doc:"Its last boots and why they came, the newest first"`
	SecureBoot string      `json:"secureBoot,omitempty" doc:"on, off or setup (off, and its firmware takes keys on); absent: not known"`
	Lockdown   string      `json:"lockdown,omitempty" doc:"How far its kernel is locked down: none, integrity, confidentiality"`
	// Labels are what those who run the cluster say of it.
	Labels map[string]string `json:"labels,omitempty" doc:"What layers ask for by their place; zone is its zone"`
}

// HostBoot is one boot of a host, and why it came.
type HostBoot struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at" doc:"When it began, by the host's clock"`
	Cause    string    `json:"cause" enum:"ordered,panic,watchdog,power-loss,first,unknown" doc:"What can't be told apart is unknown"`
	Reason   string    `json:"reason,omitempty"`
	By       string    `json:"by,omitempty" doc:"Who ordered it"`
	What     string    `json:"what,omitempty" doc:"reboot, poweroff or kexec, of an ordered one"`
	Ended    time.Time `json:"ended,omitzero" doc:"When the boot before it ended or, if nothing tells, was last known to run"`
	Evidence []string  `json:"evidence,omitempty"`
	Crash    bool      `json:"crash,omitempty" doc:"The host keeps what its kernel said last"`
}

// Words is why it came, in a line.
func (b HostBoot) Words() string {
	text := b.Cause
	if b.What != "" {
		text += " " + b.What
	}
	if b.Reason != "" {
		text += ": " + b.Reason
	}
	if b.By != "" {
		text += " (ordered by " + b.By + ")"
	}
	return text
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
