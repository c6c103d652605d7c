// Package hold is the spawner's memory: which containers run, their pidfds, output and ends.
//
// Owns: the table of records, the one goroutine that waits for ends, the copying of output to logs, and what init keeps for a successor.
// In: started children; at start, the descriptors a predecessor left with init.
// Out: records, ends in order, logs; each change is stored before it is told.
// Never: starts a container again, or kills one because the spawner itself ends.
package hold

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/spawner/fork"
	"hardnode.dev/agent/spawner/ring"
	"hardnode.dev/internal/logging"
)

// Keeper stores descriptors where a successor finds them (init's descriptor store).
type Keeper interface {
	Keep(name string, f *os.File) error
	Drop(name string) error
}

// Table is all containers this spawner knows.
type Table struct {
	log    *slog.Logger
	own    string // of this Table alone: no other has the same states
	keeper Keeper
	forker *fork.Forker
	orphan func(pid int) (code int, known bool)
	state  *state
	epoll  int
	wake   int // eventfd: ends Watch
	copies sync.WaitGroup

	mu struct {
		sync.Mutex
		byID   map[string]*entry
		seq    int64
		ended  []end         // the last ones, oldest first
		saved  int64         // how often the records have changed
		change chan struct{} // closed and replaced at each end
	}
}

type end struct {
	seq int64
	id  string
}

type entry struct {
	call.Record
	pidfd    *os.File // nil when it does not run
	console  *console // of a system container, while it runs
	child    bool     // this process is the parent: the exit code can be known
	starting bool
}

// maxEnded is how many ends a waiter may be behind.
const maxEnded = 1024

// Open makes the table from what a predecessor left: descriptors by name. Every process found alive is watched again. Orphan says how one
// ended whose parent is not this process; it may take its time. nil: nobody can say.
func Open(left map[string]*os.File, keeper Keeper, forker *fork.Forker, orphan func(pid int) (code int, known bool),
	log *slog.Logger) (*Table, error) {
	t := &Table{log: logging.Or(log), own: rand.Text(), keeper: keeper, forker: forker, orphan: orphan}
	if t.orphan == nil {
		t.orphan = func(int) (int, bool) { return 0, false }
	}
	t.mu.byID, t.mu.change = map[string]*entry{}, make(chan struct{})
	var err error
	if t.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make epoll: %v", err)
	}
	if t.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make eventfd: %v", err)
	}
	if err := unix.EpollCtl(t.epoll, unix.EPOLL_CTL_ADD, t.wake, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(t.wake)}); err != nil {
		return nil, fmt.Errorf("watch eventfd: %v", err)
	}
	if f := left[stateName]; f != nil {
		if t.state, err = openState(f); err != nil {
			return nil, err
		}
	} else if t.state, err = newState(); err != nil {
		return nil, err
	} else if err := keeper.Keep(stateName, t.state.file); err != nil {
		return nil, fmt.Errorf("keep records: %w", err)
	}
	s := t.state.value
	t.mu.seq = s.Seq
	list := make([]*entry, 0, len(s.Records))
	for _, r := range s.Records { // all of them first: an end that is known at once has the whole table kept
		e := &entry{Record: r}
		t.mu.byID[r.ID] = e
		list = append(list, e)
	}
	for _, e := range list {
		t.adopt(e, left)
	}
	return t, nil
}

// adopt takes over one container of a predecessor.
func (t *Table) adopt(e *entry, left map[string]*os.File) {
	r := e.Record
	if r.PID == 0 {
		return
	}
	if e.pidfd = left[pidName(r.ID)]; e.pidfd == nil || unix.PidfdSendSignal(int(e.pidfd.Fd()), 0, nil, 0) != nil {
		t.copyOut(e, left[outName(r.ID)], left[errName(r.ID)])
		t.end(e, t.orphan)
		return
	}
	if err := t.watch(e); err != nil {
		t.log.Error("container is not watched", logging.Container, r.ID, logging.Err, err)
	}
	t.copyOut(e, left[outName(r.ID)], left[errName(r.ID)])
	t.log.Info("container adopted", logging.Container, r.ID, "pid", r.PID)
}

func pidName(id string) string { return "ct." + id + ".pid" }
func outName(id string) string { return "ct." + id + ".out" }
func errName(id string) string { return "ct." + id + ".err" }

