package operator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/firewall"
)

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
	After     []wire.LayerName  `json:"after,omitempty" yaml:"after" maxItems:"19" doc:"Layers whose nodes run before this one's are started, and stop after them"`
	Links     []wire.LayerName  `json:"links,omitempty" yaml:"links" maxItems:"19" doc:"Layers that know this one, and are known to it, by variables: DB_HOST and DB_PORT of layer db, a name that all its nodes are found by and the port that they serve on. They may not be among the layers' own"`
	Linked    map[string]string `json:"linked,omitempty" yaml:"-" readOnly:"true" doc:"The variables that links give; the orchestrator's own: what is sent counts for nothing"`
	Env       map[string]string `json:"env,omitempty" yaml:"env" doc:"Variables of the process"`
	Secrets   []SecretSpec      `json:"secrets,omitempty" yaml:"secrets" maxItems:"100" doc:"Variables whose values nobody is shown"`
	Check     *CheckSpec        `json:"check,omitempty" yaml:"check" doc:"What a node must answer to count as running; left out: what the template says"`
	// Firewall is what all its nodes have beside rules of their own, which hnctl node firewall gives them.
	Firewall []firewall.PacketRule `json:"firewall,omitempty" yaml:"firewall" maxItems:"64" doc:"Rules of the firewall of all its nodes; a node's own stands in the place of the one of the same name. What no rule is about passes"`
	Place    *PlaceSpec            `json:"place,omitempty" yaml:"place" doc:"Which hosts take its nodes; left out: any. Nodes that are there stay where they are until they move"`
	Redeploy *Redeployed           `json:"redeploy,omitempty" yaml:"-" readOnly:"true" doc:"The last redeploy of its nodes; the orchestrator's own: what is sent counts for nothing"`
	Volumes  []VolumeSpec          `json:"volumes,omitempty" yaml:"volumes" maxItems:"20" doc:"Directories of data that outlives the image, one volume of each node for each; those that the template names are there anyhow, and may be changed here by their path"`
}

// SecretSpec is a variable whose value nobody is shown: it goes to the container, and is sealed everywhere else.
type SecretSpec struct {
	Name   string       `json:"name" yaml:"name" required:"true" maxLength:"256"`
	Value  *secret.Text `json:"value,omitempty" yaml:"value" writeOnly:"true" maxLength:"32768" doc:"Left out: the value that the layer has stays"`
	Sealed []byte       `json:"sealed,omitempty" yaml:"-" readOnly:"true" doc:"The orchestrator's own; never shown, and not taken"`
}

// VolumeSpec is a volume that each node of a layer has.
type VolumeSpec struct {
	Path      string `json:"path" yaml:"path" required:"true" maxLength:"1024" doc:"Where it is mounted, an absolute path"`
	Name      string `json:"name,omitempty" yaml:"name" doc:"A DNS label of at most 40 characters; left out: made of the path, /var/lib/mysql is var-lib-mysql"`
	DiskMiB   int64  `json:"diskMiB,omitempty" yaml:"diskMiB" doc:"Its quota in MiB, 16 to 16777216; 0 is what each node's own files may take"`
	NoDataCOW bool   `json:"nodatacow,omitempty" yaml:"nodatacow" doc:"Its files are written in place and have no checksums: for a database that has its own"`
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
	Account  wire.Account     `json:"account,omitempty" doc:"Whose it is"`
	State    EnvironmentState `json:"state" enum:"running,down,launching,sleeping,unknown,creating,cloning,exporting,migrating,broken,updating,stopping,going-to-sleep,restoring"`
	Reason   string           `json:"reason,omitempty"`
	Domain   string           `json:"domain" doc:"Host name the resolver serves it under"`
	Revision wire.Revision    `json:"revision" doc:"Grows with every change; the ETag"`
	Created  time.Time        `json:"created"`
	Nodes    []Node           `json:"nodes"`
	Spread   string           `json:"spread,omitempty" doc:"Which layer isn't spread over hosts any more though it could be: POST …/spread mends it"`
	Failed   *FailedCreate    `json:"failed,omitempty" doc:"Its creation failed, and not all of it has run since"`
	Trash    *Trash           `json:"trash,omitempty" doc:"It is in the trash; absent: it is not"`
	Shared   *SharedBy        `json:"shared,omitempty" doc:"It is another account's, which shares it with the caller's"`
	Group    wire.GroupName   `json:"group,omitempty" doc:"Its nodes and those of the account's other environments of this group talk to each other, to no others; absent: all that are in no group"`
}

