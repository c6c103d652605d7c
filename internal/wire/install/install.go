// Package install is what is said of putting a host's system onto a disk: what is wished, what would be done, how far it is.
//
// Owns: the section "install" of a host's configuration, which is also the request of POST /v1/install on boot.AgentSocket; the answers.
// In: YAML of a configuration, JSON between the programs of a host and the orchestrator.
// Out: values; an error that names the field.
// Never: looks at a disk, or decides which one it is (internal/disk/pick does).
//
// History: 2026-11-26 version 1. 2026-11-27 two disks: disks, mirror, wipes; second in a plan.
package install

import (
	"fmt"
	"strings"
)

// Spec is a wish to install.
type Spec struct {
	// Disk says which disk. It may be empty: then there must be just one that is free.
	Disk Rule `json:"disk,omitzero" yaml:"disk"`
	// Disks says which two disks, in place of Disk: each holds the system, and STATE and DATA are mirrored.
	Disks []Rule `json:"disks,omitempty" yaml:"disks,omitempty" maxItems:"2"`
	// Mirror: two disks are taken, both as Disk says.
	Mirror bool `json:"mirror,omitempty" yaml:"mirror,omitempty"`
	// Wipe is the path of the disk, typed out (/dev/sda): all that it holds is lost. Without it only a blank disk is taken.
	Wipe string `json:"wipe,omitempty" yaml:"wipe"`
	// Wipes is Wipe of several disks.
	Wipes []string `json:"wipes,omitempty" yaml:"wipes,omitempty" maxItems:"2"`
	// DryRun: the plan is shown, and nothing is written.
	DryRun bool `json:"dryRun,omitempty" yaml:"dryRun"`
	// UKI is a file with the system to install; "" is the one that this host was booted from.
	UKI string `json:"uki,omitempty" yaml:"uki"`
	// Encrypt is EncryptTPM, or "": STATE lies in the clear.
	Encrypt string `json:"encrypt,omitempty" yaml:"encrypt"`
}

// EncryptTPM: STATE is encrypted, and this machine's TPM opens it; a recovery key is shown once.
const EncryptTPM = "tpm"

// Rule chooses among disks: one is meant when all that is given is true of it. Text may have the wildcards * and ?.
type Rule struct {
	Path      string `json:"path,omitempty" yaml:"path"`           // /dev/sda, /dev/nvme0n1
	ID        string `json:"id,omitempty" yaml:"id"`               // a name of /dev/disk/by-id, as Disk.IDs has it: nvme-eui.…, wwn-0x…
	Model     string `json:"model,omitempty" yaml:"model"`         // "Samsung SSD 990*"
	Serial    string `json:"serial,omitempty" yaml:"serial"`       // as the disk says it
	Transport string `json:"transport,omitempty" yaml:"transport"` // one of Transports
	MinGiB    int64  `json:"minGiB,omitempty" yaml:"minGiB"`       // at least so large
	MaxGiB    int64  `json:"maxGiB,omitempty" yaml:"maxGiB"`       // at most so large; 0 is any
}

// Transports are the ways a disk may be attached.
var Transports = []string{"nvme", "sata", "sas", "usb", "virtio", "scsi", "mmc"}

// Wiped are the paths of the disks that may lose what they hold.
func (s Spec) Wiped() []string {
	if s.Wipe == "" {
		return s.Wipes
	}
	return append([]string{s.Wipe}, s.Wipes...)
}

// Validate says which field is wrong and what it should be, or nil.
func (s Spec) Validate() error {
	if err := s.Disk.validate(); err != nil {
		return fmt.Errorf("disk.%w", err)
	}
	for i, r := range s.Disks {
		if err := r.validate(); err != nil {
			return fmt.Errorf("disks[%d].%w", i, err)
		}
	}
	switch {
	case len(s.Disks) != 0 && len(s.Disks) != 2:
		return fmt.Errorf("disks: %d are given, want two; for one say disk", len(s.Disks))
	case len(s.Disks) > 0 && (s.Disk != Rule{} || s.Mirror):
		return fmt.Errorf("disks: say disks, or disk with mirror, not both")
	case s.Mirror && s.Disk.Path != "":
		return fmt.Errorf("mirror: disk.path means one disk, and two are wanted; name both in disks")
	}
	for _, w := range s.Wiped() {
		if !path(w) {
			return fmt.Errorf("wipe: %q: want the disk's path, such as /dev/sda", w)
		}
	}
	if s.UKI != "" && !strings.HasPrefix(s.UKI, "/") {
		return fmt.Errorf("uki: %q: want the path of a file from the root on", s.UKI)
	}
	if s.Encrypt != "" && s.Encrypt != EncryptTPM {
		return fmt.Errorf("encrypt: %q: want tpm, or leave it out", s.Encrypt)
	}
	if s.Encrypt != "" && (s.Mirror || len(s.Disks) > 0) {
		return fmt.Errorf("encrypt: STATE on two disks can't be encrypted yet: name one disk, or leave it out")
	}
	return nil
}

