// Command hostile is what a container's owner could run to hold its host up.
//
// Owns: nothing; it runs inside a container of a guest test.
// In: its first argument: which way.
// Out: "ready" when it has done its worst, then it stays; or "unharmed", or a line for each way that was tried, and its end.
// Never: runs outside a guest.
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// The first goroutine keeps the first thread: that is the process to its parent.
func init() { runtime.LockOSThread() }

func main() {
	way := ""
	if len(os.Args) > 1 {
		way = os.Args[1]
	}
	switch way {
	case "traced": // its parent becomes its tracer; it stops at the next signal
		traced()
		fmt.Println("ready")
	case "stopped":
		traced()
		unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGUSR1)
	case "thread": // as "traced", but another thread than the first: its end is told to nobody else than the tracer
		done := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			traced()
			close(done)
			<-time.After(24 * time.Hour)
		}()
		<-done
		fmt.Println("ready")
	case "statfs": // how many blocks there may be follows
		statfs(os.Args[2:])
		return
	case "subvolume": // a directory of a volume follows
		subvolume(append(os.Args[2:], "/")[0])
		return
	case "escape":
		tryAll()
		return
	default:
		fmt.Fprintln(os.Stderr, "want traced, stopped, thread, statfs, subvolume or escape")
		os.Exit(2)
	}
	<-time.After(24 * time.Hour)
}

func traced() {
	if _, _, errno := unix.RawSyscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0); errno != 0 {
		fmt.Fprintln(os.Stderr, "ask to be traced:", errno)
		os.Exit(1)
	}
}
