// Package operator is the dialect between people's tools (hnctl, panels, scripts) and the orchestrator: the resources of /api/v1.
//
// Owns: the resources (Cluster, Host, Environment, Node, Operation, License), their states, and the closed list of error codes.
// In: YAML or JSON a person wrote; JSON from the API.
// Out: valid values; an error naming the field and the rule.
// Never: does I/O, or carries what only hosts need (that is wire/host).
//
// History: 2026-11-22 version 1. 2026-11-25 Environment.Failed, node state stopping; Template.State, Reason, Imported, Notes, Warnings.
// 2026-11-26 operations of the kind import, whose Deadline may be absent.
package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Prefix is the path all of the API lives under.
const Prefix = "/api/v1"

// EnvironmentSpec is what a person asks for: one YAML document, `hnctl env create -f`.
type EnvironmentSpec struct {
	Version int          `json:"version" yaml:"version" required:"true" enum:"1" doc:"Format version"`
	Name    wire.EnvName `json:"name" yaml:"name" required:"true" doc:"Unique name, a DNS label; the domain starts with it"`
	Layers  []LayerSpec  `json:"layers" yaml:"layers" required:"true" minItems:"1" maxItems:"20"`
}

// LayerSpec is one layer of nodes of one template.
type LayerSpec struct {
	Name      wire.LayerName    `json:"name" yaml:"name" required:"true" doc:"bl, cp, sqldb, nosqldb, cache, storage, vps, build, or a name of your own"`
	Template  wire.TemplateName `json:"template" yaml:"template" required:"true" doc:"Template in the registry, e.g. nginx"`
	Nodes     int               `json:"nodes" yaml:"nodes" required:"true" minimum:"1" maximum:"100"`
	Cloudlets wire.Cloudlets    `json:"cloudlets" yaml:"cloudlets" required:"true"`
	DiskMiB   int64             `json:"diskMiB,omitempty" yaml:"diskMiB" doc:"Quota of each node's own files in MiB; 0 is 1024"`
	HTTP      uint16            `json:"http,omitempty" yaml:"http" doc:"Port the nodes serve HTTP on; 0 is what the template says, which may be none"`
	Profile   string            `json:"profile,omitempty" yaml:"profile" enum:"app,system" doc:"app: one program and its children; system: a full OS with systemd as PID 1; left out: what the template says"`
	Env       map[string]string `json:"env,omitempty" yaml:"env" doc:"Variables of the process"`
	Check     *CheckSpec        `json:"check,omitempty" yaml:"check" doc:"What a node must answer to count as running; left out: what the template says"`
}

// CheckSpec is how it is found out that a node serves.
type CheckSpec struct {
	Type  string `json:"type" yaml:"type" required:"true" enum:"tcp,http,none" doc:"tcp: a connection is accepted; http: path is answered with 200-399; none: there is no check, whatever the template says"`
	Port  uint16 `json:"port,omitempty" yaml:"port" doc:"Port that is asked; 0 is the one the nodes serve HTTP on"`
	Path  string `json:"path,omitempty" yaml:"path" maxLength:"1024" doc:"Path that http asks for; empty is /"`
	Every int    `json:"every,omitempty" yaml:"every" minimum:"0" maximum:"300" doc:"Seconds between two checks, 1 to 300; 0 is 2. Until the first success it is asked more often"`
}

// The types of a check.
const (
	CheckTCP  = "tcp"
	CheckHTTP = "http"
	CheckNone = "none"
)

// EnvironmentState is where an environment is (DESIGN "Words").
type EnvironmentState string

// The environment states.
const (
	EnvRunning      EnvironmentState = "running"
	EnvDown         EnvironmentState = "down"
	EnvLaunching    EnvironmentState = "launching"
	EnvSleeping     EnvironmentState = "sleeping"
	EnvUnknown      EnvironmentState = "unknown"
	EnvCreating     EnvironmentState = "creating"
	EnvCloning      EnvironmentState = "cloning"
	EnvExporting    EnvironmentState = "exporting"
	EnvMigrating    EnvironmentState = "migrating"
	EnvBroken       EnvironmentState = "broken"
	EnvUpdating     EnvironmentState = "updating"
	EnvStopping     EnvironmentState = "stopping"
	EnvGoingToSleep EnvironmentState = "going-to-sleep"
	EnvRestoring    EnvironmentState = "restoring"
)

