// Package jem is what `jem <module> <action> [args]` prints inside a container: one JSON document on stdout.
//
// Owns: the document's types and its decoding.
// In: JEM's output, as an exec session carries it.
// Out: a valid Reply, or an error that says what is wrong with it.
// Never: does I/O, or trusts the content: it comes from inside a container.
//
// History: 2026-11-22 version 1: service status, service logs.
package jem

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire/neighbour"
)

// Version is the document version this package reads and writes.
const Version = 1

// Reply is the one document an action prints. Error is set when the action failed; JEM then exits with status 1 (2 for a wrong call).
type Reply struct {
	Version  int       `json:"version"`
	Init     Init      `json:"init"`
	Services []Service `json:"services,omitempty"` // service status
	Lines    []Line    `json:"lines,omitempty"`    // service logs, oldest first
	Error    *Error    `json:"error,omitempty"`
}

// Init is what PID 1 of the container is.
type Init string

// The kinds of PID 1.
const (
	InitApp     Init = "app"     // the image's program, or the reaper before it
	InitSystemd Init = "systemd" // a full OS
)

// State is a service's state in the words of systemd's ActiveState; of an app container's processes it is always "active".
type State string

// Service is one unit of a full OS, or one process of an app container.
type Service struct {
	Name        string    `json:"name"` // unit name, or the program's name
	State       State     `json:"state"`
	Sub         string    `json:"sub,omitempty"`         // systemd's SubState; of a process its state letter
	Description string    `json:"description,omitempty"` // of the unit, or the process's command line
	PID         int       `json:"pid,omitempty"`         // in the container
	MemoryBytes int64     `json:"memoryBytes,omitempty"` // of the unit's cgroup, or the process's resident memory
	Since       time.Time `json:"since,omitzero"`
	Restarts    int       `json:"restarts,omitempty"`
}

// Line is one line of a unit's journal.
type Line struct {
	Time     time.Time `json:"time"`
	Unit     string    `json:"unit,omitempty"`
	Priority int       `json:"priority"` // syslog: 0 emergency … 7 debug
	Text     string    `json:"text"`
}

// Error says why an action failed, in the form of the API's problems.
type Error struct {
	Code   string `json:"code"` // invalid, not_found, unavailable, internal
	Reason string `json:"reason"`
	Next   string `json:"next,omitempty"`
}

func (e *Error) Error() string { return e.Reason }

// MaxReply is the largest document a reader accepts, in bytes.
const MaxReply = 4 << 20

// Decode reads a Reply.
func Decode(b []byte) (Reply, error) {
	if len(b) > MaxReply {
		return Reply{}, fmt.Errorf("jem reply: has %d bytes, at most %d are allowed", len(b), MaxReply)
	}
	var r Reply
	if err := neighbour.Decode(b, &r); err != nil {
		return Reply{}, fmt.Errorf("jem reply: %v", err)
	}
	switch {
	case r.Version != Version:
		return Reply{}, fmt.Errorf("jem reply: version %d: want %d", r.Version, Version)
	case r.Init != InitApp && r.Init != InitSystemd:
		return Reply{}, fmt.Errorf("jem reply: init %q: want %q or %q", r.Init, InitApp, InitSystemd)
	}
	return r, nil
}
