// Package storage is what is said of the disks that an installed host lies on: one, or two that mirror each other.
//
// Owns: the answers of GET /v1/storage and the request of POST /v1/storage on boot.AgentSocket.
// In: JSON between the programs of a host and the orchestrator.
// Out: values; an error that names the field.
// Never: looks at a disk, or decides which one is used (internal/disk/mirror does).
//
// History: 2026-11-27 version 1; Status.Scrub, Ask.Scrub; Status.Health; Replace.Add. 2026-11-28
// Ask.Acknowledge, Status.Acknowledged.
package storage

import (
	"fmt"

	"hardnode.dev/internal/wire/install"
	"hardnode.dev/internal/wire/scrub"
	"hardnode.dev/internal/wire/smart"
)

// Object is that of a host's problem with them.
const Object = "disks"

// State is how the disks of a host are.
type State string

// The states.
const (
	None     State = "none"     // the host was not booted from an installed disk
	Single   State = "single"   // it lies on one disk
	Whole    State = "whole"    // it lies on two, and each has all
	Degraded State = "degraded" // it lies on two, and one is gone or can't be used
	Filling  State = "filling"  // a disk is being filled from the other one
)

// Use is what a disk is to the host.
type Use string

// The uses.
const (
	Used    Use = "used"    // it has all
	Gone    Use = "gone"    // it is not there any more
	Fills   Use = "filling" // it is being filled
	Left    Use = "left"    // it is there, was of this host's mirror, and is not used; Reason says why
	Failing Use = "failing" // it is used, and reads or writes failed
)

// Half is one of the disks of a mirror.
type Half struct {
	Path   string `json:"path,omitempty"` // "": it was gone before the boot
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Use    Use    `json:"use"`
	Errors int64  `json:"errors,omitempty"` // reads, writes and flushes that failed, and blocks that were not what they should be
	Reason string `json:"reason,omitempty"`
}

// Status is the answer of GET /v1/storage.
type Status struct {
	State State  `json:"state"`
	Disks []Half `json:"disks,omitempty"`
	// Reason is why the state is not whole, with the next step.
	Reason string `json:"reason,omitempty"`
	// Steps are those of the replacement that is under way or was planned, for people; Step is the one that is done now, from 1; Percent is
	// how far that is, of those that take long.
	Steps   []string `json:"steps,omitempty"`
	Step    int      `json:"step,omitempty"`
	Percent int      `json:"percent,omitempty"`
	// Failed is why the last replacement was refused or did not come to its end.
	Failed string `json:"failed,omitempty"`
	// Systems says of a disk that has not the same systems to boot as the other one what it lacks; "" when all have.
	Systems string `json:"systems,omitempty"`
	// Scrub is how the host looks after its DATA; nil: it does not say.
	Scrub *scrub.Status `json:"scrub,omitempty"`
	// Acknowledged is how many errors were counted of the disk whose errors are counted anew by this answer.
	Acknowledged int64 `json:"acknowledged,omitempty"`
	// Health is how all disks of the machine are by their own account; none: the host does not say.
	Health []smart.Health `json:"health,omitempty"`
}

// Replace wishes that another disk takes the place of the one that is gone, or was never there.
type Replace struct {
	// Add: a host that lies on one disk shall lie on two from now on. A host of two that lost one has another one in its place with it or
	// without it; on a host on one disk nothing is done without it.
	Add bool `json:"add,omitempty"`
	// Disk says which one. It may be empty: then there must be just one that is free.
	Disk install.Rule `json:"disk,omitzero"`
	// Wipe is the path of the disk, typed out (/dev/sda): all that it holds is lost. Without it only a blank disk is taken.
	Wipe string `json:"wipe,omitempty"`
	// DryRun: the plan is shown, and nothing is written.
	DryRun bool `json:"dryRun,omitempty"`
}

// Validate says which field is wrong and what it should be, or nil.
func (r Replace) Validate() error { return install.Spec{Disk: r.Disk, Wipe: r.Wipe}.Validate() }

// Acknowledge has the errors that are counted of a disk be counted anew.
type Acknowledge struct {
	Disk   string `json:"disk" doc:"Path of the disk, such as /dev/sda"`
	Errors int64  `json:"errors" doc:"How many a person has seen: if there are others by now, nothing is done"`
}

// Validate says which field is wrong and what it should be, or nil.
func (a Acknowledge) Validate() error {
	if err := (install.Spec{Disk: install.Rule{Path: a.Disk}}).Validate(); err != nil || a.Disk == "" {
		return fmt.Errorf("disk %.80q: want the path of a disk, such as /dev/sda", a.Disk)
	}
	if a.Errors < 1 {
		return fmt.Errorf("errors: %d: want how many were seen, from 1 on", a.Errors)
	}
	return nil
}

// Ask is what a host is asked: its status, or first to fill a disk, to scrub DATA now, or to count a disk's errors anew. The answer is a
// Status.
type Ask struct {
	Do          *Replace     `json:"do,omitempty"`
	Scrub       bool         `json:"scrub,omitempty"`
	Acknowledge *Acknowledge `json:"acknowledge,omitempty"`
}

// Line is the status in one line, for people.
func (s Status) Line() string {
	switch {
	case s.State == Filling && s.Step > 0 && s.Step <= len(s.Steps):
		line := fmt.Sprintf("%s: %d of %d: %s", s.State, s.Step, len(s.Steps), s.Steps[s.Step-1])
		if s.Percent > 0 {
			line += fmt.Sprintf(", %d %%", s.Percent)
		}
		return line
	case s.Reason != "":
		return string(s.State) + ": " + s.Reason
	}
	return string(s.State)
}