// Environment is an environment as it is.
type Environment struct {
	Spec     EnvironmentSpec  `json:"spec"`
	State    EnvironmentState `json:"state" enum:"running,down,launching,sleeping,unknown,creating,cloning,exporting,migrating,broken,updating,stopping,going-to-sleep,restoring"`
	Reason   string           `json:"reason,omitempty"`
	Domain   string           `json:"domain" doc:"Host name the resolver serves it under"`
	Revision wire.Revision    `json:"revision" doc:"Grows with every change; the ETag"`
	Created  time.Time        `json:"created"`
	Nodes    []Node           `json:"nodes"`
	Spread   string           `json:"spread,omitempty" doc:"Which layer isn't spread over hosts any more though it could be: POST …/spread mends it"`
	Failed   *FailedCreate    `json:"failed,omitempty" doc:"Its creation failed, and not all of it has run since"`
}

// FailedCreate is what became of an environment whose creation failed: it stays to be looked at, counts against limits, and is removed
// after a week unless it is kept.
type FailedCreate struct {
	At      time.Time `json:"at" doc:"When the creation, or the last start after it, failed"`
	Reason  string    `json:"reason"`
	Kept    bool      `json:"kept,omitempty" doc:"It is not removed by itself"`
	Removal time.Time `json:"removal,omitzero" doc:"When it is removed by itself"`
}

// Node is one container as people see it.
type Node struct {
	CTID       wire.CTID         `json:"ctid"`
	Env        wire.EnvName      `json:"env"`
	Layer      wire.LayerName    `json:"layer"`
	Template   wire.TemplateName `json:"template"`
	Digest     wire.Digest       `json:"digest"`
	Component  string            `json:"component,omitempty" doc:"Name of the platform component (environment jelastic only)"`
	Host       wire.HostID       `json:"host"`
	HostName   string            `json:"hostName"`
	Placed     string            `json:"placed" doc:"Why it is on that host"`
	State      string            `json:"state" enum:"waiting,starting,running,failing,stopping,stopped,broken,removing,unknown" doc:"unknown while its host is unreachable"`
	Reason     string            `json:"reason,omitempty"`
	Gone       bool              `json:"gone,omitempty" doc:"No longer wanted: it is removed as soon as its host answers"`
	InternalIP string            `json:"internalIP"`
	ExternalIP string            `json:"externalIP,omitempty"`
	Cloudlets  wire.Cloudlets    `json:"cloudlets"`
	Restarts   int               `json:"restarts"`
	Started    time.Time         `json:"started,omitzero"`
	MemoryMiB  int64             `json:"memoryMiB"`
	CPUSeconds float64           `json:"cpuSeconds"`
	DiskMiB    int64             `json:"diskMiB"`
}

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

// Cluster is the installation as a whole: `hnctl cluster status`.
type Cluster struct {
	ID           wire.ClusterID `json:"id"`
	Name         string         `json:"name"`
	Domain       string         `json:"domain"`
	Version      string         `json:"version"`
	Hosts        map[string]int `json:"hosts" doc:"Hosts by state"`
	Environments map[string]int `json:"environments" doc:"Environments by state"`
	License      License        `json:"license"`
	Alarms       []string       `json:"alarms,omitempty"`
	GossipKey    string         `json:"gossipKey,omitempty" doc:"When the gossip key was rotated, or how far its rotation is"`
	Now          time.Time      `json:"now"`
}

// License is the licence in force: `hnctl licence show`.
type License struct {
	ID        string    `json:"id"`
	Customer  string    `json:"customer"`
	Hosts     int       `json:"hosts" doc:"Hosts it allows"`
	HostsUsed int       `json:"hostsUsed"`
	Expires   time.Time `json:"expires"`
	State     string    `json:"state" doc:"active, due, grace, limited, expired or none"`
	Reason    string    `json:"reason,omitempty"`
	Lease     time.Time `json:"leaseUntil,omitzero" doc:"End of the last lease from the JLS"`
	JLS       string    `json:"jls" doc:"reachable, or since when not"`
}

// OperationState is where an operation is.
type OperationState string

// The operation states; the last three are final.
const (
	OpPending   OperationState = "pending"
	OpRunning   OperationState = "running"
	OpDone      OperationState = "done"
	OpFailed    OperationState = "failed"
	OpCancelled OperationState = "cancelled"
)

// Final tells whether the state is an end.
func (s OperationState) Final() bool { return s == OpDone || s == OpFailed || s == OpCancelled }

