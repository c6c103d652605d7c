package fork

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
)

// ahead are the namespaces that don't depend on the container. The network's takes the kernel longer than all others.
const ahead = unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// spare is a process in namespaces that no container has had. It clones one container's first process into them and is ended then, once
// that runs: each is used once. Before that its user namespace maps no ids, and it knows of no container. It has no mounts of its own,
// which would hold the host's, and no right over those that it sees. It shares this process's descriptors, as the forking process does, and
// ends with this process.
type spare struct {
	pid       int
	pidfd     *os.File
	user, net *os.File
	ours      *os.File // of the line that it is asked over
	theirs    *os.File
	adapted   []*os.File
}

// spares are those that wait.
type spares struct {
	mu      sync.Mutex
	list    []*spare
	spent   []*spare // used, and not ended yet: what was started has the machine first
	timer   *time.Timer
	filling sync.Mutex
}

const (
	mostSpares  = 2
	spareAfter  = 100 * time.Millisecond // the last start: what was started has the machine first
	spareAnswer = 10 * time.Second
)

// Replenish has spares made, once nothing was started for a moment. A host that starts nothing has none.
func (f *Forker) Replenish() {
	f.spares.mu.Lock()
	defer f.spares.mu.Unlock()
	if f.spares.timer == nil {
		f.spares.timer = time.AfterFunc(spareAfter, f.fill)
		return
	}
	f.spares.timer.Reset(spareAfter)
}

// fill makes spares as far as they can be made: without them a start makes its own namespaces.
func (f *Forker) fill() {
	f.spares.filling.Lock()
	defer f.spares.filling.Unlock()
	f.endSpent(0)
	for {
		f.spares.mu.Lock()
		n := len(f.spares.list)
		f.spares.mu.Unlock()
		if n >= mostSpares {
			return
		}
		s, err := f.makeSpare()
		if err != nil {
			return
		}
		f.spares.mu.Lock()
		f.spares.list = append(f.spares.list, s)
		f.spares.mu.Unlock()
	}
}

// spend has a used one be ended with the next fill.
func (f *Forker) spend(s *spare) {
	f.spares.mu.Lock()
	f.spares.spent = append(f.spares.spent, s)
	f.spares.mu.Unlock()
	f.endSpent(mostSpares)
}

// endSpent ends those that were used, but for the last few.
func (f *Forker) endSpent(but int) {
	f.spares.mu.Lock()
	n := max(0, len(f.spares.spent)-but)
	over := slices.Clone(f.spares.spent[:n])
	f.spares.spent = slices.Delete(f.spares.spent, 0, n)
	f.spares.mu.Unlock()
	for _, s := range over {
		s.end()
	}
}

// takeSpare is one that waits, or nil.
func (f *Forker) takeSpare() *spare {
	f.spares.mu.Lock()
	defer f.spares.mu.Unlock()
	for n := len(f.spares.list); n > 0; n = len(f.spares.list) {
		s := f.spares.list[n-1]
		f.spares.list = f.spares.list[:n-1]
		if !s.ready(s.pidfd, 0) { // it has not ended
			return s
		}
		s.end()
	}
	return nil
}

func (f *Forker) makeSpare() (_ *spare, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make line to spare: %w", err)
	}
	s := &spare{ours: os.NewFile(uintptr(fds[0]), "spare"), theirs: os.NewFile(uintptr(fds[1]), "spare")}
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	l := f.list()
	defer f.release(l)
	at := l.alloc(unsafe.Sizeof(cloneArgs{}))
	*(*cloneArgs)(at) = cloneArgs{flags: unix.CLONE_PARENT | unix.CLONE_FILES | ahead}
	if s.pid, err = f.clone(request{args: uintptr(at), inside: none, line: s.theirs.Fd()}); err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(s.pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open pidfd of spare: %w", err)
	}
	s.pidfd = os.NewFile(uintptr(fd), "pidfd")
	if _, err = s.answer(); err != nil { // lo is up
		return nil, err
	}
	if s.user, s.net, err = namespaces(s.pid); err != nil {
		return nil, err
	}
	s.adapted, err = openAdapted(s.pid)
	return s, err
}

