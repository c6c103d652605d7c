// Package smart is what disks say of their own health (SMART, NVMe's health log), as a host reports it.
//
// Owns: the type that host.Report carries, a value for each disk of the machine.
// In: JSON between the programs of a host and the orchestrator.
// Out: values, and a line for people.
// Never: asks a disk, or judges what it says (agent/smart does).
//
// History: 2026-11-27 version 1.
package smart

import (
	"fmt"
	"strings"
)

// State is how a disk is by its own account.
type State string

// The states.
const (
	Good    State = "good"
	Watch   State = "watch"   // it works, and Reason says what is to be looked at
	Failing State = "failing" // it is to be replaced
	Unknown State = "unknown" // it says nothing, or nothing that is understood
)

// States are all of them.
var States = [...]State{Good, Watch, Failing, Unknown}

// Most is how many disks of a host are reported.
const Most = 64

// Health is that of one disk. What it does not say is left out.
type Health struct {
	Path   string `json:"path"`
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	State  State  `json:"state" enum:"good,watch,failing,unknown"`
	Reason string `json:"reason,omitempty" doc:"Why it is not good"`
	Wear   *int   `json:"wearPercent,omitempty" doc:"What is used of the writing that its maker gives it, in percent; may exceed 100"`
	Spare  *int   `json:"sparePercent,omitempty" doc:"What is left of its spare blocks"`
	// Celsius is its temperature; 0: not said.
	Celsius int   `json:"celsius,omitempty"`
	Hours   int64 `json:"hours,omitempty" doc:"How long it was switched on"`
	// MediaErrors are blocks that it could not give back as they were written, Pending those that it can't read now, Reallocated those
	// that it replaced by spare ones.
	MediaErrors int64 `json:"mediaErrors,omitempty"`
	Pending     int64 `json:"pending,omitempty"`
	Reallocated int64 `json:"reallocated,omitempty"`
	// Errors are what btrfs counts of it: reads, writes and flushes that failed, and blocks that were not what they should be.
	Errors int64 `json:"errors,omitempty"`
}

// Line is what a disk says of itself, in a line, for people.
func (d Health) Line() string {
	var parts []string
	if d.Reason != "" {
		parts = append(parts, d.Reason)
	}
	if d.Wear != nil {
		parts = append(parts, fmt.Sprintf("%d %% worn", *d.Wear))
	}
	if d.Spare != nil {
		parts = append(parts, fmt.Sprintf("%d %% of its spare blocks left", *d.Spare))
	}
	if d.Celsius != 0 {
		parts = append(parts, fmt.Sprintf("%d °C", d.Celsius))
	}
	for _, n := range []struct {
		count int64
		words string
	}{{d.Hours, "hours on"}, {d.MediaErrors, "media errors"}, {d.Pending, "unreadable blocks"}, {d.Reallocated, "reallocated blocks"},
		{d.Errors, "errors counted by btrfs"}} {
		if n.count != 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.words))
		}
	}
	return strings.Join(append([]string{string(d.State)}, parts...), ", ")
}
