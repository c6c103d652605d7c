// Package mirror keeps the two disks of an installed host alike: it says how they are, writes down when one is gone, and fills another one
// in its place.
//
// Owns: the notes of a running host's disks (internal/disk/mirror); the order of a replacement.
// In: the devices of the mounted STATE and DATA, as btrfs has them; /sys and /dev; what a person asks for.
// Out: a disk that has all that the other one has; the status, for people.
// Never: decides which disk it is (internal/disk/pick does) or what a filesystem lacks (internal/disk/mirror does).
package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"hardnode.dev/agent/partition"
	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/mirror"
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
	Log  *slog.Logger // nil discards
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

// The steps of a replacement, from 1.
const (
	stepPartition = 1 + iota
	stepNote
	stepState
	stepData
	stepSystems
	stepOrder
)

func steps(kept, target string) []string {
	return []string{"partition " + target + ": all that it holds is lost", "write down that it is being filled from " + kept,
		"copy STATE onto it", "copy DATA onto it", "copy the systems and the boot loader onto it",
		"write down that it has all, and enter it into the firmware's boot order"}
}

// work is one replacement.
type work struct {
	kept   half
	target pick.Found
	goesOn bool // the disk is a part of the mirror already: its filling was cut short
}

// Replace begins to fill a disk in the place of the one that is gone, or plans it (DryRun). Its error is a refusal; what fails later is in
// Status. Cut off anywhere, the same wish goes on with it.
func (m *Mirror) Replace(ctx context.Context, want storage.Replace) (storage.Status, error) {
	w, err := m.plan(want)
	if err != nil {
		return m.Status(), err
	}
	m.mu.Lock()
	if m.mu.busy {
		m.mu.Unlock()
		return m.Status(), errors.New("a disk is being filled; wait for it (hnctl host disk show)")
	}
	m.mu.steps, m.mu.step, m.mu.failed = steps(w.kept.disk, w.target.Path), 0, ""
	if !want.DryRun {
		m.mu.busy, m.mu.step = true, stepPartition
	}
	m.mu.Unlock()
	if want.DryRun {
		return m.Status(), nil
	}
	go func() { // bounded by what the disk takes; the agent's end leaves it to the next wish
		err := m.carry(context.WithoutCancel(ctx), w)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.busy, m.mu.step = false, 0
		if err != nil {
			m.mu.failed = fmt.Sprintf("disk %s: %v", w.target.Path, err)
			m.log.Error("replace a disk", logging.Err, err, "disk", w.target.Path)
			return
		}
		m.log.Info("the disks are whole again", "disk", w.target.Path, "filled from", w.kept.disk)
	}()
	return m.Status(), nil
}

// plan decides.
func (m *Mirror) plan(want storage.Replace) (w work, err error) {
	if err := want.Validate(); err != nil {
		return w, fmt.Errorf("%w: %v", pick.Refusal, err)
	}
	v, err := look(m.o.State, m.o.Data)
	if err != nil {
		return w, err
	}
	if w.kept, err = v.source(); err != nil {
		return w, err
	}
	found, err := m.o.Look()
	if err != nil {
		return w, err
	}
	for i := range found {
		d := &found[i]
		h, member := v.of(d.Path)
		switch {
		case member && h.note.Filling:
			w.goesOn = true
			w.target = *d
		case member:
			d.Used = "it is one of this host's two disks"
		case noteOf(d.Path).ID() != w.kept.note.ID():
		case noteOf(d.Path).Filling:
			d.Content.Begun = disk.Begun
		default:
			d.Content.Holds = "what this host held before it went on without this disk"
		}
	}
	if w.goesOn {
		if !pick.Matches(want.Disk, w.target) {
			return w, fmt.Errorf("disk %s is being filled, and the wish means another one; take it out, or name it", w.target.Path)
		}
		return w, nil
	}
	w.target, err = pick.Replacement(want.Disk, want.Wipe, found, v.used)
	return w, err
}

// carry does it.
func (m *Mirror) carry(ctx context.Context, w work) error {
	path := w.target.Path
	if !w.goesOn {
		if err := m.o.Prepare(ctx, w.target); err != nil {
			return err
		}
		m.step(stepNote)
		old, joining := w.kept.note.Joined()
		if err := disk.WriteMirror(w.kept.disk, old); err != nil {
			return err
		}
		if err := disk.WriteMirror(path, joining); err != nil {
			return err
		}
		if err := prepared(path); err != nil {
			return err
		}
		w.kept.note = old
	}
	m.step(stepState)
	device, err := m.o.Open(partition.Of(path, 2))
	if err != nil {
		return fmt.Errorf("open STATE: %w", err)
	}
	if err := fill(ctx, m.o.State, w.kept.disk, device, m.log); err != nil {
		return fmt.Errorf("copy STATE: %w", err)
	}
	m.step(stepData)
	if err := fill(ctx, m.o.Data, w.kept.disk, partition.Of(path, 3), m.log); err != nil {
		return fmt.Errorf("copy DATA: %w", err)
	}
	m.step(stepSystems)
	if err := m.o.Systems(path); err != nil {
		return fmt.Errorf("copy the systems: %w", err)
	}
	m.step(stepOrder)
	if err := disk.WriteMirror(path, mirror.Note{History: w.kept.note.History}); err != nil {
		return err
	}
	if err := m.o.Order(); err != nil { // the disk boots without it too
		m.log.Warn("enter the disks into the firmware's boot order", logging.Err, err)
	}
	return nil
}

