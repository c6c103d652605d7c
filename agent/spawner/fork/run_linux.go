package fork

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The runtime keeps these three for programs that fork by themselves (syscall.forkAndExecInChild, gVisor).

//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// Error is a step of the child that the kernel refused. errors.Is finds its errno.
type Error struct {
	Step  string
	Errno syscall.Errno
	Blame bool // the image, a volume or the command is at fault, not the host
}

func (e *Error) Error() string { return e.Step + ": " + e.Errno.Error() }

// Unwrap gives the errno.
func (e *Error) Unwrap() error { return e.Errno }

// Messages of the child on its status pipe: a tag and two values.
const (
	tagPID  = 1
	tagFail = 2
)

type message struct{ tag, a, b uint64 }

// cloneArgs is struct clone_args of clone3(2), up to cgroup.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// Child is a child whose list ran to the end: it executes its program now.
type Child struct {
	PID   int
	PIDFD *os.File // close-on-exec; the child is not reaped while it is a zombie
}

// Start clones a child into cgroup (a directory descriptor; -1 for the caller's), runs p in it and returns when execve succeeded.
// With a split in p, the child that executes is a child of this process too.
func Start(p *Prog, cgroup int) (*Child, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make status pipe: %v", err)
	}
	status := os.NewFile(uintptr(pipe[0]), "status")
	defer status.Close()
	args := &cloneArgs{exitSignal: uint64(unix.SIGCHLD)}
	if cgroup >= 0 {
		args.flags, args.cgroup = unix.CLONE_INTO_CGROUP, uint64(cgroup)
	}
	pid, errno := spawn(p, args, uintptr(pipe[1]))
	unix.Close(pipe[1])
	if errno != 0 {
		return nil, &Error{Step: "clone", Errno: errno}
	}
	last, fail := follow(status, pid)
	if fail != nil {
		reap(pid)
		if last != pid {
			reap(last)
		}
		if int(fail.b) < len(p.what) {
			return nil, &Error{Step: p.what[fail.b], Errno: syscall.Errno(fail.a), Blame: p.blame[fail.b]}
		}
		return nil, &Error{Step: "run list", Errno: syscall.Errno(fail.a)}
	}
	if last != pid {
		reap(pid) // the splitting parent has exited
	}
	fd, err := unix.PidfdOpen(last, 0)
	if err != nil {
		unix.Kill(last, unix.SIGKILL)
		reap(last)
		return nil, fmt.Errorf("open pidfd of %d: %v", last, err)
	}
	return &Child{PID: last, PIDFD: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// follow reads the status pipe to its end: which process goes on last, and whether a step failed.
func follow(r io.Reader, pid int) (last int, fail *message) {
	last = pid
	var b [24]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			if !errors.Is(err, io.EOF) && fail == nil {
				fail = &message{tag: tagFail, a: uint64(unix.EIO), b: ^uint64(0)}
			}
			return last, fail
		}
		m := message{binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint64(b[8:]), binary.NativeEndian.Uint64(b[16:])}
		switch m.tag {
		case tagPID:
			last = int(m.a)
		case tagFail:
			fail = &m
		}
	}
}

func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// spawn makes the clone with the runtime's fork protocol around it.
func spawn(p *Prog, args *cloneArgs, status uintptr) (int, syscall.Errno) {
	slots := new([slotCount]uintptr)
	ops := p.ops
	syscall.ForkLock.Lock()
	runtime.LockOSThread()
	pid, errno := forkRun(args, unsafe.SliceData(ops), uintptr(len(ops)), slots, status)
	runtime.UnlockOSThread()
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(p)
	runtime.KeepAlive(slots)
	return int(pid), errno
}

//go:noinline
//go:norace
//go:nosplit
func forkRun(args *cloneArgs, ops *op, n uintptr, slots *[slotCount]uintptr, status uintptr) (uintptr, syscall.Errno) {
	beforeFork()
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE3, uintptr(unsafe.Pointer(args)), unsafe.Sizeof(*args), 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	afterForkInChild()
	interpret(ops, n, slots, status)
	return 0, 0
}

