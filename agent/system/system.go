// Package system makes this host run the release that is wanted of it, if both repositories of signed metadata name it.
//
// Owns: what was believed of the repositories and what became of the last order (STATE/system); the file that is being put together
// (DATA/system).
// In: the wanted System; the status of the slots; metadata and ranges of files from a mirror that nobody trusts; the pins of the
// host's configuration; the time.
// Out: a system in the slot that is not booted; that it is tried, and the reboot for it; a SystemStatus with the reason in words.
// Never: runs what one repository alone names, has a say in what runs already, or begins an order again that ended.
//
// Next decides (next.go), the rest carries out: look.go asks the repositories, fetch.go brings the file. A kill or a cut of the power
// anywhere goes on from what the slots and order.json say.
package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/release"
	"hardnode.dev/internal/wire/slots"
	"hardnode.dev/internal/wire/upkeep"
)

// Get is the body of a GET of the host API. A refusal is a *operator.Problem.
type Get func(ctx context.Context, path string) ([]byte, error)

// Slots are the places for systems on an installed host's disk: agent/slots.
type Slots interface {
	Status() slots.Status
	Do(context.Context, slots.Request) (slots.Status, error)
	Read(slots.Name, func(io.Reader) error) error // the system in a slot, whatever it is
}

// Programs replaces programs while the host runs: agent/programs.
type Programs interface {
	Hot(context.Context) (*boot.Hot, error) // what became of the last order; nil: there was none
	// Replace has the programs of the system in the slot replace those that run, where nothing else differs from the system in the slot
	// that was booted; else it is a ErrNotHot. init goes back unless they are kept within so many seconds.
	Replace(ctx context.Context, booted, from slots.Slot, withinSec int64) error
	Keep(ctx context.Context, root string) error
}

// ErrNotHot: more than programs differs.
var ErrNotHot = errors.New(host.NotHot)

// ErrNotKexec: this host's kernel does not start another system itself. Nothing was touched.
var ErrNotKexec = errors.New(host.NotKexec)

// Options are what a System needs. All are required unless said otherwise.
type Options struct {
	Programs    Programs        // nil: programs are replaced by a reboot alone
	Waits       func() []string // what this host is not well in: asked while programs that replaced others are tried
	State, Data string          // the folders of STATE and DATA
	Boot        string          // this boot's id
	Version     string          // of this program
	Target      release.Target
	Profile     release.Profile
	Net         bool                        // the machine was booted from the network
	Root        func() (wire.Digest, error) // of the root's filesystem image, measured
	Well        func() bool                 // of a machine that was: it does what a host does
	Settled     func() error                // called once when it is well
	Want        func() *host.System         // may be nil
	Ordered     <-chan struct{}             // a hint that another one is wanted
	Slots       Slots
	// Peers are other hosts that have a system, by name, and how ranges of it are read from each: nobody believes them. nil: none.
	Peers func(context.Context, wire.Digest) (names []string, from []func(context.Context, int64, int) ([]byte, error))
	// Kexec gives the kernel the system in a slot, to be started without the firmware when the machine is left that way. Its error is, or
	// wraps, ErrNotKexec.
	Kexec   func(slots.Slot) error
	Get     Get
	Anchors func() (trust.Anchors, error) // by the host's configuration
	Leave   func(context.Context, upkeep.Leave) error
	Told    func(context.Context) // returns once the orchestrator has heard the Status, if it can
	Now     func() time.Time
	Pause   func(tries int) time.Duration // before the next try after so many; nil: from 2 s to a minute
	Log     *slog.Logger                  // nil discards
}

// System is the wanted system's way onto this host. Its methods may be called at once.
type System struct {
	o       Options
	log     *slog.Logger
	doc     keep.Doc[kept]
	changed chan struct{}
	mu      struct {
		sync.Mutex
		status host.SystemStatus
	}

	looking sync.Mutex                  // one look at a time: what was believed is one document
	image   func() (wire.Digest, error) // of the root that runs, measured once

	// Of Run alone.
	kept   kept
	chosen *chosen // what was chosen since the program began, for the order kept.Order
	last   string  // of the reasons that were logged
	told   bool    // Settled was called
	root   wire.Digest
}

// New makes one.
func New(o Options) *System {
	s := &System{o: o, log: logging.Or(o.Log), changed: make(chan struct{}, 1)}
	if s.o.Pause == nil {
		s.o.Pause = func(tries int) time.Duration { return run.Backoff(tries, 2*time.Second, time.Minute, 0) }
	}
	s.doc = keep.Doc[kept]{Path: s.path("order.json"), Version: 1}
	s.image = sync.OnceValues(s.o.Root)
	s.mu.status = host.SystemStatus{Release: o.Version, State: host.SystemIdle}
	return s
}

