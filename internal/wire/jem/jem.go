// Package jem is what `jem <module> <action> [args]` prints inside a container: one JSON document on stdout.
//
// Owns: the document's types and its decoding.
// In: JEM's output, as an exec session carries it.
// Out: a valid Reply, or an error that says what is wrong with it.
// Never: does I/O, or trusts the content: it comes from inside a container.
//
// History: 2026-11-22 version 1: service status, service logs. 2026-11-27: module, action, code, message, again, ends, columns, items,
// text,
// said; Told; Template. 2026-11-27: Template.SetMem.
package jem

import (
	"fmt"
	"time"
	"unicode/utf8"

	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/neighbour"
)

// Version is the document version this package reads and writes.
const Version = 1

// Reply is the one document an action prints. Error is set when the action failed; JEM then exits with status 1 (2 for a wrong call).
type Reply struct {
	Version int    `json:"version"`
	Init    Init   `json:"init"`
	Module  string `json:"module,omitempty"`
	Action  string `json:"action,omitempty"`
	Code    string `json:"code,omitempty"`    // CodeOK, or that of Error
	Message string `json:"message,omitempty"` // one sentence: what was done, or Error's reason
	Again   bool   `json:"again,omitempty"`   // nothing was done: this is the answer that was kept under the call's key
	Ends    bool   `json:"ends,omitempty"`    // the container's program is told to end right after this answer, and JEM ends with it

	Services []Service `json:"services,omitempty"` // service status
	Lines    []Line    `json:"lines,omitempty"`    // service logs, oldest first
	// Items are what a list lists, each a few named values; Columns are their names in the order to be shown.
	Columns []string            `json:"columns,omitempty"`
	Items   []map[string]string `json:"items,omitempty"`
	Text    string              `json:"text,omitempty"` // a file's content, or the end of it
	Said    string              `json:"said,omitempty"` // the end of what programs and hooks wrote
	Error   *Error              `json:"error,omitempty"`
}

// CodeOK is the code of an answer without an error.
const CodeOK = "ok"

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
	Code   string `json:"code"` // invalid, not_found, conflict, denied, exhausted, unavailable, internal
	Reason string `json:"reason"`
	Next   string `json:"next,omitempty"`
}

func (e *Error) Error() string { return e.Reason }

// The most of what an answer may hold.
const (
	MaxReply   = 1 << 20 // bytes of the document
	MaxText    = 256 << 10
	maxMessage = 8 << 10
	maxItems   = 10000
	maxColumns = 16
)

// word is the form of a code, a module, an action or a column's name.
var word = form.New(`^[A-Za-z][A-Za-z0-9_-]{0,39}$`)

// Decode reads a Reply.
func Decode(b []byte) (Reply, error) {
	if len(b) > MaxReply {
		return Reply{}, fmt.Errorf("jem reply: has %d bytes, at most %d are allowed", len(b), MaxReply)
	}
	if !utf8.Valid(b) {
		return Reply{}, fmt.Errorf("jem reply: is no UTF-8")
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
	case len(r.Columns) > maxColumns || len(r.Items) > maxItems || len(r.Services) > maxItems || len(r.Lines) > maxItems:
		return Reply{}, fmt.Errorf("jem reply: a list in it is longer than %d, or has more than %d columns", maxItems, maxColumns)
	case len(r.Message) > maxMessage || r.Error != nil && len(r.Error.Reason)+len(r.Error.Next) > 2*maxMessage:
		return Reply{}, fmt.Errorf("jem reply: its message is longer than %d bytes", maxMessage)
	}
	names := append([]string{r.Module, r.Action, r.Code}, r.Columns...)
	if r.Error != nil {
		names = append(names, r.Error.Code)
	}
	for _, n := range names {
		if n != "" && !word.MatchString(n) {
			return Reply{}, fmt.Errorf("jem reply: %.60q is no name of a module, an action, a column or a code", n)
		}
	}
	return r, nil
}