// Begin reserves an id for a start; ErrRunning if something of that name runs or starts.
func (t *Table) Begin(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.mu.byID[id]
	if e == nil {
		e = &entry{Record: call.Record{ID: id}}
		t.mu.byID[id] = e
	}
	if e.PID != 0 || e.starting {
		return ErrRunning
	}
	e.starting = true
	return nil
}

// Errors of the table.
var (
	ErrRunning    = errors.New("container runs already")
	ErrNotRunning = errors.New("container does not run")
)

// Abandon gives up a reserved start.
func (t *Table) Abandon(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.mu.byID[id]; e != nil {
		e.starting = false
		if e.Started.IsZero() {
			delete(t.mu.byID, id)
		}
	}
}

// Run records a started child. It owns the child and both pipes from here on, and looks after them once follow is called, which must be
// soon: whoever waits for the start need not wait for that.
func (t *Table) Run(s *call.Start, c *fork.Child, stdout, stderr *os.File) (follow func(), err error) {
	t.mu.Lock()
	e := t.mu.byID[s.ID]
	starts := e.Starts + 1
	if s.Fresh || s.Generation != e.Generation {
		starts = 1
	}
	e.Record = call.Record{ID: s.ID, Note: s.Note, PID: c.PID, LogDir: s.LogDir, Started: time.Now().UTC(), Starts: starts,
		Generation: s.Generation}
	e.pidfd, e.child, e.starting = c.PIDFD, true, false
	err = t.save()
	t.mu.Unlock()
	for _, k := range []struct {
		name string
		f    *os.File
	}{{pidName(s.ID), c.PIDFD}, {outName(s.ID), stdout}, {errName(s.ID), stderr}} {
		if kerr := t.keeper.Keep(k.name, k.f); kerr != nil {
			err = errors.Join(err, kerr)
		}
	}
	return func() {
		t.copyOut(e, stdout, stderr)
		if err := t.watch(e); err != nil { // after copyOut: the end of what is watched takes away what it has set
			t.log.Error("container is not watched", logging.Container, s.ID, logging.Err, err)
		}
	}, err
}

// copyOut stores both streams until the last holder of their other ends is gone.
func (t *Table) copyOut(e *entry, stdout, stderr *os.File) {
	r := e.Record
	if stdout == nil || stderr == nil {
		call.CloseAll([]*os.File{stdout, stderr})
		return
	}
	w, err := ring.Open(r.LogDir, time.Now)
	if err != nil {
		t.log.Error("log is not kept", logging.Container, r.ID, logging.Err, err)
		call.CloseAll([]*os.File{stdout, stderr})
		return
	}
	console := consoleOf(stdout)
	t.mu.Lock()
	e.console = console
	t.mu.Unlock()
	var both sync.WaitGroup
	for _, c := range []struct {
		s ring.Stream
		f *os.File
	}{{ring.Stdout, stdout}, {ring.Stderr, stderr}} {
		both.Add(1)
		t.copies.Go(func() {
			defer both.Done()
			defer c.f.Close()
			var from io.Reader = c.f
			if c.s == ring.Stdout && console != nil {
				from = screen{console}
			}
			if err := ring.Copy(w, c.s, from); err != nil && !errors.Is(err, os.ErrClosed) {
				t.log.Warn("log is incomplete", logging.Container, r.ID, logging.Err, err)
			}
		})
	}
	t.copies.Go(func() {
		both.Wait()
		w.Close()
	})
}

func (t *Table) watch(e *entry) error {
	fd := int(e.pidfd.Fd())
	if err := unix.EpollCtl(t.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("watch container %s: %w", e.ID, err)
	}
	return nil
}

// Watch waits for ends until Stop. It is the only place that reaps containers.
func (t *Table) Watch() error {
	events := make([]unix.EpollEvent, 32)
	for {
		n, err := unix.EpollWait(t.epoll, events, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for containers: %v", err)
		}
		for _, ev := range events[:n] {
			if int(ev.Fd) == t.wake {
				return nil
			}
			t.collect(int(ev.Fd))
		}
	}
}