func (s *System) path(name string) string { return filepath.Join(s.o.State, "system", name) }

// Status is how the system is. It must not be changed.
func (s *System) Status() *host.SystemStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.mu.status
	return &now
}

// Problem is why an order is not carried out, or nil.
func (s *System) Problem() *host.Problem {
	is := s.Status()
	if is.State != host.SystemFailed && is.State != host.SystemRefused {
		return nil
	}
	return &host.Problem{Code: "conflict", Object: "system",
		Reason: strings.ReplaceAll(fmt.Sprintf("%s %s: %s", is.State, is.Target, is.Reason), " :", ":"),
		Next:   "see hnctl host show and hnctl host slots; what runs goes on"}
}

// Changed delivers a hint after the status changed; one reader.
func (s *System) Changed() <-chan struct{} { return s.changed }

// say makes a status the one in force.
func (s *System) say(next host.SystemStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.mu.status
	next.Since = was.Since
	if was.State != next.State || was.Order != next.Order || was.Target != next.Target {
		next.Since = s.o.Now().Unix()
		s.log.Info("system", "state", string(next.State), "release", next.Release, "target", next.Target, "order", next.Order,
			logging.Reason, next.Reason)
	}
	if was.Same(&next) {
		return
	}
	s.mu.status = next
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// How often it is looked again when nobody hints: while something is under way, and else.
const (
	soon  = 3 * time.Second
	later = 30 * time.Second
)

// Run does what is wanted until ctx ends.
func (s *System) Run(ctx context.Context) error {
	if err := s.open(); err != nil {
		return err
	}
	s.measure()
	for tries := 0; ctx.Err() == nil; {
		s.settle()
		m, err := s.moment(ctx)
		st := next(m)
		if err == nil {
			err = s.carry(ctx, st)
		} else {
			s.unknown(err)
		}
		pause := later
		switch {
		case err != nil && ctx.Err() == nil:
			tries++
			pause = s.o.Pause(tries - 1)
		case st.do != rest:
			tries, pause = 0, 0
			if st.do == leave {
				pause = later // init ends this program, or it is asked again
			}
		default:
			tries = 0
			switch st.status.State {
			case host.SystemTrying, host.SystemLooking, host.SystemFetching, host.SystemSwitching:
				pause = soon
			}
			if s.o.Net && !s.told {
				pause = soon
			}
		}
		if pause > 0 {
			s.wait(ctx, pause)
		}
	}
	return nil
}

// measure measures what runs on a host that has no slots to tell it.
func (s *System) measure() {
	if s.o.Root == nil || s.o.Slots.Status().Installed {
		return
	}
	var err error
	if s.root, err = s.image(); err != nil {
		s.log.Error("the image that runs can't be measured", logging.Err, err)
	}
}

// settle says once that a machine which was booted from the network is well.
func (s *System) settle() {
	if !s.o.Net || s.told || !s.o.Well() {
		return
	}
	err := s.o.Settled()
	if s.told = err == nil; err != nil {
		s.log.Error("it can't be said that this system is well", logging.Err, err)
	}
}

// open reads what became of the last order.
func (s *System) open() error {
	if err := os.MkdirAll(s.path(""), 0o700); err != nil {
		return fmt.Errorf("open what is kept of the system: %v", err)
	}
	var err error
	if s.kept, _, err = s.doc.Renew(); err != nil {
		s.log.Error("what became of the last order is not known", logging.Err, err)
	}
	return nil
}

func (s *System) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.o.Ordered:
	case <-t.C:
	case <-ctx.Done():
	}
}

func (s *System) moment(ctx context.Context) (moment, error) {
	m := moment{want: s.o.Want(), kept: s.kept, slots: s.o.Slots.Status(), version: s.o.Version, boot: s.o.Boot, net: s.o.Net, root: s.root}
	if s.o.Programs != nil && m.slots.Installed {
		var err error
		if m.hot, err = s.o.Programs.Hot(ctx); err != nil {
			return m, err
		}
		if m.hot != nil && m.hot.State == boot.HotTrying {
			m.waits = s.o.Waits()
		}
	}
	m.looked = s.chosen != nil && s.kept.Target != nil && s.chosen.target == *s.kept.Target
	return m, nil
}

