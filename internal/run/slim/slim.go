// Package slim gives back the memory that only a program's start needed.
//
// Owns: when that is, for programs that live as long as their host.
// In: nothing but the program's own mappings (/proc/self/smaps).
// Out: less resident memory: free heap, and the pages of the program's file that nothing has used since.
// Never: touches a page that the program has written: those of the file are mapped from it again where they are used again.
//
// A start reads a program nearly whole (a fault maps 16 pages of its file, used or not), and what runs afterwards is a small part of it.
// The kernel unmaps none of that by itself, and prefers mapped pages to others when it needs memory.
package slim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
)

// first is how long after the task began a start counts as over. On a slow machine it is not, and the first work of all kinds comes later
// still: so memory is given back again after twice as long each time, and in the end as often as again says.
const (
	first = 20 * time.Second
	again = 10 * time.Minute
)

// little is a heap that is not collected: what the collector's own work touches would be more than it frees. In bytes.
const little = 1 << 20

// Task gives memory back a while after the start, and then now and again. That it can't is logged, and no reason to end.
func Task(log *slog.Logger) run.Task {
	return run.Task{Name: "slim", Run: func(ctx context.Context) error {
		for wait := first; run.Wait(ctx, wait); wait = min(2*wait, again) {
			if err := Now(); err != nil {
				logging.Or(log).Warn("memory of the start is kept", logging.Err, err)
			}
		}
		return nil
	}}
}

// Now gives memory back.
func Now() error {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapSys-m.HeapReleased > little {
		debug.FreeOSMemory()
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("give memory back: %v", err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("give memory back: %v", err)
	}
	var errs []error
	for _, r := range unwritten(string(maps), exe) {
		// Not by unix.Madvise, which takes memory of Go's.
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, r.from, r.to-r.from, unix.MADV_DONTNEED)
		if errno != 0 {
			errs = append(errs, fmt.Errorf("give back %x-%x of %q: %v", r.from, r.to, exe, errno))
		}
	}
	return errors.Join(errs...)
}

// area is a part of the address space.
type area struct{ from, to uintptr }

// unwritten are the areas that are mapped from the file, in which nothing was written and nobody can write (/proc/PID/smaps in proc(5)).
// What a dynamic linker has written and then protected is none.
func unwritten(smaps, file string) []area {
	var all []area
	var in area // of the file, or nothing
	for line := range strings.Lines(smaps) {
		line = strings.TrimSuffix(line, "\n")
		if bounds, rest, _ := strings.Cut(line, " "); !strings.HasSuffix(bounds, ":") {
			in = areaOf(bounds, rest, file)
		} else if n, of := strings.CutPrefix(line, "Anonymous:"); of && in != (area{}) && strings.TrimSpace(n) == "0 kB" {
			all = append(all, in)
		}
	}
	return all
}

// areaOf reads the first line of an area: its bounds, then permissions, offset, device, inode and path. It is nothing where that is
// another file, or may be written.
func areaOf(bounds, rest, file string) area {
	f := strings.SplitN(rest, " ", 5)
	if len(f) != 5 || strings.TrimLeft(f[4], " ") != file || len(f[0]) != 4 || f[0][1] != '-' || f[0][3] != 'p' {
		return area{}
	}
	from, to, _ := strings.Cut(bounds, "-")
	begin, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
	end, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	if err1 != nil || err2 != nil || begin >= end {
		return area{}
	}
	return area{uintptr(begin), uintptr(end)}
}