// SharedBy says who shares an environment with the account that reads of it, and as what.
type SharedBy struct {
	By   wire.Account `json:"by" doc:"Whose the environment is"`
	Role string       `json:"role" enum:"developer,viewer" doc:"What the caller's account may do in it at most"`
}

// EnvironmentGroup is which of its account's environments one talks to.
type EnvironmentGroup struct {
	Group wire.GroupName `json:"group" maxLength:"40" doc:"A name of the account's own, a DNS label; empty: those that are in no group"`
}

// RenameEnvironment asks for another name of an environment.
type RenameEnvironment struct {
	Name wire.EnvName `json:"name" required:"true" maxLength:"40" doc:"One that no environment has, a DNS label; the domain starts with it"`
}

// FailedCreate is what became of an environment whose creation failed: it stays to be looked at, counts against limits, and is removed
// after a week unless it is kept.
type FailedCreate struct {
	At      time.Time `json:"at" doc:"When the creation, or the last start after it, failed"`
	Reason  string    `json:"reason"`
	Kept    bool      `json:"kept,omitempty" doc:"It is not removed by itself"`
	Removal time.Time `json:"removal,omitzero" doc:"When it is removed by itself"`
}

// Roles are the layer names with a meaning of their own (DESIGN "Words").
var Roles = []string{"bl", "cp", "sqldb", "nosqldb", "cache", "storage", "vps", "build"}

// DecodeEnvironment reads a person's EnvironmentSpec strictly. All mistakes of its form come in one *document.Error, each with line and
// column; whether it can be made is for the orchestrator, and src places what it finds. Warnings are about what may be meant otherwise.
func DecodeEnvironment(name string, raw []byte) (s EnvironmentSpec, src *document.Source, warnings []string, err error) {
	src, err = document.Parse(name, raw, &s)
	var faults []*document.Error
	if e := (*document.Error)(nil); errors.As(err, &e) {
		faults = append(e.More, e)
		e.More = nil
	}
	// What could not be read is not found wanting once more.
	missed := func(path string) bool {
		return !src.Parsed || slices.ContainsFunc(faults, func(e *document.Error) bool {
			return e.Path != "" && strings.HasPrefix(path, e.Path)
		})
	}
	fail := func(path, format string, args ...any) {
		if !missed(path) {
			faults = append(faults, src.Fault(path, fmt.Sprintf(format, args...)))
		}
	}
	if s.Version != 1 {
		fail("version", "%d is not known, write version: 1", s.Version)
	}
	if err := s.Name.Validate(); err != nil {
		fail("name", "%v", err)
	}
	if len(s.Layers) == 0 {
		fail("layers", "there is none, give at least one")
	}
	for i, l := range s.Layers {
		at := fmt.Sprintf("layers[%d].", i)
		if err := l.Name.Validate(); err != nil {
			fail(at+"name", "%v", err)
		} else if near := document.Nearest(string(l.Name), Roles); near != "" && near != string(l.Name) {
			warnings = append(warnings,
				src.Fault(at+"name", fmt.Sprintf("%q is a name of your own; did you mean %q?", l.Name, near)).Error())
		}
		if err := l.Template.Validate(); err != nil {
			fail(at+"template", "%v", err)
		}
	}
	if err := document.Join(faults); err != nil {
		return EnvironmentSpec{}, src, warnings, err
	}
	return s, src, warnings, nil
}