func (r Rule) validate() error {
	if r.Path != "" && !path(r.Path) {
		return fmt.Errorf("path: %q: want a path such as /dev/sda", r.Path)
	}
	if r.MinGiB < 0 || r.MaxGiB < 0 || r.MaxGiB > 0 && r.MaxGiB < r.MinGiB {
		return fmt.Errorf("minGiB: %d to %d is no range of sizes", r.MinGiB, r.MaxGiB)
	}
	for _, t := range Transports {
		if r.Transport == t || r.Transport == "" {
			return nil
		}
	}
	return fmt.Errorf("transport: %q is not known, want one of %s", r.Transport, strings.Join(Transports, ", "))
}

func path(s string) bool {
	return strings.HasPrefix(s, "/dev/") && len(s) > len("/dev/") && !strings.Contains(s, "..")
}

// Disk is a disk of this host as it was found.
type Disk struct {
	Path      string   `json:"path"`
	Bytes     int64    `json:"bytes"`
	Model     string   `json:"model,omitempty"`
	Serial    string   `json:"serial,omitempty"`
	Transport string   `json:"transport,omitempty"`
	IDs       []string `json:"ids,omitempty"` // its names in /dev/disk/by-id
	Holds     string   `json:"holds"`         // what is on it, for people: "nothing", "NTFS"
	// Refused is why it can't be installed to, with the next step; "" when it can.
	Refused string `json:"refused,omitempty"`
}

// Plan is what an installation does.
type Plan struct {
	Disk       Disk        `json:"disk"`
	Wipes      string      `json:"wipes,omitempty"` // what is lost, for people
	Partitions []Partition `json:"partitions"`
	Source     string      `json:"source"` // where the system is taken from, for people
	Steps      []string    `json:"steps"`  // for people, in order
	// Second is the other disk of a mirror.
	Second *Target `json:"second,omitempty"`
}

// Target is one disk of a plan.
type Target struct {
	Disk       Disk        `json:"disk"`
	Wipes      string      `json:"wipes,omitempty"`
	Partitions []Partition `json:"partitions"`
}

// Targets are the disks that a plan writes to.
func (p Plan) Targets() []Target {
	list := []Target{{p.Disk, p.Wipes, p.Partitions}}
	if p.Second != nil {
		list = append(list, *p.Second)
	}
	return list
}

// Loses is what is lost of a plan's disks, for people; "" when nothing is.
func (p Plan) Loses() string {
	var all []string
	for _, t := range p.Targets() {
		if t.Wipes != "" {
			all = append(all, t.Wipes)
		}
	}
	return strings.Join(all, ", and ")
}

// Names are the paths of its disks, for people.
func (p Plan) Names() string {
	if p.Second != nil {
		return p.Disk.Path + " and " + p.Second.Disk.Path
	}
	return p.Disk.Path
}

// Partition is one of a plan.
type Partition struct {
	Name  string `json:"name"` // ESP, STATE, DATA
	Start int64  `json:"start"`
	Bytes int64  `json:"bytes"`
}

// State is how far an installation is.
type State string

// The states. From Planned, Done, Refused and Failed on another wish may be made.
const (
	None    State = "none"    // nobody wished for one since the boot
	Planned State = "planned" // a dry run: Plan says what would be done
	Running State = "running"
	Done    State = "done" // the host reboots from the disk
	Refused State = "refused"
	Failed  State = "failed"
	// Installed: this boot is from an installed disk.
	Installed State = "installed"
)

// Ask is what a host is asked: its status, or first to install. The answer is a Status.
type Ask struct {
	Do *Spec `json:"do,omitempty"`
}

// Status is the answer of GET and POST /v1/install.
type Status struct {
	State State  `json:"state"`
	Disks []Disk `json:"disks,omitempty"`
	Plan  *Plan  `json:"plan,omitempty"`
	Step  int    `json:"step,omitempty"` // of Plan.Steps, from 1: what is being done
	// Reason is why it was refused or failed, with the next step.
	Reason string `json:"reason,omitempty"`
}
