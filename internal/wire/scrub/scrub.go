// Package scrub is what is said of how a host looks after its DATA: all that lies there is read and compared with its checksums once a
// month (scrub), and block groups that are almost empty are given back (balance).
//
// Owns: the part of the answer of GET /v1/storage that says so.
// In: JSON between the programs of a host and the orchestrator.
// Out: values.
// Never: looks at a disk (agent/scrub does).
//
// History: 2026-11-27 version 1. 2026-11-27 Space.Reserved, Space.Copies. 2026-11-29 Moving.
package scrub

import (
	"fmt"
	"time"
)

// Status is how far it is.
type Status struct {
	Began time.Time `json:"began,omitzero"` // the scrub that is under way, or was the last one
	Ended time.Time `json:"ended,omitzero"` // zero: it is under way
	Next  time.Time `json:"next,omitzero"`  // when one begins by itself
	// Percent is how far it is over the disks; Bytes what was read.
	Percent int   `json:"percent"`
	Bytes   int64 `json:"bytes"`
	// Corrected are blocks that were not as they were written and are again, from another copy; Unreadable those that no copy had.
	Corrected  uint64 `json:"corrected"`
	Unreadable uint64 `json:"unreadable"`
	Failed     string `json:"failed,omitempty"` // why the last look or part did not succeed; it is tried again
	// Data and Metadata are what block groups of each take, and Free what none takes, in bytes; a full metadata needs some of it.
	Data     Space     `json:"data"`
	Metadata Space     `json:"metadata"`
	Free     int64     `json:"free"`
	Moved    int       `json:"moved"`             // block groups that were given back since the agent began
	Moving   bool      `json:"moving,omitempty"`  // one is being given back
	Balanced time.Time `json:"balanced,omitzero"` // when the last one was
}

// Space is what block groups of one kind take.
type Space struct {
	Allotted int64 `json:"allotted"`
	Used     int64 `json:"used"`
	Reserved int64 `json:"reserved,omitempty"` // of metadata, by the kernel for its own
	Copies   int64 `json:"copies,omitempty"`   // how many bytes of the disks each takes
}

// Room is how much more metadata finds room, at most: data may take of it too. It is -1 where a host does not tell enough.
func (s Status) Room() int64 {
	if s.Metadata.Copies == 0 {
		return -1
	}
	return max(0, s.Metadata.Allotted-s.Metadata.Used-s.Metadata.Reserved) + s.Free/s.Metadata.Copies
}

// Line is the scrub in one line, for people.
func (s Status) Line() string {
	var line string
	switch {
	case s.Began.IsZero():
		return "never yet; the first one begins " + s.Next.UTC().Format("2006-01-02")
	case s.Ended.IsZero():
		line = fmt.Sprintf("under way since %s, %d %%", s.Began.UTC().Format(time.RFC3339), s.Percent)
	default:
		line = "ended " + s.Ended.UTC().Format(time.RFC3339)
	}
	line += fmt.Sprintf(", %d MiB read", s.Bytes>>20)
	if s.Corrected > 0 {
		line += fmt.Sprintf(", %d blocks mended", s.Corrected)
	}
	if s.Unreadable > 0 {
		line += fmt.Sprintf(", %d blocks lost", s.Unreadable)
	}
	return line
}

// Balance is what was given back, in one line, for people. It is done when there is need: metadata could soon be refused room while data
// has much that it does not use.
func (s Status) Balance() string {
	line := "none was needed yet"
	if s.Moved > 0 {
		line = fmt.Sprintf("%d block groups given back, the last one %s", s.Moved, s.Balanced.UTC().Format(time.RFC3339))
	}
	if s.Moving {
		line += "; under way"
	}
	return line
}
