package jls

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/neighbour"
)

// PathErrors takes a POST of a Signed Errors and answers with an ErrorsReply.
const PathErrors = "/v1/errors"

// JError is a group of errors that are alike: names and places in our own code, and counts; no values.
type JError struct {
	Fingerprint string      `json:"fingerprint"` // "g1-" and 32 hex digits: errors that have the same are one
	Component   string      `json:"component"`   // agent, orchestrator, kernel, …
	Kind        string      `json:"kind"`        // panic, watchdog, …
	Version     string      `json:"version"`     // of the component
	Message     string      `json:"message"`     // what varies in it is left out
	Frames      []string    `json:"frames,omitempty"`
	Host        wire.HostID `json:"host,omitempty"`
	Count       int64       `json:"count"`
	First       time.Time   `json:"first"`
	Last        time.Time   `json:"last"`
}

// The bounds of what is taken of errors.
const (
	MaxErrors  = 200 // groups
	MaxFrames  = 8
	MaxMessage = 300 // bytes
	maxName    = 200 // bytes of another text
)

// ErrorReport is what a host tells its orchestrator.
type ErrorReport struct {
	Errors []JError `json:"errors"`
	Lost   int64    `json:"lost,omitempty"` // errors that are in no group: there were too many
}

// Errors is what an installation tells of its errors.
type Errors struct {
	Head
	ErrorReport
}

// ErrorsReply says that they were taken.
type ErrorsReply struct {
	Now  time.Time `json:"now"`
	Stop time.Time `json:"stop,omitzero"` // until then nothing is to be sent
}

var fingerprint = form.New(`^g1-[0-9a-f]{32}$`)

// Validate holds a report to its bounds.
func (r ErrorReport) Validate() error {
	if len(r.Errors) > MaxErrors {
		return fmt.Errorf("errors: has %d groups, at most %d are read", len(r.Errors), MaxErrors)
	}
	if r.Lost < 0 {
		return fmt.Errorf("lost: %d is less than none", r.Lost)
	}
	for i, e := range r.Errors {
		at := fmt.Sprintf("errors[%d].", i)
		switch {
		case !fingerprint.MatchString(e.Fingerprint):
			return fmt.Errorf("%sfingerprint: %.100q: want g1- and 32 hex digits", at, e.Fingerprint)
		case len(e.Frames) > MaxFrames:
			return fmt.Errorf("%sframes: has %d, at most %d are read", at, len(e.Frames), MaxFrames)
		case len(e.Message) > MaxMessage:
			return fmt.Errorf("%smessage: has %d bytes, at most %d are read", at, len(e.Message), MaxMessage)
		case e.Count < 1:
			return fmt.Errorf("%scount: %d, want at least 1", at, e.Count)
		}
		for _, s := range append([]string{e.Component, e.Kind, e.Version, string(e.Host)}, e.Frames...) {
			if len(s) > maxName {
				return fmt.Errorf("%s: a text of %d bytes, at most %d are read", at, len(s), maxName)
			}
		}
	}
	return nil
}

// DecodeErrors reads the body of a Signed Errors and checks its form.
func DecodeErrors(body []byte) (e Errors, err error) {
	if err := neighbour.Decode(body, &e); err != nil {
		return e, fmt.Errorf("errors: %w", err)
	}
	if err := e.Head.validate(); err != nil {
		return e, fmt.Errorf("errors: %w", err)
	}
	return e, e.ErrorReport.Validate()
}