// carry keeps what is to be kept, says it, and does the step. An error is said too; the step is then tried again.
func (s *System) carry(ctx context.Context, st step) error {
	if st.kept.Order != s.kept.Order || st.kept.Target == nil {
		s.chosen = nil
	}
	if err := s.keep(st.kept); err != nil {
		st.status.Reason = err.Error()
		s.say(st.status)
		return err
	}
	if st.do != look && st.do != fetch {
		s.say(st.status)
	}
	var err error
	switch st.do {
	case look:
		err = s.doLook(ctx, st)
	case fetch:
		err = s.doFetch(ctx, &st)
	case try:
		w := s.o.Want()
		if !s.wanted(st.kept.Order) {
			return nil // the next look sees that nothing was begun
		}
		if w.Step == host.Kexec {
			if err := s.able(); err != nil {
				return err
			}
			if s.kept.Ended != "" {
				return nil
			}
		}
		if _, err = s.o.Slots.Do(ctx, slots.Request{Action: slots.Try, Within: w.WithinSec}); err == nil && s.wanted(st.kept.Order) {
			err = s.doLeave(ctx)
		} // else the next look has it taken back
	case leave:
		err = s.doLeave(ctx)
	case stay:
		_, err = s.o.Slots.Do(ctx, slots.Request{Action: slots.Stay})
	case replace:
		err = s.doReplace(ctx, st)
	case confirm:
		err = s.o.Programs.Keep(ctx, st.kept.Hot)
	case restore:
		err = s.doRestore(ctx, st)
	case arm:
		_, err = s.o.Slots.Do(ctx, slots.Request{Action: slots.Try})
	}
	if err == nil || errors.Is(err, errOther) || ctx.Err() != nil {
		s.last = ""
		return nil
	}
	st.status.Reason = strings.ReplaceAll(err.Error(), "\n", "; ")
	var r *trust.Refusal
	if errors.As(err, &r) && r.Kind != trust.Unavailable && r.Kind != trust.Slow || errors.Is(err, ErrNoTrust) {
		st.status.State = host.SystemRefused
	}
	if s.last != st.status.Reason {
		s.last = st.status.Reason
		s.log.Warn("system", "state", string(st.status.State), "order", s.kept.Order, logging.Reason, s.last)
	}
	s.say(st.status)
	return err
}

// keep makes k durable.
func (s *System) keep(k kept) error {
	if same(k, s.kept) {
		return nil
	}
	if err := s.doc.Save(k); err != nil {
		return fmt.Errorf("keep what becomes of the order: %w", err)
	}
	s.kept = k
	return nil
}

func same(a, b kept) bool {
	equal := func(x, y *target) bool { return x == y || x != nil && y != nil && *x == *y }
	t := equal(a.Target, b.Target) && equal(a.Runs, b.Runs)
	a.Target, b.Target, a.Runs, b.Runs = nil, nil, nil, nil
	return t && a == b
}

// ErrNoTrust: the host's configuration does not say by which first roots the repositories are known.
var ErrNoTrust = errors.New("this host has no trust roots: its configuration does not name the first roots of the two repositories of " +
	"releases; add `releases: {image: PIN, director: PIN}` to its configuration (hnctl release list shows the pins) and boot it again")

// errOther: another order came, or this one was taken back.
var errOther = errors.New("another system is wanted")

// wanted tells whether the order is still in force.
func (s *System) wanted(order string) bool {
	w := s.o.Want()
	return w.Wanted() && w.Order == order
}

func (s *System) doLook(ctx context.Context, st step) error {
	if is := s.Status(); is.State != host.SystemRefused || is.Order != st.status.Order { // until it is known better
		s.say(st.status)
	}
	w := s.o.Want()
	if !s.wanted(st.kept.Order) {
		return errOther
	}
	c, err := s.look(ctx, w.Release, st.status.Release)
	if err != nil {
		return err
	}
	if !s.wanted(st.kept.Order) {
		return errOther
	}
	next := st.kept
	next.Target = &c.target
	if err := s.keep(next); err != nil {
		return err
	}
	s.chosen = &c
	return nil
}

// tellEvery is how often a fetch is told of, in bytes.
const tellEvery = 1 << 20

func (s *System) doFetch(ctx context.Context, st *step) error {
	status, told := &st.status, int64(-1)
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	file, err := s.fetch(ctx, *s.chosen, func(p progress) {
		if !s.wanted(st.kept.Order) {
			end(errOther)
		}
		status.Bytes, status.Fetched = p.here, p.fetched
		if told < 0 || p.here-told >= tellEvery || p.here == status.Total {
			told = p.here
			s.say(*status)
		}
	})
	if errors.Is(context.Cause(ctx), errOther) {
		return errOther
	}
	if errors.Is(err, &trust.Refusal{Kind: trust.Altered}) {
		return s.fail(err)
	}
	if err != nil {
		return err
	}
	if !s.wanted(st.kept.Order) {
		return errOther
	}
	status.Reason = "it is written into the slot that is not booted"
	s.say(*status)
	if err := s.stage(ctx, file, s.chosen.Digest); err != nil {
		return s.fail(err)
	}
	next := s.kept
	next.Fetched += status.Fetched
	return errors.Join(s.keep(next), os.Remove(file))
}

