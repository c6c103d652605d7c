// Package stray ends what asks its parent to trace it, which on this host nobody does.
//
// Owns: the answer to stopped children and to ended threads that were traced.
// In: SIGCHLD, and what waitid tells of any child of this process.
// Out: the number of each process it killed.
// Never: reaps a process that somebody waits for.
package stray

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/run"
)

// Watch keeps what asks to be traced (ptrace(2), PTRACE_TRACEME) from standing still, until ctx ends: the tracer is the parent, and of a
// container's first process and of commands that is this process, which traces nobody. A stopped one is killed, and killed is told of it. A
// thread that was traced is reaped when it has ended: nobody waits for it by its number, and until then its process would never end.
func Watch(ctx context.Context, killed func(pid int)) error {
	news := make(chan os.Signal, 1)
	signal.Notify(news, unix.SIGCHLD)
	defer signal.Stop(news)
	tick := time.NewTicker(time.Second) // signals that come at once become one
	defer tick.Stop()
	for {
		for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
			again, err := one(killed)
			if err != nil {
				return err
			}
			if !again || !run.Wait(ctx, wait) {
				break
			}
		}
		select {
		case <-news: // nearly always of one that has ended: whoever waits for it goes first
			run.Wait(ctx, settle)
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// settle is how long a child may stand still, or be ended, before this looks at it.
const settle = 20 * time.Millisecond

// one looks after the first child there is news of. again: there may be more behind it.
func one(killed func(pid int)) (again bool, err error) {
	var info struct { // siginfo_t as waitid fills it (asm-generic/siginfo.h, _sigchld, 64-bit)
		signo, errno, code, _ int32
		pid, uid, status      int32
		_                     [100]byte
	}
	const all, exited, dumped = 0, 1, 3 // P_ALL, CLD_EXITED, CLD_DUMPED
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, all, 0, uintptr(unsafe.Pointer(&info)),
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, 0, 0)
	pid := int(info.pid)
	switch {
	case errno == unix.EINTR:
		return true, nil
	case errno == unix.ECHILD || errno == 0 && pid == 0:
		return false, nil
	case errno != 0:
		return false, fmt.Errorf("look for stopped children: %w", errno)
	case info.code < exited || info.code > dumped:
		killed(pid)
		unix.Kill(pid, unix.SIGKILL) // not reaped yet: the number is still its own
	case isThread(pid):
		unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil)
	default: // whoever started it waits for it
	}
	return true, nil
}

// isThread tells whether the number is that of a thread other than a process's first (proc_pid_status(5)).
func isThread(tid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Tgid:"); ok {
			return strings.TrimSpace(v) != fmt.Sprint(tid)
		}
	}
	return false
}
