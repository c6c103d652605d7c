// Package mirror keeps the two disks of an installed host alike: it says how they are, writes down when one is gone, and fills another one
// in its place. A host on one disk is one whose other disk was never there.
//
// Owns: the notes of a running host's disks (internal/disk/mirror); the order in which a disk is filled.
// In: the devices of the mounted STATE and DATA, as btrfs has them; /sys and /dev; what a person asks for.
// Out: a disk that has all that the other one has; the status, for people.
// Never: decides which disk it is (internal/disk/pick does) or what a filesystem lacks (internal/disk/mirror does).
package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/pick"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/storage"
)

// Options are what a Mirror needs.
type Options struct {
	State, Data string // where they are mounted
	// Look finds the machine's disks, each with what is known of it.
	Look func() ([]pick.Found, error)
	// Prepare partitions a disk and makes its ESP; cut off, the disk says that it is of no use.
	Prepare func(ctx context.Context, d pick.Found) error
	// Systems makes a disk's ESP like the booted one; Order enters the disks into the firmware's boot order; Lags says what the other ESP
	// lacks.
	Systems func(disk string) error
	Order   func() error
	Lags    func() string
	// Open makes a partition for STATE one that can be written: encrypted or as it is.
	Open func(partition string) (device string, err error)
	// InPlace lists, for people, what of DATA is written in place and so has no checksums: of two copies nobody could say which is right.
	InPlace func() ([]string, error)
	Log     *slog.Logger // nil discards
}

// Mirror keeps two disks alike. Its methods may be called at once.
type Mirror struct {
	o   Options
	log *slog.Logger
	mu  struct {
		sync.Mutex
		seen   view // of the last look
		err    error
		steps  []string
		step   int
		busy   bool
		failed string
		target pick.Found // while busy
		tried  bool       // GoOn did, in this agent's life
	}
}

// New makes one. On a host that lies on one disk, or on none, it says so and does nothing.
func New(o Options) *Mirror { return &Mirror{o: o, log: logging.Or(o.Log)} }

// every is how often it is looked whether the disks are there.
const every = 5 * time.Second

// Run looks until ctx ends.
func (m *Mirror) Run(ctx context.Context) error {
	last := ""
	return run.Every(ctx, every, func(context.Context) error {
		v, err := look(m.o.State, m.o.Data)
		if err == nil {
			err = m.gone(v)
		}
		m.mu.Lock()
		m.mu.seen, m.mu.err = v, err
		m.mu.Unlock()
		if err == nil {
			m.goOn(ctx, v)
		}
		switch {
		case err == nil:
			last = ""
		case err.Error() != last:
			last = err.Error()
			m.log.Error("look at the disks", logging.Err, err)
		}
		return nil
	})
}

// gone writes down on the disk that is left that it goes on without the other one: what that one misses begins here.
func (m *Mirror) gone(v view) error {
	m.mu.Lock()
	busy := m.mu.busy
	m.mu.Unlock()
	alone := v.alone()
	if busy || alone == nil || alone.note.Alone || alone.note.Filling {
		return nil
	}
	m.log.Warn("a disk is gone", "left", alone.disk)
	return disk.WriteMirror(alone.disk, alone.note.GoneAlone())
}

// goOn goes on, once in an agent's life, with the filling of a disk that a loss of power or the agent's end cut short: somebody wished it,
// and until it is done there is one copy of what both disks should have.
func (m *Mirror) goOn(ctx context.Context, v view) {
	m.mu.Lock()
	begin := v.filling() && !m.mu.busy && !m.mu.tried
	m.mu.tried = m.mu.tried || begin
	m.mu.Unlock()
	if !begin {
		return
	}
	if _, err := m.Replace(ctx, storage.Replace{}); err != nil {
		m.log.Error("go on with filling a disk", logging.Err, err)
	}
}

// Status is how the disks are.
func (m *Mirror) Status() storage.Status {
	found, lookErr := m.o.Look()
	m.mu.Lock()
	v, err, busy := m.mu.seen, m.mu.err, m.mu.busy
	s := storage.Status{Steps: m.mu.steps, Step: m.mu.step, Failed: m.mu.failed}
	m.mu.Unlock()
	if fresh, e := look(m.o.State, m.o.Data); e == nil {
		v = fresh
	} else {
		err = e
	}
	v.describe(&s, found, busy)
	if s.State == storage.Whole || s.State == storage.Degraded {
		s.Systems = m.o.Lags()
	}
	if err := errors.Join(err, lookErr); err != nil && s.Reason == "" {
		s.Reason = "not all is known: " + err.Error()
	}
	return s
}

// Ask is Status, or Replace.
func (m *Mirror) Ask(ctx context.Context, a storage.Ask) (storage.Status, error) {
	if a.Do != nil {
		return m.Replace(ctx, *a.Do)
	}
	return m.Status(), nil
}

// Problem is what the host is not well in, if its disks are not; nil when they are.
func (m *Mirror) Problem() *host.Problem {
	m.mu.Lock()
	v, busy := m.mu.seen, m.mu.busy
	s := storage.Status{Steps: m.mu.steps, Step: m.mu.step}
	m.mu.Unlock()
	v.describe(&s, nil, busy)
	next := "hnctl host disk show"
	switch s.State {
	case storage.Degraded:
		next = "put another disk in, then hnctl host disk replace"
	case storage.Filling:
		next = "wait for it: hnctl host disk show"
	default:
		lags := m.o.Lags()
		if s.Reason == "" && lags == "" {
			return nil
		}
		if s.Reason == "" {
			s.Reason = "the other disk has not the same systems to boot: " + lags
		}
	}
	return &host.Problem{Code: "unavailable", Object: storage.Object, Reason: s.Line(), Next: next}
}

// State is how the disks are, in a word.
func (m *Mirror) State() storage.State {
	m.mu.Lock()
	v, busy := m.mu.seen, m.mu.busy
	m.mu.Unlock()
	var s storage.Status
	v.describe(&s, nil, busy)
	return s.State
}