// doRestore puts the release whose programs run back into the slot that is not booted. Another order ends it.
func (s *System) doRestore(ctx context.Context, st step) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	other := func() bool { w := s.o.Want(); return w.Wanted() && w.Order != st.kept.Order }
	c, err := s.look(ctx, st.kept.Runs.Release, st.status.Release)
	if err == nil && c.target.Digest != st.kept.Runs.Digest {
		err = fmt.Errorf("both repositories name another system of release %s now", st.kept.Runs.Release)
	}
	var file string
	if err == nil {
		file, err = s.fetch(ctx, c, func(progress) {
			if other() {
				end(errOther)
			}
		})
	}
	switch {
	case errors.Is(context.Cause(ctx), errOther), err == nil && other():
		return errOther
	case err == nil:
		err = s.stage(ctx, file, c.Digest)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", st.status.Reason, err)
	}
	return os.Remove(file)
}

// stage has the file written into the slot that is not booted, and read back from it.
func (s *System) stage(ctx context.Context, file string, digest wire.Digest) error {
	is, err := s.o.Slots.Do(ctx, slots.Request{Action: slots.Stage, File: file, SHA256: digest.Hex()})
	for err == nil && is.Busy != "" {
		if !run.Wait(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
		is = s.o.Slots.Status()
	}
	switch {
	case err != nil:
		return err
	case is.Failed != "":
		return errors.New(is.Failed)
	}
	return nil
}

// fail ends the order.
func (s *System) fail(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	next := s.kept
	next.Ended, next.Tried, next.Hot = host.SystemFailed, "", ""
	next.Reason = strings.ReplaceAll(err.Error(), "\n", "; ") + "; take the order back and give it again to have it tried again"
	return s.keep(next)
}

// doReplace gives the order to replace programs, if they are all that is to be replaced.
func (s *System) doReplace(ctx context.Context, st step) error {
	if s.o.Programs == nil {
		return s.fail(fmt.Errorf("release %s %w: this host does not do that", st.kept.Target.Release, ErrNotHot))
	}
	w, is := s.o.Want(), s.o.Slots.Status()
	booted, idle := sides(is)
	if booted == nil || !w.Wanted() || w.Order != st.kept.Order || !st.kept.Target.holds(*idle) {
		return nil // the next look sees that nothing was begun
	}
	s.o.Told(ctx)
	if !s.wanted(st.kept.Order) {
		return nil // the next look sees that nothing was begun
	}
	err := s.o.Programs.Replace(ctx, *booted, *idle, hotWithin(st.kept.Within))
	if errors.Is(err, ErrNotHot) {
		return s.fail(fmt.Errorf("release %s %w; it is in slot %s: give the order without hot to have it booted", st.kept.Target.Release,
			err, idle.Name))
	}
	return err
}

// unknown says why it is not known how the host is.
func (s *System) unknown(err error) {
	if reason := err.Error(); s.last != reason {
		s.last = reason
		s.log.Warn("system", logging.Err, err)
	}
}

// able ends an order by kexec where the kernel does not take the system, before anything is touched.
func (s *System) able() error {
	_, idle := sides(s.o.Slots.Status())
	if idle == nil {
		return errors.New("the slots can't be read now")
	}
	err := s.o.Kexec(*idle)
	if errors.Is(err, ErrNotKexec) {
		return s.fail(fmt.Errorf("release %s %w; it is in slot %s: give the order without kexec to have it booted", s.kept.Target.Release,
			err, idle.Name))
	}
	return err
}

// doLeave orders the reboot.
func (s *System) doLeave(ctx context.Context) error {
	w, reason, by := s.o.Want(), "another release", "an order"
	if s.kept.Target != nil {
		reason = "release " + s.kept.Target.Release
	} else if w.Wanted() {
		reason = "release " + w.Release
	}
	if w.Wanted() && (w.Order == s.kept.Order || s.kept.Target == nil) {
		by = w.By
		if w.Reason != "" {
			reason += ": " + w.Reason
		}
	}
	order := upkeep.Leave{By: strings.ToValidUTF8(by[:min(len(by), upkeep.MaxBy)], ""),
		Reason: strings.ToValidUTF8(reason[:min(len(reason), upkeep.MaxReason)], "")}
	if w.Wanted() && w.Order == s.kept.Order && w.Step == host.Kexec {
		order.Kexec = true
		err := s.o.Leave(ctx, order)
		if err == nil {
			return nil
		}
		s.log.Warn("the firmware starts the system that the kernel was to start", logging.Err, err)
		order.Kexec = false
	}
	return s.o.Leave(ctx, order)
}
