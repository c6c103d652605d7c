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

// failure is what the child writes on its status pipe when a step fails: errno and the step's number. execve closes the pipe.
type failure struct{ errno, step uint64 }

// cloneArgs is struct clone_args of clone3(2), up to cgroup.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// Child is a child whose list ran to the end: it executes its program now.
type Child struct {
	PID   int
	PIDFD *os.File // close-on-exec; the child is not reaped while it is a zombie
}

// Start clones a child into cgroup (a directory descriptor; -1 for the caller's) and the pid namespace of the process that pidfd is of
// (-1 for the caller's), runs p in it and returns when execve succeeded.
func Start(p *Prog, cgroup, pidfd int) (*Child, error) {
	args := &cloneArgs{exitSignal: uint64(unix.SIGCHLD)}
	if cgroup >= 0 {
		args.flags, args.cgroup = unix.CLONE_INTO_CGROUP, uint64(cgroup)
	}
	pid, status, err := begin(p, args, pidfd)
	if err != nil {
		return nil, err
	}
	return finish(p, pid, status)
}

// begin clones the child that runs p. What comes back besides its pid is the reading end of its status pipe.
func begin(p *Prog, args *cloneArgs, pidfd int) (pid int, status *os.File, err error) {
	status, w, err := pipe("status")
	if err != nil {
		return 0, nil, err
	}
	defer w.Close()
	if pidfd < 0 {
		pid, err = spawn(p, args, w.Fd())
	} else {
		pid, err = spawnInside(p, args, w.Fd(), pidfd)
	}
	if err != nil {
		status.Close()
		return 0, nil, err
	}
	return pid, status, nil
}

// finish waits for the child's execve, or for the step that failed.
func finish(p *Prog, pid int, status io.ReadCloser) (*Child, error) {
	defer status.Close()
	var b [16]byte
	_, err := io.ReadFull(status, b[:])
	runtime.KeepAlive(p)
	if err == nil {
		f := failure{binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint64(b[8:])}
		reap(pid)
		return nil, &Error{Step: p.step(int(f.step)), Errno: syscall.Errno(f.errno), Blame: p.said[f.step].blame}
	}
	if !errors.Is(err, io.EOF) {
		unix.Kill(pid, unix.SIGKILL)
		reap(pid)
		return nil, fmt.Errorf("read status of child: %w", err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		unix.Kill(pid, unix.SIGKILL)
		reap(pid)
		return nil, fmt.Errorf("open pidfd of %d: %v", pid, err)
	}
	return &Child{PID: pid, PIDFD: os.NewFile(uintptr(fd), "pidfd")}, nil
}

func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// spawn makes the clone with the runtime's fork protocol around it.
func spawn(p *Prog, args *cloneArgs, status uintptr) (int, error) {
	slots := new([slotCount]uintptr)
	ops := p.ops
	syscall.ForkLock.Lock()
	runtime.LockOSThread()
	pid, errno := forkRun(args, unsafe.SliceData(ops), uintptr(len(ops)), slots, status)
	runtime.UnlockOSThread()
	syscall.ForkLock.Unlock()
	runtime.KeepAlive(p)
	runtime.KeepAlive(slots)
	if errno != 0 {
		return 0, &Error{Step: "clone", Errno: errno}
	}
	return int(pid), nil
}

// spawnInside makes the clone from a thread whose children are born in the pid namespace of pidfd's process: joining one affects
// children only (setns(2)), and a second clone would be the way round that. A thread that can't be turned back is given up.
func spawnInside(p *Prog, args *cloneArgs, status uintptr, pidfd int) (pid int, err error) {
	own, err := os.Open("/proc/self/ns/pid")
	if err != nil {
		return 0, fmt.Errorf("open own pid namespace: %w", err)
	}
	defer own.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if e := unix.Setns(pidfd, unix.CLONE_NEWPID); e != nil {
			runtime.UnlockOSThread()
			err = &Error{Step: "join pid namespace", Errno: e.(syscall.Errno)}
			return
		}
		pid, err = spawn(p, args, status)
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWPID) == nil {
			runtime.UnlockOSThread() // else the runtime ends the thread with this goroutine
		}
	}()
	<-done
	return pid, err
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
	var f failure
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
		case kindGate:
			syscall.RawSyscall(unix.SYS_CLOSE, a[2], 0, 0) // so that the read ends when the parent lets go, or dies
			r, _, errno = syscall.RawSyscall(unix.SYS_READ, a[0], a[1], 1)
			if errno == 0 && r != 1 {
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
	f.errno, f.step = uint64(errno), uint64(i)
	syscall.RawSyscall(unix.SYS_WRITE, status, uintptr(unsafe.Pointer(&f)), unsafe.Sizeof(f))
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
