// Package proc is the only place in init that forks and waits.
//
// Owns: every child init starts, from fork to exit status; the reaping of orphans the kernel hands to PID 1, and how the last ones ended.
// In: what to run (Spec); SIGCHLD.
// Out: a Child whose exit arrives exactly once on its channel.
// Never: reaps a process it owns by anything but its pidfd, so that an orphan's end can't steal a child's exit; decides on restarts.
package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Spec is one program to start. Descriptor i of Files becomes descriptor i of the child.
type Spec struct {
	Argv   []string // Argv[0] is the path
	Env    []string
	Files  []*os.File
	Cgroup *os.File // directory of the cgroup it starts in; nil: init's own
	User   uint32   // user and group it runs as, with no capabilities; 0: as init does
	Groups []uint32 // further ones of User
}

// Exit is how a process ended.
type Exit struct {
	Code   int            // exit status; -1 when a signal ended it
	Signal syscall.Signal // 0 when it exited
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return "killed by " + unix.SignalName(e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// Child is one running program.
type Child struct {
	PID  int
	pid  *os.File // pidfd
	done chan Exit
}

// Done delivers the exit, once.
func (c *Child) Done() <-chan Exit { return c.done }

// Signal sends sig by pidfd: it can't hit a later process of the same number.
func (c *Child) Signal(sig syscall.Signal) error {
	rc, err := c.pid.SyscallConn()
	if err != nil {
		return fmt.Errorf("signal %d: %w", c.PID, err)
	}
	var sent error
	err = rc.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), unix.Signal(sig), nil, 0) })
	if err := errors.Join(err, sent); err != nil {
		return fmt.Errorf("signal %d with %s: %w", c.PID, unix.SignalName(sig), err)
	}
	return nil
}

// Table is the set of children. Its zero value is ready.
type Table struct {
	mu struct {
		sync.Mutex
		owned   map[int]bool // from before the fork returns until the owner has reaped
		orphans []orphan     // that ended, oldest first
	}
	wait sync.WaitGroup
	kick chan struct{}
	once sync.Once
}

func (t *Table) init() {
	t.once.Do(func() {
		t.kick = make(chan struct{}, 1)
		t.mu.owned = map[int]bool{}
	})
}

// Start forks and execs. The child leads a session of its own.
func (t *Table) Start(s Spec) (*Child, error) {
	t.init()
	pidfd := -1
	attr := &syscall.ProcAttr{Env: s.Env, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
	for _, f := range s.Files {
		attr.Files = append(attr.Files, f.Fd())
	}
	if s.User != 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: s.User, Gid: s.User, Groups: s.Groups}
	}
	if s.Cgroup != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(s.Cgroup.Fd())
	}
	// The lock spans fork and registration: the reaper can't meet a child that is not in the table yet.
	t.mu.Lock()
	pid, _, err := syscall.StartProcess(s.Argv[0], s.Argv, attr)
	if err == nil {
		t.mu.owned[pid] = true
	}
	t.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("start %q: %w", s.Argv[0], err)
	}
	c := &Child{PID: pid, done: make(chan Exit, 1)}
	if err := unix.SetNonblock(pidfd, true); err != nil {
		return nil, fmt.Errorf("start %q: watch its pidfd: %w", s.Argv[0], err)
	}
	c.pid = os.NewFile(uintptr(pidfd), "pidfd")
	t.wait.Add(1)
	go func() {
		defer t.wait.Done()
		t.own(c)
	}()
	return c, nil
}

// own waits for one child without keeping a thread: its pidfd becomes readable when it ends.
func (t *Table) own(c *Child) {
	exit := Exit{Code: -1}
	if rc, err := c.pid.SyscallConn(); err == nil {
		err = rc.Read(func(fd uintptr) bool {
			e, over, err := reap(unix.P_PIDFD, int(fd))
			if err != nil {
				over = true
			}
			if over {
				exit = e
			}
			return over
		})
		if err != nil { // not pollable: wait the slow way
			exit, _, _ = reapBlocking(c.PID)
		}
	}
	t.mu.Lock()
	delete(t.mu.owned, c.PID)
	t.mu.Unlock()
	c.done <- exit
	c.pid.Close()
	select { // an orphan may have been waiting behind this child
	case t.kick <- struct{}{}:
	default:
	}
}

