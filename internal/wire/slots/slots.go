// Package slots is what is said of the slots of an installed host: the places on its disk that a system is booted from.
//
// Owns: the answers of GET /v1/slots and the request of POST /v1/slots on boot.AgentSocket.
// In: JSON between the programs of a host and the orchestrator.
// Out: values; an error that names the field.
// Never: knows how a loader counts boots (internal/disk/bootorder does).
//
// History: 2026-11-26 version 1. 2026-11-27 the action stay; rollback also while a slot is tried.
package slots

import "fmt"

// Name is a slot.
type Name string

// The slots.
const (
	A      Name = "a"
	B      Name = "b"
	Rescue Name = "rescue"
)

// Other is the slot beside a or b.
func (n Name) Other() Name {
	if n == A {
		return B
	}
	return A
}

// State is what is known of a slot.
type State string

// The states.
const (
	Empty     State = "empty"     // holds no system
	Committed State = "committed" // was well; it is booted when nothing else is asked for
	Good      State = "good"      // was well before another one was committed: what is gone back to
	Staged    State = "staged"    // holds a system that was not tried
	Trying    State = "trying"    // is booted once, and must be well before the deadline
	Failed    State = "failed"    // was tried and was not well; Reason says why
)

// Slot is one slot.
type Slot struct {
	Name    Name   `json:"name"`
	State   State  `json:"state"`
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256,omitempty"` // hex, of its file
	Bytes   int64  `json:"bytes,omitempty"`
	Booted  bool   `json:"booted,omitempty"` // this boot is from it
	Next    bool   `json:"next,omitempty"`   // the next boot is from it
	Tries   int    `json:"tries,omitempty"`  // boots that the loader may still make before it takes another one
	Reason  string `json:"reason,omitempty"`
}

// Status is the answer of GET /v1/slots.
type Status struct {
	// Installed: the host was booted from an installed disk; the rest is empty else, but for Disk and Problem of a host that was, and waits
	// for its configuration.
	Installed bool   `json:"installed"`
	Disk      string `json:"disk,omitempty"` // the path of the ESP's disk
	Slots     []Slot `json:"slots,omitempty"`
	// Waits is what a slot that is tried is not yet well in; Deadline is when the host goes back, Unix seconds.
	Waits    []string `json:"waits,omitempty"`
	Deadline int64    `json:"deadline,omitempty"`
	Firmware []string `json:"firmware,omitempty"` // the firmware's boot order, for people
	Problem  string   `json:"problem,omitempty"`  // why not all of this is known
	Busy     string   `json:"busy,omitempty"`     // what is being written; the slots are told when it is done
	Hot      string   `json:"hot,omitempty"`      // the release of programs that run in place of those of the booted slot
	Failed   string   `json:"failed,omitempty"`   // why what was to be written last was not
}

// Ask is what a host is asked: its status, or first to do something. The answer is a Status.
type Ask struct {
	Do *Request `json:"do,omitempty"`
}

// Action is what may be asked for.
type Action string

// The actions.
const (
	Try      Action = "try"      // boot Slot at the next reboot, once; it is committed when it is well
	Rollback Action = "rollback" // commit the other slot, which must be good, for the next reboot; what is tried is given up
	Stay     Action = "stay"     // take back what was asked for in this boot: the next one is from the slot that is booted
	Stage    Action = "stage"    // write File into the slot that is not booted; SHA256 must be that of what is then read from it
	Copy     Action = "copy"     // likewise, the system that is booted
)

// Request is the body of POST /v1/slots.
type Request struct {
	Action Action `json:"action"`
	Slot   Name   `json:"slot,omitempty"`   // of Try; "" is the one that is not booted
	File   string `json:"file,omitempty"`   // of Stage: a path on the host
	SHA256 string `json:"sha256,omitempty"` // of Stage: hex
	// Within is what Try gives the slot to be well, in seconds from the kernel's start: 30 to 7200; 0 is 600.
	Within int64 `json:"withinSec,omitempty"`
	// Reboot: the host is rebooted when it is done.
	Reboot bool `json:"reboot,omitempty"`
}

// Validate says which field is wrong and what it should be, or nil.
func (r Request) Validate() error {
	switch r.Action {
	case Try, Rollback, Copy, Stay:
		if r.File != "" || r.SHA256 != "" {
			return fmt.Errorf("file: only the action stage has one")
		}
	case Stage:
		if r.File == "" || len(r.SHA256) != 64 {
			return fmt.Errorf("sha256: give a file and the 64 hex digits of its SHA-256")
		}
	default:
		return fmt.Errorf("action: %q is not known, want try, rollback, stay, stage or copy", r.Action)
	}
	if r.Action == Stay && (r.Reboot || r.Slot != "") {
		return fmt.Errorf("reboot: the action stay has neither reboot nor slot")
	}
	if r.Slot != "" && r.Slot != A && r.Slot != B {
		return fmt.Errorf("slot: %q: want a or b", r.Slot)
	}
	return nil
}
