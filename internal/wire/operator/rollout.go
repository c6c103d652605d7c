package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// RolloutState is where a rollout is.
type RolloutState string

// The rollout states; the last three are final. Running passes by its visits' deadlines, stopping by those of the ways back.
const (
	RolloutRunning  RolloutState = "running"
	RolloutPaused   RolloutState = "paused"   // no visit begins; those that have begun go to their end
	RolloutStopping RolloutState = "stopping" // what was not committed is taken back
	RolloutDone     RolloutState = "done"
	RolloutStopped  RolloutState = "stopped" // by itself: Reason and Symptom say why
	RolloutAborted  RolloutState = "aborted"
)

// Final tells whether the state is an end.
func (s RolloutState) Final() bool {
	return s == RolloutDone || s == RolloutStopped || s == RolloutAborted
}

// VisitState is where the visit of a host is.
type VisitState string

// The visit states; all but the first three are final.
const (
	VisitPending VisitState = "pending"
	VisitRunning VisitState = "running"
	VisitGoing   VisitState = "going-back" // it is taken back
	VisitDone    VisitState = "done"       // the host runs the release, which is committed
	VisitBack    VisitState = "back"       // the host runs what it ran before
	VisitSkipped VisitState = "skipped"    // it was not begun: Reason says why
	VisitFailed  VisitState = "failed"     // it was not taken back in time either: a person has to look at the host
)

// Final tells whether the state is an end.
func (s VisitState) Final() bool { return s != VisitPending && s != VisitRunning && s != VisitGoing }

// RolloutPolicy says how a release goes over the hosts. What is 0 or absent follows from the release's severity and the number of hosts;
// a rollout shows what came of it.
type RolloutPolicy struct {
	Canary        string   `json:"canary,omitempty" maxLength:"63" doc:"The host that is patched first and alone; empty: the user host with the least to lose"`
	Cohorts       []int    `json:"cohorts,omitempty" maxItems:"50" doc:"Hosts of each cohort after the canary, the last one again and again; empty: 2, 4, 8, …"`
	Away          int      `json:"away,omitempty" minimum:"0" maximum:"1000" doc:"Hosts that are visited at once, at most; 0: one of 50 hosts, at least one"`
	Budget        int      `json:"budget,omitempty" minimum:"0" maximum:"1000" doc:"Hosts that may be unreachable or not stage the release before the rollout stops itself; 0: one of 50 hosts"`
	Restarts      int      `json:"restarts,omitempty" minimum:"0" maximum:"1000" doc:"Restarts of a visited host's nodes, more than they had before in as long, before the rollout stops itself; 0: 3"`
	Drain         string   `json:"drain,omitempty" enum:"replace,stop" doc:"What becomes of a host's nodes before it is booted: replace (what no data ties to it is replaced elsewhere first, the rest stops; also without a word) or stop (all stop)"`
	Method        string   `json:"method,omitempty" enum:"reboot,kexec,hot,auto" doc:"reboot (also without a word): hosts boot the release; kexec: likewise, started by their running kernel without the firmware, which fails where that can't be; hot: their programs are replaced while they run, which fails where more than programs differs; auto: hot, there kexec, and reboot where that can't be either"`
	CanarySoakSec int64    `json:"canarySoakSec,omitempty" minimum:"0" maximum:"604800" doc:"Seconds that the canary is watched before the next cohort; 0 follows the severity"`
	SoakSec       int64    `json:"soakSec,omitempty" minimum:"0" maximum:"604800" doc:"Likewise, each other cohort"`
	HealthSec     int64    `json:"healthSec,omitempty" minimum:"0" maximum:"86400" doc:"Seconds without a break that a host and its nodes have to be well on the release before its visit is done; 0: 60"`
	BootSec       int64    `json:"bootSec,omitempty" minimum:"0" maximum:"7200" doc:"Seconds from its kernel's start that a host has to be well, or it goes back by itself; 0: 600; else at least 30"`
	Windows       []string `json:"windows,omitempty" maxItems:"50" doc:"Visits begin in these only, in UTC, such as 01:00-05:00 or sat,sun 22:00-04:00; none: at any time"`
}

// The ways to drain.
const (
	DrainReplace = "replace"
	DrainStop    = "stop"
)

// The methods.
const (
	MethodReboot = "reboot"
	MethodKexec  = "kexec"
	MethodHot    = "hot"
	MethodAuto   = "auto"
)

// NewRollout asks for a rollout, or for the plan of one.
type NewRollout struct {
	Release string        `json:"release" minLength:"1" maxLength:"60" doc:"One that was imported (hnctl release list)"`
	Policy  RolloutPolicy `json:"policy,omitzero"`
}