// Reap reaps orphans until ctx ends. Run it once in PID 1. It ends when every owned child has been waited for or ctx has ended.
func (t *Table) Reap(ctx context.Context) error {
	t.init()
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGCHLD)
	defer signal.Stop(ch)
	for {
		for t.reapOrphan() {
		}
		select {
		case <-ch:
		case <-t.kick:
		case <-ctx.Done():
			return nil
		}
	}
}

// reapOrphan reaps one ended process that nobody owns; false: there is none, or an owned one comes first (its owner then wakes Reap).
func (t *Table) reapOrphan() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	pid, over := peek()
	switch {
	case pid <= 0:
		return false
	case !over:
		unstick(pid) // owned or not: waitid would tell of this one again and again, and never of those behind it
		return true
	case t.mu.owned[pid]:
		return false
	}
	e, over, err := reap(unix.P_PID, pid)
	if !over || err != nil {
		return false
	}
	if len(t.mu.orphans) >= maxOrphans {
		t.mu.orphans = slices.Delete(t.mu.orphans, 0, len(t.mu.orphans)-maxOrphans+1)
	}
	t.mu.orphans = append(t.mu.orphans, orphan{pid, e})
	return true
}

// orphan is a process that was nobody's child any more.
type orphan struct {
	pid  int
	exit Exit
}

// maxOrphans is how many ends are remembered: those of all containers of a host may come while their parent is replaced.
const maxOrphans = 4096

// Orphan is how the last orphan of a number ended; false: none that is remembered. Numbers are given again only after 4,194,304 others
// (init/machine sets pid_max), so whoever asks soon is told of the process it means.
func (t *Table) Orphan(pid int) (Exit, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range slices.Backward(t.mu.orphans) {
		if o.pid == pid {
			return o.exit, true
		}
	}
	return Exit{}, false
}

// unstick ends a child that asked to be traced by its parent (ptrace(2), PTRACE_TRACEME) and stopped: waitid tells of it whatever it is
// asked for, and nobody here would ever let it go on. A container's first process can be one, when init has become its parent.
func unstick(pid int) { unix.Kill(pid, unix.SIGKILL) } // not reaped yet: the number is still its own

// siginfo is the part of siginfo_t that waitid fills (asm-generic/siginfo.h, _sigchld, 64-bit).
type siginfo struct {
	Signo, Errno, Code, _ int32
	PID, UID, Status      int32
	_                     [100]byte
}

const (
	cldExited = 1 // CLD_EXITED
	cldDumped = 3 // CLD_DUMPED; between them CLD_KILLED, above it stops
	pAll      = 0 // P_ALL
)

// ended tells whether the news is an end, and not a stop.
func ended(i siginfo) bool { return i.Code >= cldExited && i.Code <= cldDumped }

func waitid(kind, id int, options int) (siginfo, error) {
	var info siginfo
	for {
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, uintptr(kind), uintptr(id), uintptr(unsafe.Pointer(&info)), uintptr(options), 0, 0)
		switch errno {
		case 0:
			return info, nil
		case unix.EINTR:
		default:
			return info, errno
		}
	}
}

// peek is the number of a child that has ended or stopped, which it leaves unreaped; over tells that it has ended. 0: there is none.
func peek() (pid int, over bool) {
	info, err := waitid(pAll, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
	if err != nil {
		return 0, false
	}
	return int(info.PID), ended(info)
}

func reap(kind, id int) (Exit, bool, error) {
	info, err := waitid(kind, id, unix.WEXITED|unix.WNOHANG)
	if err != nil || info.PID == 0 {
		return Exit{Code: -1}, false, err
	}
	if !ended(info) {
		unstick(int(info.PID))
		return Exit{Code: -1}, false, nil
	}
	return exitOf(info), true, nil
}

func reapBlocking(pid int) (Exit, bool, error) {
	for {
		info, err := waitid(unix.P_PID, pid, unix.WEXITED)
		if err != nil {
			return Exit{Code: -1}, false, err
		}
		if ended(info) {
			return exitOf(info), true, nil
		}
		unstick(pid)
	}
}

func exitOf(i siginfo) Exit {
	if i.Code == cldExited {
		return Exit{Code: int(i.Status)}
	}
	return Exit{Code: -1, Signal: syscall.Signal(i.Status)}
}
