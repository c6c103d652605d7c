package boot

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// AgentStatus is what the agent says of its host: GET /v1/status on AgentSocket and on vsock port AgentVsockPort. The console shows it.
type AgentStatus struct {
	Name       string         `json:"name"` // from the certificate; from the config until there is one
	Host       wire.HostID    `json:"host,omitempty"`
	Cluster    wire.ClusterID `json:"cluster,omitempty"`
	Role       host.Role      `json:"role,omitempty"`
	Code       string         `json:"code,omitempty"`       // short code of the host's key and the pin it was given
	Stage      AgentStage     `json:"stage"`                // how far joining has come
	State      string         `json:"state,omitempty"`      // the host's state as the orchestrator last said (ACTIVE, …)
	Unlicensed string         `json:"unlicensed,omitempty"` // reason, when nothing new is placed here
	Version    string         `json:"version"`
	Boot       string         `json:"boot"`
	Addresses  []string       `json:"addresses,omitempty"` // addresses of the host's links
	// connected, away, joining, …: one word for the tie; the problems say why
	Link       string                 `json:"link"`
	Linked     bool                   `json:"linked"` // the last report was answered
	Work       wire.Revision          `json:"work"`   // applied revision
	Peers      wire.Revision          `json:"peers"`
	Containers []host.ContainerStatus `json:"containers"`
	// Counts is how many containers there are of each state, where Containers was left out (StatusBrief).
	Counts   map[host.ContainerState]int `json:"counts,omitempty"`
	Problems []host.Problem              `json:"problems,omitempty"`
	RSS      int64                       `json:"rss"` // the agent's own resident memory, bytes
	System   *host.SystemStatus          `json:"system,omitempty"`
}

// Locked is LockedFile: why STATE could not be opened in this boot. Init writes it.
type Locked struct {
	Partition string `json:"partition"`
	Reason    string `json:"reason"`
}

// Opened begins what `agent -unlock` says when STATE is open: the path of its device follows, and for people to what its key is bound. Any
// other last line is the reason why it is not.
const Opened = "opened "

// LockedFile is there while STATE is locked.
const LockedFile = RunDir + "/locked.json"

// LinkWaiting is the tie (AgentStatus.Link) of a host without a join token that nobody has admitted yet.
const LinkWaiting = "waiting to be admitted"

// AgentStage is how far a host has come on its way into the cluster.
type AgentStage string

// The stages, in order.
const (
	StageUnconfigured AgentStage = "unconfigured" // no host configuration yet
	StageJoining      AgentStage = "joining"      // has a configuration, no identity yet
	StageJoined       AgentStage = "joined"       // has an identity
	// StageRescue is none of them: the host's disk was not touched, and it joins nothing.
	StageRescue AgentStage = "rescue"
)

// StatusBrief is the query of GET /v1/status at the console's socket that has AgentStatus say Counts in place of Containers: who looks
// every other second need not read hundreds of them.
const StatusBrief = "brief"

// CountStates is how many containers there are of each state.
func CountStates(list []host.ContainerStatus) map[host.ContainerState]int {
	n := map[host.ContainerState]int{}
	for _, c := range list {
		n[c.State]++
	}
	return n
}

// WatchdogAsked is a variable that init sets for a program which owes it beats only while somebody waits for an answer of it.
const WatchdogAsked = "HARDNODE_WATCHDOG_ASKED"