// Stop ends Watch.
func (t *Table) Stop() { unix.Write(t.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// collect takes the end of the container whose pidfd became readable. It waits for it outside the lock: nothing that a container's
// process does to its own end may hold up others.
func (t *Table) collect(fd int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	unix.EpollCtl(t.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	for _, e := range t.mu.byID {
		if e.pidfd == nil || int(e.pidfd.Fd()) != fd {
			continue
		}
		if e.child {
			t.end(e, fork.ExitCode)
		} else {
			t.end(e, t.orphan)
		}
		return
	}
}

// end records the end of a container's process, once how tells its exit code. No other takes its record before.
func (t *Table) end(e *entry, how func(pid int) (code int, known bool)) {
	pid := e.PID
	t.copies.Go(func() {
		code, known := how(pid)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.ended(e, time.Now(), code, known)
	})
}

// ended records an end; the lock is held (or nobody else knows the table yet).
func (t *Table) ended(e *entry, now time.Time, code int, known bool) {
	if e.pidfd != nil {
		e.pidfd.Close()
		e.pidfd = nil
	}
	if e.console != nil {
		e.console.end()
		e.console = nil
	}
	e.PID, e.Ended, e.Code, e.Known = 0, now.UTC(), code, known
	t.mu.seq++
	t.mu.ended = append(t.mu.ended, end{t.mu.seq, e.ID})
	if len(t.mu.ended) > maxEnded {
		t.mu.ended = slices.Delete(t.mu.ended, 0, len(t.mu.ended)-maxEnded)
	}
	if err := t.save(); err != nil {
		t.log.Error("records are not kept", logging.Err, err)
	}
	for _, name := range []string{pidName(e.ID), outName(e.ID), errName(e.ID)} {
		if err := t.keeper.Drop(name); err != nil {
			t.log.Warn("descriptor stays with init", "name", name, logging.Err, err)
		}
	}
	close(t.mu.change)
	t.mu.change = make(chan struct{})
	t.log.Info("container ended", logging.Container, e.ID, "code", code, "known", known)
}

// save keeps the records, which have changed.
func (t *Table) save() error {
	t.mu.saved++
	s := stored{Seq: t.mu.seq}
	for _, e := range t.mu.byID {
		if !e.Started.IsZero() {
			s.Records = append(s.Records, e.Record)
		}
	}
	return t.state.save(s)
}

// List is all records by id, or the one of id if that is not empty, and the number of the last end.
func (t *Table) List(id string) ([]call.Record, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []call.Record
	for _, e := range t.mu.byID {
		if !e.Started.IsZero() && (id == "" || id == e.ID) {
			r := e.Record
			r.Note = slices.Clone(r.Note)
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b call.Record) int {
		if len(a.ID) != len(b.ID) {
			return len(a.ID) - len(b.ID)
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list, t.mu.seq
}

// All is all records, the number of the last end, and the state that they have now; none if that is was.
func (t *Table) All(was string) (list []call.Record, seq int64, state string) {
	t.mu.Lock()
	seq, state = t.mu.seq, fmt.Sprintf("%s.%d", t.own, t.mu.saved)
	t.mu.Unlock()
	if state != was { // what changes meanwhile is in the list, and the next state is another one
		list, seq = t.List("")
	}
	return list, seq, state
}

// Since is the ids that ended after seq, the last number, and a channel closed at the next end.
func (t *Table) Since(seq int64) (ids []string, last int64, change <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.mu.ended {
		if e.seq > seq {
			ids = append(ids, e.id)
		}
	}
	return ids, t.mu.seq, t.mu.change
}

// Signal sends a signal to a container's PID 1.
func (t *Table) Signal(id string, sig int) error {
	return t.With(id, 0, func(pidfd *os.File) error {
		if err := unix.PidfdSendSignal(int(pidfd.Fd()), unix.Signal(sig), nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signal container %s: %w", id, err)
		}
		return nil
	})
}

// With calls f with a duplicate of a running container's pidfd; ErrNotRunning also if pid is not 0 and the container runs as another.
func (t *Table) With(id string, pid int, f func(pidfd *os.File) error) error {
	t.mu.Lock()
	e := t.mu.byID[id]
	if e == nil || e.pidfd == nil || pid != 0 && pid != e.PID {
		t.mu.Unlock()
		return ErrNotRunning
	}
	fd, err := unix.FcntlInt(e.pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	t.mu.Unlock()
	if err != nil {
		return fmt.Errorf("copy pidfd: %v", err)
	}
	dup := os.NewFile(uintptr(fd), "pidfd")
	defer dup.Close()
	return f(dup)
}

// Forget drops the record of a container that does not run.
func (t *Table) Forget(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.mu.byID[id]
	switch {
	case e == nil:
		return nil
	case e.PID != 0 || e.starting:
		return ErrRunning
	}
	delete(t.mu.byID, id)
	return t.save()
}
