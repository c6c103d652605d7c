// Package calm has a program's watcher wake less often: the thread of Go's runtime that looks after its others.
//
// Owns: the timer slack of the program's threads (proc_pid_timerslack_ns(5)).
// In: nothing but the threads (/proc/self/task).
// Out: fewer wakes while the program does something.
// Never: changes how soon a timer of the program itself goes off, but for a thread that the watcher has made, until the next look.
//
// The watcher (runtime, sysmon) sleeps 20 µs at a time when something has just begun, and longer by and by, up to 10 ms: it takes a
// processor away from a goroutine that waits in the kernel, and has one that computes for long give way. Programs that are woken often and
// do little spend up to a fifth of their time on it where a wake is dear. With slack the kernel wakes it with the next timer that goes off
// anyway, and at the latest so much later: so much later may another goroutine go on when all processors wait in the kernel.
package calm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// slack is how much later the watcher may wake, usual what the kernel gives a thread.
const (
	slack = 2 * time.Millisecond
	usual = 50 * time.Microsecond
)

// first is how long after the start threads are looked at anew, again how often in the end: a thread has the slack of who made it, and the
// watcher makes some.
const (
	first = time.Second
	again = 10 * time.Minute
)

// Task gives the watcher its slack, and other threads theirs back. That it can't is logged once, and no reason to end.
func Task(log *slog.Logger) run.Task {
	return run.Task{Name: "calm", Run: func(ctx context.Context) error {
		said := false
		for wait := first; ; wait = min(2*wait, again) {
			if err := Watcher(); err != nil && !said {
				said = true
				logging.Or(log).Warn("the runtime's watcher wakes as often as it does", logging.Err, err)
			}
			if !run.Wait(ctx, wait) {
				return nil
			}
		}
	}}
}

// Watcher gives the watcher its slack, and other threads that have it the usual one. It needs CAP_SYS_NICE.
func Watcher() error {
	list, err := threads()
	if err != nil {
		return err
	}
	errs := []error{set(list[0], slack)}
	for _, tid := range list[1:] {
		if has, err := slackOf(tid); err == nil && has == slack {
			errs = append(errs, set(tid, usual))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("have the runtime's watcher wake less often: %w", err)
	}
	return nil
}

func path(tid int) string { return "/proc/" + strconv.Itoa(tid) + "/timerslack_ns" }

func set(tid int, to time.Duration) error {
	return os.WriteFile(path(tid), strconv.AppendInt(nil, to.Nanoseconds(), 10), 0)
}

func slackOf(tid int) (time.Duration, error) {
	b, err := os.ReadFile(path(tid))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return time.Duration(n), err
}

// threads are those of the program but its first, in the order in which they were made: the watcher is the one before all others (runtime,
// main), and their numbers grow until they begin anew.
func threads() (list []int, err error) {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil, fmt.Errorf("look for the runtime's watcher: %w", err)
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n != os.Getpid() {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("look for the runtime's watcher: the program has one thread")
	}
	slices.SortFunc(list, func(a, b int) int { return behind(a) - behind(b) })
	return list, nil
}

// behind is how far a thread's number is behind that of the first.
func behind(tid int) int {
	const most = 1 << 22 // PID_MAX_LIMIT
	return (tid - os.Getpid() + most) % most
}
