package fork

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// Child is a child whose list ran to the end: it executes its program now.
type Child struct {
	PID   int
	PIDFD *os.File // close-on-exec; the child is not reaped while it is a zombie
}

// finish waits for the child's execve, or for the step that failed.
func finish(p *Prog, pid int, status io.ReadCloser) (*Child, error) {
	defer status.Close()
	var b [16]byte
	_, err := io.ReadFull(status, b[:])
	if err == nil {
		f := failure{binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint64(b[8:])}
		reap(pid)
		step := p.step(int(f.step))
		if plain := p.said[f.step].plain; plain != "" {
			step = plain
		}
		return nil, &Error{Step: step, Errno: syscall.Errno(f.errno), Blame: p.said[f.step].blame}
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

// reap waits for the end of a child that is ending; nobody asks for its status.
func reap(pid int) { end(pid) }

// end waits until a child of this process has ended. wait4 returns for a stopped child too if it asked to be traced: the kernel then
// makes this process, its parent, the tracer (ptrace(2), PTRACE_TRACEME). Nobody here traces, so it would stop for ever: it is killed and
// waited for again. err is ECHILD for a process that is no child of this one.
func end(pid int) (ws unix.WaitStatus, err error) {
	for {
		got, err := unix.Wait4(pid, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return ws, err
		case got == pid && (ws.Exited() || ws.Signaled()):
			return ws, nil
		default:
			unix.Kill(pid, unix.SIGKILL) // not reaped yet: the number is still its own
		}
	}
}

// What a child writes to lies in its own copy of these: its list is in memory that it may only read.
var (
	childSlots   [slotCount]uintptr
	childScratch [unix.PathMax]byte
)

// interpret runs the list; it never returns.
//
//go:noinline
//go:norace
//go:nosplit
func interpret(ops, n, status uintptr) {
	var f failure
	var errno syscall.Errno
	i := uintptr(0)
	for ; i < n; i++ {
		o := *(**op)(unsafe.Pointer(&ops))
		ops += unsafe.Sizeof(op{})
		var a [6]uintptr
		for j := 0; j < 6; j++ {
			a[j] = o.a[j]
			if o.from&(1<<j) != 0 {
				a[j] = childSlots[a[j]&(slotCount-1)]
			}
		}
		var r uintptr
		switch o.kind {
		case kindCall:
			r, _, errno = syscall.RawSyscall6(o.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		case kindKeep:
			from := uintptr(0)
			for ; a[1] > 0; a[1]-- {
				fd := **(**uintptr)(unsafe.Pointer(&a[0]))
				a[0] += unsafe.Sizeof(fd)
				if fd > from {
					syscall.RawSyscall(unix.SYS_CLOSE_RANGE, from, fd-1, 0)
				}
				from = fd + 1
			}
			_, _, errno = syscall.RawSyscall(unix.SYS_CLOSE_RANGE, from, uintptr(^uint32(0)), 0)
		case kindGate:
			r, _, errno = syscall.RawSyscall(unix.SYS_READ, a[0], uintptr(unsafe.Pointer(&childScratch)), 1)
			if errno == 0 && r != 1 {
				leave(0)
			}
		case kindReap:
			r, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if errno == 0 && r != 0 {
				reaper(r)
			}
		case kindInside:
			errno = inside()
		}
		if errno != 0 {
			e := uintptr(errno)
			if e == o.ok[0] || e == o.ok[1] || e == o.ok[2] {
				i += o.skip
				ops += o.skip * unsafe.Sizeof(op{})
				continue
			}
			break
		}
		if o.dst < slotCount {
			childSlots[o.dst&(slotCount-1)] = r
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
func inside() syscall.Errno {
	_, _, errno := syscall.RawSyscall(unix.SYS_GETCWD, uintptr(unsafe.Pointer(&childScratch)), unix.PathMax, 0)
	if errno == 0 && childScratch[0] != '/' {
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
	syscall.RawSyscall(unix.SYS_MUNMAP, arenasAt, arenasSize, 0)
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
			if ws&0xff == 0x7f { // stopped, not ended: it asked to be traced by its parent, which is not how this one works
				sig := uintptr(ws>>8) & 0xff
				if sig == uintptr(unix.SIGTRAP) { // of an execve
					sig = 0
				}
				syscall.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, pid, 0, sig, 0, 0)
				continue
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

// ExitCode waits for the end of a child of this process and reaps it: 128+n after signal n. known is false when it is no child of this
// process.
func ExitCode(pid int) (code int, known bool) {
	ws, err := end(pid)
	switch {
	case err != nil:
		return 0, false
	case ws.Signaled():
		return 128 + int(ws.Signal()), true
	}
	return ws.ExitStatus(), true
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