// interpret runs the list; it never returns.
//
//go:noinline
//go:norace
//go:nosplit
func interpret(ops *op, n uintptr, slots *[slotCount]uintptr, status uintptr) {
	var m message
	var errno syscall.Errno
	i := uintptr(0)
	for ; i < n; i++ {
		o := (*op)(unsafe.Add(unsafe.Pointer(ops), i*unsafe.Sizeof(op{})))
		var a [6]uintptr
		for j := 0; j < 6; j++ {
			a[j] = o.a[j]
			if o.from&(1<<j) != 0 {
				a[j] = slots[a[j]&(slotCount-1)]
			}
		}
		var r uintptr
		switch o.kind {
		case kindCall:
			r, _, errno = syscall.RawSyscall6(o.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		case kindSplit:
			r, _, errno = syscall.RawSyscall6(unix.SYS_CLONE3, a[0], a[1], 0, 0, 0, 0)
			if errno == 0 && r != 0 {
				m.tag, m.a = tagPID, uint64(r)
				syscall.RawSyscall(unix.SYS_WRITE, status, uintptr(unsafe.Pointer(&m)), unsafe.Sizeof(m))
				leave(0)
			}
		case kindReap:
			r, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if errno == 0 && r != 0 {
				reaper(r)
			}
		case kindInside:
			errno = inside(o)
		}
		if errno != 0 {
			e := uintptr(errno)
			if e == o.ok[0] || e == o.ok[1] || e == o.ok[2] {
				i += o.skip
				continue
			}
			break
		}
		if o.dst < slotCount {
			slots[o.dst&(slotCount-1)] = r
		}
	}
	m.tag, m.a, m.b = tagFail, uint64(errno), uint64(i)
	syscall.RawSyscall(unix.SYS_WRITE, status, uintptr(unsafe.Pointer(&m)), unsafe.Sizeof(m))
	leave(253)
}

//go:norace
//go:nosplit
func leave(code uintptr) {
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
	}
}

// inside fails with EXDEV when the working directory can't be reached from the root (CVE-2024-21626).
//
//go:norace
//go:nosplit
func inside(o *op) syscall.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_GETCWD, o.a[0], o.a[1], 0)
	if errno == 0 && **(**byte)(unsafe.Pointer(&o.a[0])) != '/' {
		return unix.EXDEV
	}
	return errno
}

// reaper is PID 1 of a container whose template asked for one: it passes signals on to its child, reaps orphans, and ends with the
// child's status. It runs in the memory of a fork of the spawner, which nothing in the container may look into.
//
//go:norace
//go:nosplit
func reaper(child uintptr) {
	syscall.RawSyscall(unix.SYS_CLOSE_RANGE, 0, uintptr(^uint32(0)), 0)
	all := ^uint64(0)
	for {
		sig, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&all)), 0, 0, 8, 0, 0)
		if errno != 0 {
			continue
		}
		if sig != uintptr(unix.SIGCHLD) {
			syscall.RawSyscall(unix.SYS_KILL, child, sig, 0)
			continue
		}
		for {
			var ws uint32
			pid, _, errno := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&ws)), unix.WNOHANG, 0, 0, 0)
			if errno != 0 || pid == 0 {
				break
			}
			if pid == child {
				if s := ws & 0x7f; s != 0 {
					leave(uintptr(128 + s))
				}
				leave(uintptr(ws>>8) & 0xff)
			}
		}
	}
}

// ExitCode reaps a child of this process that has ended: 128+n after signal n. known is false when it is no child of this process.
func ExitCode(pid int) (code int, known bool) {
	var ws unix.WaitStatus
	for {
		got, err := unix.Wait4(pid, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || got != pid:
			return 0, false
		case ws.Signaled():
			return 128 + int(ws.Signal()), true
		}
		return ws.ExitStatus(), true
	}
}

// Program says that the image or the command is at fault: another try on this or another host fails the same way. Want of memory,
// space or descriptors is the host's.
func (e *Error) Program() bool {
	switch e.Errno {
	case unix.ENOMEM, unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE:
		return false
	}
	return e.Blame
}
