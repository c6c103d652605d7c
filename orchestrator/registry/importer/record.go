package importer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/registry/catalog"
	"hardnode.dev/orchestrator/registry/flatten"
	"hardnode.dev/orchestrator/registry/runs"
)

// outcome is how the import went for one who asked.
type outcome struct {
	made host.Template
	err  error
}

// cause is why an import is asked for.
type cause int

const (
	pushed cause = iota // the name was pushed a moment ago
	found               // the name was there when the registry started
	asked               // a person waits for it
	tagged              // an image that is a template got another name
)

// by is who asks, in words.
func (c cause) by() string {
	switch c {
	case found:
		return "registry"
	case tagged:
		return "new tag"
	}
	return "push token"
}

// Runs are all imports that have not ended, and the last that have; the newest first.
func (s *States) Runs() []host.ImportRun {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.runs.All()
	for i := range out {
		r := &out[i]
		if r.State.Final() {
			continue
		}
		r.Detail = "it waits for its turn"
		if e := s.names[r.Name]; e != nil && e.State == host.ImportRunning {
			r.State, r.Updated, r.Percent, r.Deadline = e.State, e.Since, e.percent(), e.deadline
			r.Detail = fmt.Sprintf("%s of %s are read: every layer twice", mib(e.read), mib(e.of))
		}
	}
	return out
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// resolved notes that a person asks for the import of d, which is there. What was imported a moment ago is the same import.
func (s *States) resolved(e *state, why cause, d wire.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == asked && !s.runs.Just(e.Name, d) {
		s.runs.Begin(e.Name, why.by(), true)
	}
}

// worked notes that the import of e changes something. A start tries what failed before again: that is told only if it goes another way.
func (s *States) worked(e *state, why cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work(e, why)
}

func (s *States) work(e *state, why cause) {
	if why != found || e.before == "" {
		s.runs.Begin(e.Name, why.by(), why == asked)
	}
}

// over ends the run of e, if there is or should be one.
func (s *States) over(e *state, why cause, got outcome) {
	end, known := endOf(got, why)
	if !known {
		return
	}
	if !s.runs.Begun(e.Name) {
		failed := end.State == host.ImportFailed
		if failed && why == found && e.before == e.Reason || !failed && (got.err != nil || e.before == "") {
			return
		}
		s.runs.Begin(e.Name, why.by(), why == asked)
	}
	s.runs.End(e.Name, end)
}

// endOf is how a run ends; one whose registry ends goes on when that starts again: known is false.
func endOf(got outcome, why cause) (end runs.End, known bool) {
	switch err := got.err; {
	case err == nil:
		return runs.End{State: host.ImportDone, Digest: got.made.OCI, Detail: "a template of " + mib(got.made.Bytes)}, true
	case errors.Is(err, ErrNone):
		return runs.Deleted, true
	case errors.Is(err, ErrArtifact):
		return runs.End{State: host.ImportDone, Detail: "it is stored, and is no template: " + told(err)}, true
	case errors.Is(err, context.Canceled):
		return runs.End{State: host.ImportDropped, Reason: "who asked for it went before it was done",
			Next: "import it again"}, why == asked
	}
	code, reason, next := verdict(got.err)
	return runs.End{State: host.ImportFailed, Code: code, Reason: reason, Next: next}, true
}

// reason is what a person is told of a failure, and what to do.
func reason(err error) string {
	_, why, next := verdict(err)
	return why + "; " + next
}

// told is what is wrong with an image, in bounded words.
func told(err error) string {
	return fmt.Sprintf("%.*s", maxReason, strings.TrimPrefix(err.Error(), flatten.ErrImage.Error()+": "))
}

// verdict is a failure for people: what kind it is, why, and what to do.
func verdict(err error) (code operator.Code, why, next string) {
	switch {
	case errors.Is(err, flatten.ErrImage):
		return operator.Invalid, told(err), "mend the image and push it again"
	case errors.Is(err, catalog.ErrFull):
		return operator.Exhausted, "the registry's volume is full",
			"delete templates (hnctl template rm), or give it a larger volume, and push again"
	case errors.Is(err, context.DeadlineExceeded):
		return operator.Unavailable, "it took longer than an image of its size has",
			"push a smaller image, or import it again when the machine is less busy"
	}
	return operator.Internal, "the registry could not do it", "see its log (hnctl node logs registry), then push it again"
}