// RolloutPlan is what a rollout would do.
type RolloutPlan struct {
	Release  string           `json:"release"`
	Severity string           `json:"severity"`
	Policy   RolloutPolicy    `json:"policy" doc:"What counts, with what follows from severity and number of hosts"`
	Cohorts  []PlannedCohort  `json:"cohorts"`
	Refused  []RolloutRefusal `json:"refused,omitempty" doc:"Hosts that would not be visited"`
	Already  []string         `json:"already,omitempty" doc:"Names of hosts that run the release"`
	Seconds  int64            `json:"seconds" doc:"How long it is expected to take, windows not counted"`
	Warnings []string         `json:"warnings,omitempty"`
}

// PlannedCohort is hosts that are visited before the next ones are.
type PlannedCohort struct {
	Hosts   []PlannedVisit `json:"hosts"`
	SoakSec int64          `json:"soakSec" doc:"How long it is watched after its last visit"`
}

// PlannedVisit is a host that would be visited.
type PlannedVisit struct {
	Host    wire.HostID   `json:"host"`
	Name    string        `json:"name"`
	Role    string        `json:"role"`
	Runs    string        `json:"runs" doc:"The release that it runs now"`
	Kind    string        `json:"kind" doc:"How it is patched: reboot or hot"`
	Seconds int64         `json:"seconds" doc:"How long the host is expected to be away"`
	Basis   string        `json:"basis" doc:"Where that number is from"`
	Nodes   []PlannedNode `json:"nodes,omitempty"`
	// Component and Image are of the visit of a component of the platform, which Host runs.
	Component string      `json:"component,omitempty" doc:"The component that is patched, by kind component and the steps try, watch, confirm; absent: the host is"`
	Image     wire.Digest `json:"image,omitempty" doc:"Its image in the release"`
}

// PlannedNode is what becomes of a node while its host is visited.
type PlannedNode struct {
	CTID      wire.CTID      `json:"ctid"`
	Env       wire.EnvName   `json:"env"`
	Layer     wire.LayerName `json:"layer"`
	Component string         `json:"component,omitempty"`
	Fate      string         `json:"fate" enum:"replaced,stopped,untouched,down" doc:"replaced: another takes its place elsewhere first; stopped: until the host is back; untouched: it runs on; down: it does not run now"`
	OutageSec int64          `json:"outageSec" doc:"Seconds that it is expected not to serve"`
	Why       string         `json:"why"`
}

// RolloutRefusal is a host that is not visited.
type RolloutRefusal struct {
	Host   wire.HostID `json:"host"`
	Name   string      `json:"name"`
	Runs   string      `json:"runs,omitempty"`
	Reason string      `json:"reason"`
	Next   string      `json:"next"`
}

// Rollout is a release on its way over the hosts.
type Rollout struct {
	ID        string           `json:"id"`
	Release   string           `json:"release"`
	Severity  string           `json:"severity"`
	By        string           `json:"by"`
	State     RolloutState     `json:"state" enum:"running,paused,stopping,done,stopped,aborted"`
	Reason    string           `json:"reason,omitempty" doc:"What it does or waits for; why it ended"`
	Symptom   *RolloutSymptom  `json:"symptom,omitempty" doc:"The first sign of what stopped it"`
	Outcome   RolloutState     `json:"outcome,omitempty" doc:"While it is stopping: the end it comes to"`
	Policy    RolloutPolicy    `json:"policy"`
	Created   time.Time        `json:"created"`
	Updated   time.Time        `json:"updated"`
	Ended     time.Time        `json:"ended,omitzero"`
	Cohort    int              `json:"cohort" doc:"The one under way; the first, the canary, is 1"`
	Cohorts   int              `json:"cohorts"`
	SoakUntil time.Time        `json:"soakUntil,omitzero" doc:"Until when the cohort is watched before the next one begins"`
	Progress  int              `json:"progress" doc:"0–100"`
	LeftSec   int64            `json:"leftSec" doc:"Seconds that are expected to be left, windows and pauses not counted"`
	Visits    []RolloutVisit   `json:"visits"`
	Refused   []RolloutRefusal `json:"refused,omitempty" doc:"Hosts that are not visited"`
	// Seen is when the platform was seen last; AwaySince since when more hosts are unreachable than may be.
	Seen      time.Time `json:"seen,omitzero" doc:"When the Patcher saw the platform last"`
	AwaySince time.Time `json:"awaySince,omitzero" doc:"Since when more hosts are unreachable than may be"`
}

