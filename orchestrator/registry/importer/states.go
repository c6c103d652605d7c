package importer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/registry/runs"
)

const (
	keepFailures = 7 * 24 * time.Hour
	maxFailures  = 1000
	maxReason    = 500 // bytes
)

// States say where the import of each pushed name is. What failed is kept on disk, so that a person who pushed can still read why; beside
// it the record of all imports.
type States struct {
	doc  keep.Doc[failures]
	runs *runs.List
	log  *slog.Logger
	now  func() time.Time

	mu    sync.Mutex
	names map[wire.TemplateName]*state
	saved []host.Import
}

type failures struct {
	Failed []host.Import `json:"failed"`
}

// state is one name's. Several may ask for the import of one name at once: the state ends with the last of them.
type state struct {
	host.Import
	asked, makers int
	read, of      int64     // bytes of its layers, over both readings
	deadline      time.Time // of the making
	before        string    // why the import before it failed, "" if it did not
	verdict       *outcome  // of those who asked and are gone: the last that is one
}

// OpenStates reads the failures kept in the file path. A damaged file is said, set aside and begun anew: it
// only explains.
func OpenStates(path string, log *slog.Logger, now func() time.Time) *States {
	s := &States{doc: keep.Doc[failures]{Path: path, Version: 1}, log: logging.Or(log), now: now, names: map[wire.TemplateName]*state{}}
	s.runs = runs.Open(strings.TrimSuffix(path, ".json")+"-runs.json", log, now)
	kept, _, err := s.doc.Renew()
	if err != nil {
		s.log.Warn("what failed to import before is not known any more", logging.Err, err)
	}
	for _, f := range kept.Failed {
		if f.State == host.ImportFailed && now().Sub(f.Since) < keepFailures {
			s.names[f.Name] = &state{Import: f}
		}
	}
	s.saved = kept.Failed
	return s
}

// List is what is not imported (yet), sorted by name.
func (s *States) List() []host.Import {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]host.Import, 0, len(s.names))
	for _, n := range slices.Sorted(maps.Keys(s.names)) {
		e := s.names[n]
		i := e.Import
		if i.State == host.ImportFailed && s.now().Sub(i.Since) >= keepFailures {
			delete(s.names, n)
			continue
		}
		i.Percent = e.percent()
		out = append(out, i)
	}
	return out
}

// percent is how much of its layers was read; whether that is all is known at the end only.
func (e *state) percent() int {
	if e.State != host.ImportRunning || e.of <= 0 {
		return 0
	}
	return int(min(e.read*100/e.of, 99))
}

// Waiting notes that the name was pushed.
func (s *States) Waiting(n wire.TemplateName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked(n)
	s.runs.Begin(n, pushed.by(), false)
}

// Forget drops what is known of a name that is no more.
func (s *States) Forget(n wire.TemplateName) { s.drop(n, runs.Deleted) }

// Missed notes that a push is not imported by itself: too many came at once.
func (s *States) Missed(n wire.TemplateName) {
	const why = "too many images were pushed at once"
	s.drop(n, runs.End{State: host.ImportFailed, Code: operator.Exhausted, Reason: why, Next: "push it again"})
}

func (s *States) drop(n wire.TemplateName, how runs.End) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.names[n]; e != nil && e.asked == 0 {
		delete(s.names, n)
		s.save()
		s.runs.End(n, how)
	}
}

// Left ends the runs of an earlier life of the registry that can't go on: pushed are the names there are, err is why they are not known.
func (s *States) Left(pushed []wire.TemplateName, err error) { s.runs.Left(pushed, err) }

func (s *States) asked(n wire.TemplateName) *state {
	e := s.names[n]
	if e == nil || e.State == host.ImportFailed {
		next := &state{Import: host.Import{Name: n, State: host.ImportWaiting, Since: s.time()}}
		if e != nil {
			next.before = e.Reason
		}
		e, s.names[n] = next, next
	}
	return e
}

func (s *States) time() time.Time { return s.now().UTC().Truncate(time.Second) }

// begin notes that somebody asks for the import of n; end tells how it went.
func (s *States) begin(n wire.TemplateName, why cause) (e *state, end func(host.Template, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e = s.asked(n)
	e.asked++
	if why == pushed {
		s.runs.Begin(n, why.by(), false)
	}
	return e, func(t host.Template, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		got := outcome{t, err}
		if errors.Is(err, context.Canceled) && e.verdict != nil {
			got = *e.verdict
		} else if !errors.Is(err, context.Canceled) {
			e.verdict = &got
		}
		if e.asked--; e.asked > 0 || s.names[n] != e {
			return
		}
		switch err := got.err; {
		case err == nil, errors.Is(err, ErrNone), errors.Is(err, ErrArtifact):
			delete(s.names, n)
			s.save()
		case errors.Is(err, context.Canceled): // the asker went, or the registry ends: it is pushed as before
			delete(s.names, n)
		default:
			e.State, e.Since, e.Reason, e.Percent = host.ImportFailed, s.time(), reason(err), 0
			s.save()
		}
		s.over(e, why, got)
	}
}

// making notes that the import of so many bytes of layers runs; seen is told what was read of them, ended that it runs no more.
func (s *States) making(e *state, why cause, packed int64) (seen func(int), ended func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.work(e, why)
	if e.makers++; e.State != host.ImportRunning {
		e.State, e.Since, e.deadline = host.ImportRunning, s.time(), s.time().Add(timeFor(packed))
	}
	e.read, e.of = 0, 2*packed // names first, then contents
	return func(n int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			e.read += int64(n)
		}, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.makers--; e.makers == 0 {
				e.State = host.ImportWaiting
			}
		}
}

// save writes the failures. If that fails they are known until the program ends: it says so.
func (s *States) save() {
	var doc failures
	for _, e := range s.names {
		if e.State == host.ImportFailed {
			doc.Failed = append(doc.Failed, e.Import)
		}
	}
	slices.SortFunc(doc.Failed, func(a, b host.Import) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.Name, b.Name))
	})
	doc.Failed = doc.Failed[:min(len(doc.Failed), maxFailures)]
	if slices.Equal(doc.Failed, s.saved) {
		return
	}
	if err := s.doc.Save(doc); err != nil {
		s.log.Warn("what failed to import could not be written down", logging.Err, err)
		return
	}
	s.saved = doc.Failed
}