// Operation is one piece of long work.
type Operation struct {
	ID       wire.OperationID `json:"id"`
	Kind     string           `json:"kind" doc:"env.create, env.start, env.stop, env.delete, env.spread, node.replace, import (of an image that was pushed), …"`
	Object   string           `json:"object" doc:"What it works on, e.g. environments/hello or templates/nginx:1.22"`
	By       string           `json:"by" doc:"Who asked: the token's name, or the orchestrator itself; of an import the push token, or the registry itself"`
	State    OperationState   `json:"state" enum:"pending,running,done,failed,cancelled"`
	Revision wire.Revision    `json:"revision" doc:"The store's revision the request was accepted at"`
	Created  time.Time        `json:"created"`
	Updated  time.Time        `json:"updated"`
	Deadline time.Time        `json:"deadline,omitzero" doc:"When it fails unless it is done; an import has none before its turn comes"`
	Progress int              `json:"progress" doc:"0–100"`
	Steps    []Step           `json:"steps"`
	Problem  *Problem         `json:"problem,omitempty"`
	Cancel   bool             `json:"cancel" doc:"Whether it can be cancelled"`
}

// Step is one step of an operation.
type Step struct {
	Name   string         `json:"name"`
	State  OperationState `json:"state"`
	Detail string         `json:"detail,omitempty"`
	At     time.Time      `json:"at,omitzero"`
}

// Template is one template in the registry.
type Template struct {
	Name    wire.TemplateName `json:"name"`
	Digest  wire.Digest       `json:"digest,omitempty" doc:"SHA-256 of the erofs file; none before the first import ended well"`
	Bytes   int64             `json:"bytes,omitempty"`
	Process []string          `json:"process,omitempty"`
	Port    uint16            `json:"port,omitempty" doc:"HTTP port, 0 if none"`

	State    string    `json:"state,omitempty" doc:"ready; or of what was pushed last under that name: waiting, importing, failed"`
	Percent  int       `json:"percent,omitempty" doc:"Of importing: how much is done"`
	Reason   string    `json:"reason,omitempty" doc:"Why it failed, and what to do"`
	Since    time.Time `json:"since,omitzero" doc:"When it came into that state, unless it is ready"`
	Imported time.Time `json:"imported,omitzero" doc:"When the template was made"`
	Notes    []string  `json:"notes,omitempty" doc:"What was left out of the image"`
	Warnings []string  `json:"warnings,omitempty" doc:"Why a node of it may not start"`
}

// Freed is what deleting templates, or collecting what none needs, removed from the registry.
type Freed struct {
	Names []wire.TemplateName `json:"names,omitempty" doc:"Templates that are no more"`
	Bytes int64               `json:"bytes" doc:"Bytes that are free"`
	Later int64               `json:"later" doc:"Bytes that no template needs, kept a while: a push or a node that is just being made may"`
}

// List is the body of every list.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"Send it as cursor to get what follows; absent at the end"`
}

// Version is what the orchestrator is.
type Version struct {
	Version string `json:"version"`
}

// Accepted answers a request for long work: the operation to watch; or, of a dry run, the nodes there would be and nothing else.
type Accepted struct {
	Operation *Operation `json:"operation,omitempty"`
	Plan      []Node     `json:"plan,omitempty" doc:"Dry run: where each node would go, and why"`
}

// Token is a bearer token of the API, without its text.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Scopes  []string  `json:"scopes" doc:"read, write, exec, platform, metrics, admin; admin includes all"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

// NewToken asks for a token.
type NewToken struct {
	Name   string   `json:"name" minLength:"1" maxLength:"60" pattern:"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$"`
	Scopes []string `json:"scopes" minItems:"1" maxItems:"8" enum:"read,write,exec,platform,metrics,admin"`
	Days   int      `json:"days,omitempty" minimum:"0" maximum:"3660" doc:"Days it is valid; 0 is until revoked"`
}

// MadeToken carries the token's text: the only time it is shown.
type MadeToken struct {
	Token
	Text string `json:"text"`
}

// Audit is one record of who did what.
type Audit struct {
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Who    string    `json:"who"`
	From   string    `json:"from" doc:"Address the request came from"`
	What   string    `json:"what"`
	Object string    `json:"object"`
	Result string    `json:"result" doc:"begun, written before the effect; then ok, or the code and reason of the refusal"`
}

// LicenseText installs a licence.
type LicenseText struct {
	Text string `json:"text" minLength:"1" maxLength:"16384" doc:"The licence token (PASETO v4.public)"`
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