// RolloutSymptom is a sign that something is wrong.
type RolloutSymptom struct {
	At   time.Time   `json:"at"`
	Host wire.HostID `json:"host,omitempty"`
	Name string      `json:"name,omitempty" doc:"Of the host"`
	Node wire.CTID   `json:"node,omitempty"`
	What string      `json:"what"`
}

// RolloutVisit is one host's part of a rollout.
type RolloutVisit struct {
	Component string      `json:"component,omitempty" doc:"The component that is patched, by kind component and the steps try, watch, confirm; absent: the host is"`
	Image     wire.Digest `json:"image,omitempty" doc:"The component's image in the release"`

	Host     wire.HostID `json:"host"`
	Name     string      `json:"name"`
	Role     string      `json:"role"`
	Cohort   int         `json:"cohort"`
	Kind     string      `json:"kind" doc:"How it is patched: reboot or hot"`
	From     string      `json:"from" doc:"The release that it ran"`
	State    VisitState  `json:"state" enum:"pending,running,going-back,done,back,skipped,failed"`
	Step     string      `json:"step,omitempty" doc:"cordon, stage, drain, switch, health, uncordon, watch; of a hot visit stage, replace, watch; back"`
	Owner    string      `json:"owner,omitempty" doc:"Who has to bring the step to its end: patcher, orchestrator, host"`
	Since    time.Time   `json:"since,omitzero" doc:"When the step began"`
	Deadline time.Time   `json:"deadline,omitzero" doc:"When the step has failed unless it is done"`
	Detail   string      `json:"detail,omitempty" doc:"What the step waits for"`
	Reason   string      `json:"reason,omitempty" doc:"Why it is skipped, taken back or failed"`
	FailedIn string      `json:"failedIn,omitempty" doc:"The step that was not done"`
	Began    time.Time   `json:"began,omitzero"`
	Ended    time.Time   `json:"ended,omitzero"`
	// ExpectSec is what the host was expected to be away, and TookSec what it was.
	ExpectSec int64   `json:"expectSec,omitempty" doc:"Seconds that the host is expected to be away"`
	TookSec   float64 `json:"tookSec,omitempty" doc:"Seconds from the order to boot to the host's being ACTIVE on the release"`

	Boot      string           `json:"boot,omitempty" doc:"The host's boot before the visit"`
	Operation wire.OperationID `json:"operation,omitempty" doc:"Of the drain"`
	Asked     time.Time        `json:"asked,omitzero" doc:"When the host was ordered to boot last"`
	Well      time.Time        `json:"well,omitzero" doc:"Since when it has been well on the release without a break"`
	Problems  int              `json:"problems,omitempty" doc:"What the host complained of before the visit"`
	Running   []wire.CTID      `json:"running,omitempty" doc:"Its nodes that ran before the visit"`
	Restarts  int              `json:"restarts,omitempty" doc:"Restarts of those when it was back"`
	// RestartsHour is how often its nodes restarted before: what they go on to do is not the release's.
	RestartsHour float64         `json:"restartsHour,omitempty" doc:"Restarts of its nodes in an hour before the visit"`
	Back         bool            `json:"back,omitempty" doc:"It came back on the release"`
	Symptom      *RolloutSymptom `json:"symptom,omitempty" doc:"The first sign that something is wrong with it"`
}

// RolloutReport is what a rollout cost.
type RolloutReport struct {
	Rollout string       `json:"rollout"`
	Release string       `json:"release"`
	State   RolloutState `json:"state"`
	Hosts   []HostOutage `json:"hosts"`
	Nodes   []NodeOutage `json:"nodes"`
	Longest float64      `json:"longest" doc:"Seconds of the longest outage of a node"`
	Total   float64      `json:"total" doc:"Seconds of all nodes' outages together"`
}

// HostOutage is how long a host was away for its visit.
type HostOutage struct {
	Host      wire.HostID `json:"host"`
	Name      string      `json:"name"`
	State     VisitState  `json:"state"`
	ExpectSec int64       `json:"expectSec,omitempty"`
	TookSec   float64     `json:"tookSec,omitempty"`
}

// NodeOutage is a time in which a node did not serve, or that it was replaced.
type NodeOutage struct {
	CTID    wire.CTID      `json:"ctid"`
	Env     wire.EnvName   `json:"env"`
	Layer   wire.LayerName `json:"layer"`
	Host    string         `json:"host" doc:"Name of its host"`
	From    time.Time      `json:"from" doc:"When it was last seen to serve"`
	To      time.Time      `json:"to,omitzero" doc:"When it served again; absent: it did not, as long as it was looked at"`
	Seconds float64        `json:"seconds"`
	Cause   string         `json:"cause"`
}