func (m *Mirror) step(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.step = n
	m.log.Info("replace a disk", "step", m.mu.steps[n-1])
}

// half is one disk of the mirror, as the mounted filesystems have it.
type half struct {
	disk   string // "": it was gone before the boot
	note   mirror.Note
	there  bool
	errors uint64
	used   int64 // what of it is allotted
}

// view is what was seen at one look.
type view struct {
	halves   []half
	single   bool  // it lies on one disk
	mirrored bool  // all that is written lies on both
	used     int64 // what a disk must have room for in DATA
}

func (v view) of(path string) (half, bool) {
	i := slices.IndexFunc(v.halves, func(h half) bool { return h.disk == path && h.there })
	if i < 0 {
		return half{}, false
	}
	return v.halves[i], true
}

// there are the halves that are there.
func (v view) there() []half {
	return slices.DeleteFunc(slices.Clone(v.halves), func(h half) bool { return !h.there })
}

// alone is the one disk that is left of a mirror; nil when that is not so.
func (v view) alone() *half {
	if there := v.there(); !v.single && len(there) == 1 {
		return &there[0]
	}
	return nil
}

// source is the disk that another one is filled from; the error says why none is to be.
func (v view) source() (half, error) {
	there := v.there()
	whole := slices.DeleteFunc(slices.Clone(there), func(h half) bool { return h.note.Filling })
	switch {
	case len(v.halves) == 0:
		return half{}, errors.New("this host was not booted from an installed disk; install it first (hnctl host install)")
	case v.single:
		return half{}, errors.New("this host lies on one disk; only a host that was installed on two has one to replace")
	case len(whole) == 0:
		return half{}, errors.New("no disk is there that has all")
	case len(whole) > 1:
		return half{}, fmt.Errorf("both disks are there (%s, %s); take out the one that is to be replaced", whole[0].disk, whole[1].disk)
	}
	return whole[0], nil
}

// describe puts what was seen into words. found may be none: then disks that are not used are not listed.
func (v view) describe(s *storage.Status, found []pick.Found, busy bool) {
	there := v.there()
	filling := slices.IndexFunc(there, func(h half) bool { return h.note.Filling })
	switch {
	case len(v.halves) == 0:
		s.State = storage.None
		return
	case v.single:
		s.State = storage.Single
		return
	case busy || filling >= 0:
		s.State = storage.Filling
		if !busy {
			s.Reason = "the filling of disk " + there[filling].disk + " was cut short; go on with hnctl host disk replace"
		}
	case len(there) < 2:
		s.State = storage.Degraded
		s.Reason = "the other disk is gone; put another one in, then hnctl host disk replace"
	case !v.mirrored:
		s.State = storage.Degraded
		s.Reason = "not all lies on both disks; take one out and put it in again with hnctl host disk replace"
	default:
		s.State = storage.Whole
	}
	for _, h := range v.halves {
		d := storage.Half{Path: h.disk, Use: storage.Used, Errors: int64(h.errors)}
		switch {
		case !h.there:
			d.Use = storage.Gone
		case h.note.Filling:
			d.Use = storage.Fills
			s.Percent = v.percent(h)
		case h.errors > 0:
			d.Use, d.Reason = storage.Failing, fmt.Sprintf("%d reads or writes of it failed; replace it", h.errors)
			if s.Reason == "" {
				s.Reason = "disk " + h.disk + ": " + d.Reason
			}
		}
		if i := slices.IndexFunc(found, func(f pick.Found) bool { return f.Path == h.disk }); i >= 0 && h.there {
			d.Model, d.Serial, d.Bytes = found[i].Model, found[i].Serial, found[i].Bytes
		}
		if h.there || !slices.ContainsFunc(s.Disks, func(x storage.Half) bool { return x.Use == storage.Gone && x.Path == d.Path }) {
			s.Disks = append(s.Disks, d)
		}
	}
	for _, f := range found {
		if _, member := v.of(f.Path); !member && len(there) > 0 && noteOf(f.Path).ID() == there[0].note.ID() {
			s.Disks = append(s.Disks, storage.Half{Path: f.Path, Model: f.Model, Serial: f.Serial, Bytes: f.Bytes, Use: storage.Left,
				Reason: "it has missed something; take it in again with hnctl host disk replace --wipe " + f.Path})
		}
	}
}

// percent is how much of what the other disk holds is on this one.
func (v view) percent(h half) int {
	for _, o := range v.there() {
		if !o.note.Filling && o.used > 0 {
			return int(min(99, 100*h.used/o.used))
		}
	}
	return 0
}