// adapt is what adapt does to a child, in files that are open already.
func (s *spare) adapt(ids call.IDs, oomAdjust int) error { return adaptBy(s.adapted, ids, oomAdjust) }

// clone has it make its one clone.
func (s *spare) clone(r request) (int, error) {
	if _, err := unix.Write(int(s.ours.Fd()), r.bytes()); err != nil {
		return 0, fmt.Errorf("ask spare %d: %w", s.pid, err)
	}
	return s.answer()
}

// answer is what it says next. The line has no end when it ends, for it shares this process's descriptors.
func (s *spare) answer() (int, error) {
	if !s.ready(s.ours, spareAnswer, s.pidfd) || !s.ready(s.ours, 0) {
		return 0, fmt.Errorf("spare %d ended, or does not answer", s.pid)
	}
	var reply [unsafe.Sizeof(forked{})]byte
	n, err := unix.Read(int(s.ours.Fd()), reply[:])
	if err == nil && n != len(reply) {
		err = errors.New("the answer is too short")
	}
	if err != nil {
		return 0, fmt.Errorf("ask spare %d: %w", s.pid, err)
	}
	return readForked(reply[:])
}

// ready waits until one of them can be read.
func (*spare) ready(f *os.File, within time.Duration, more ...*os.File) bool {
	var list []unix.PollFd
	for _, x := range append(more, f) {
		list = append(list, unix.PollFd{Fd: int32(x.Fd()), Events: unix.POLLIN})
	}
	for {
		n, err := unix.Poll(list, int(within.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n > 0
		}
	}
}

// end ends it, if it did not yet, and lets go of what is left of it. It was told all that it is for.
func (s *spare) end() {
	if s.pid != 0 {
		unix.Kill(s.pid, unix.SIGKILL) // not reaped yet: the number is still its own
		go reap(s.pid)
	}
	call.CloseAll(append(s.adapted, s.pidfd, s.user, s.net, s.ours, s.theirs))
}

// loUp is struct ifreq: name, then flags.
var loUp = [40]byte{0: 'l', 1: 'o', 16: unix.IFF_UP}

// serveSpare is a spare: it never returns. It brings lo up, says so, makes one clone when it is asked to, and waits for its end.
//
//go:noinline
//go:norace
//go:nosplit
func serveSpare(parent, line uintptr) {
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
	if now, _, _ := syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0); now != parent {
		leave(1)
	}
	socket, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errno == 0 {
		_, _, errno = syscall.RawSyscall(unix.SYS_IOCTL, socket, unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&loUp)))
		syscall.RawSyscall(unix.SYS_CLOSE, socket, 0, 0)
	}
	done.pid, done.errno = 0, uint64(errno)
	if _, _, errno := syscall.RawSyscall(unix.SYS_WRITE, line, uintptr(unsafe.Pointer(&done)), unsafe.Sizeof(done)); errno != 0 {
		leave(2)
	}
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_READ, line, uintptr(unsafe.Pointer(&asked)), unsafe.Sizeof(asked))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 || n != unsafe.Sizeof(asked) {
			leave(3)
		}
		break
	}
	pid, _, errno := syscall.RawSyscall(unix.SYS_CLONE3, asked.args, unsafe.Sizeof(cloneArgs{}), 0)
	if errno == 0 && pid == 0 {
		interpret(asked.ops, asked.n, asked.status)
	}
	done.pid, done.errno = uint64(pid), uint64(errno)
	syscall.RawSyscall(unix.SYS_WRITE, line, uintptr(unsafe.Pointer(&done)), unsafe.Sizeof(done))
	for { // to end takes the machine some time, which the container has first
		_, _, errno := syscall.RawSyscall(unix.SYS_READ, line, uintptr(unsafe.Pointer(&asked)), unsafe.Sizeof(asked))
		if errno != unix.EINTR {
			leave(0)
		}
	}
}
