// Package snapshot is what is said of the snapshots of a container: its own layer and all its volumes together, as they were at one moment.
//
// Owns: the request to a host about them and its answer; the rule by which old ones go; the schedule by which they come.
// In: JSON between agent, orchestrator and hnctl.
// Out: values; an error that names the field.
// Never: looks at a disk (agent/snapshot does), or decides who may ask (orchestrator/api does).
//
// History: 2026-11-27 version 1; Ask.From, Ask.NoHook, Snapshot.Said; Schedule, Snapshot.Scheduled. 2026-11-29
// Snapshot.Former.
package snapshot

import (
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
)

// ID names a snapshot of one container: when it was taken, in UTC, as 20261127-101502, and with a number behind it if there were several.
type ID string

// Validate says why i can't be one, or nil.
func (i ID) Validate() error {
	other := func(r rune) bool { return (r < '0' || r > '9') && r != '-' }
	if i == "" || len(i) > 40 || i[0] == '-' || strings.ContainsFunc(string(i), other) {
		return fmt.Errorf("snapshot %.60q: want one that is listed, such as 20261127-101502", string(i))
	}
	return nil
}

// Max is the most snapshots that a container may have.
const Max = 64

// Part is one of the subvolumes that a snapshot holds.
type Part struct {
	Volume string `json:"name"` // of the volume; "" is the container's own layer
	// Bytes is what its quota counted then: what it held, and what earlier snapshots of it held besides.
	Bytes int64 `json:"bytes"`
}

// Snapshot is one.
type Snapshot struct {
	ID         ID          `json:"id"`
	Taken      time.Time   `json:"taken"`
	Note       string      `json:"note,omitempty"`
	Generation int64       `json:"generation"`       // of the layer
	Image      wire.Digest `json:"image,omitempty"`  // that the layer lies on; "" when the container did not run
	Running    bool        `json:"running"`          // it ran: its processes were stopped for Pause
	Pause      int64       `json:"pauseMicros"`      // in microseconds
	Before     ID          `json:"before,omitempty"` // it is what was there before that snapshot was restored
	Said       string      `json:"said,omitempty"`   // what JEM did in the container for it, or why it could not
	// Scheduled: it was taken by the container's schedule, by which it goes.
	Scheduled bool `json:"scheduled,omitempty"`
	Backup    bool `json:"backup,omitempty"` // it was made of a backup
	// Former: it is what was there before a redeploy, and goes once that can't be undone any more.
	Former bool   `json:"former,omitempty"`
	Parts  []Part `json:"parts"`
}

// Validate says what can't be said of one, or nil. It may be nil.
func (s *Snapshot) Validate() error {
	if s == nil {
		return nil
	}
	err := s.ID.Validate()
	if err == nil && s.Before != "" {
		err = s.Before.Validate()
	}
	if err == nil && s.Image != "" {
		err = s.Image.Validate()
	}
	if err != nil {
		return err
	}
	if !oneLine(s.Note) || !oneLine(s.Said) || s.Generation < 0 || s.Pause < 0 {
		return fmt.Errorf("snapshot %s: want notes of one line and %d bytes at most, and no negative numbers", s.ID, MaxNote)
	}
	return nil
}

func oneLine(s string) bool {
	return len(s) <= MaxNote && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// Bytes is that of all parts.
func (s Snapshot) Bytes() (sum int64) {
	for _, p := range s.Parts {
		sum += p.Bytes
	}
	return sum
}

// Action is what is asked.
type Action string

// The actions.
const (
	List    Action = "list"
	Take    Action = "take"
	Restore Action = "restore"
	Delete  Action = "delete"
	Prune   Action = "prune"
)

// MaxNote is the longest note, in bytes.
const MaxNote = 200

// Ask is a request about the snapshots of the container that its session is about.
type Ask struct {
	Action Action `json:"action"`
	ID     ID     `json:"id,omitempty"`      // Restore, Delete
	Note   string `json:"note,omitempty"`    // Take
	Only   bool   `json:"volumes,omitempty"` // Restore: the volumes alone, and not the container's own layer
	Rule   Rule   `json:"rule,omitzero"`     // Prune
	DryRun bool   `json:"dryRun,omitempty"`  // Prune: says which would go
	// From, for Restore, is the container of this host whose snapshot it is; 0: the same one.
	From   wire.CTID `json:"from,omitempty"`
	NoHook bool      `json:"noHook,omitempty"` // Take: JEM's actions backup before and after are left out
}

// Validate says which field is wrong, or nil.
func (a Ask) Validate() error {
	switch a.Action {
	case List, Take:
	case Restore, Delete:
		if err := a.ID.Validate(); err != nil {
			return err
		}
	case Prune:
		if err := a.Rule.Validate(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("action %q is not known to this host; update its release", a.Action)
	}
	if !oneLine(a.Note) {
		return fmt.Errorf("note: want one line of at most %d bytes", MaxNote)
	}
	return nil
}

// Answer is a host's.
type Answer struct {
	Snapshots []Snapshot `json:"snapshots"` // those that are there afterwards, the newest first
	// Done is the one that was taken, that was restored, or, after a restore, Kept what was there before it.
	Done ID   `json:"done,omitempty"`
	Kept ID   `json:"kept,omitempty"`
	Gone []ID `json:"gone,omitempty"` // deleted, or, of a dry run, to be
	// Notes are what a person should know besides: parts that were not restored, and why.
	Notes []string `json:"notes,omitempty"`
}
