package limits

import (
	"fmt"
	"slices"
	"strconv"
)

// Waits says that a memory limit is not what it shall be yet, because the container uses more.
type Waits struct{ Uses, Wanted int64 } // bytes

func (w Waits) Error() string {
	return fmt.Sprintf("memory waits: it uses %d MiB, and shall have %d MiB at most; free memory in it, or restart it", w.Uses>>20,
		w.Wanted>>20)
}

// Aim is how many bytes a container may use under the settings of a list before the kernel reclaims, 0 for any number.
func Aim(list []Setting) (aim int64) {
	for _, s := range list {
		if n, ok := s.memory(); ok && (aim == 0 || n < aim) {
			aim = n
		}
	}
	return aim
}

// memory is the value of one of the two limits that make the kernel reclaim.
func (s Setting) memory() (bytes int64, ok bool) {
	if s.File != "memory.high" && s.File != "memory.max" {
		return 0, false
	}
	bytes, err := strconv.ParseInt(s.Value, 10, 64)
	return bytes, err == nil
}

// Fit is what of a list can be written for a container that uses so many bytes, so that no limit kills: a memory.max below the use is left
// out. Then memory.high is above the use, by some room: at the use or below, the kernel holds up each process that needs a page, and takes
// the pages that programs run from, those of JEM too, by which the servers come to use less. Where more says that reclaim was stopped
// while it still found something, memory.high is the use: the kernel would go on until it is met, however long that takes. waits is nil
// when all is written as wanted.
func Fit(list []Setting, use int64, more bool) (now []Setting, waits error) {
	high := int64(0)
	if more {
		high = use
	}
	now = slices.DeleteFunc(slices.Clone(list), func(s Setting) bool {
		n, ok := s.memory()
		short := ok && n < use && (s.File == "memory.max" || more)
		if short {
			waits = Waits{Uses: use, Wanted: n}
		}
		if short && s.File == "memory.max" {
			high = use + room(use)
			return true
		}
		return false
	})
	for i, s := range now {
		if n, ok := s.memory(); ok && n < use && n < high {
			now[i].Value = strconv.FormatInt(high, 10)
		}
	}
	return now, waits
}

// room is what a container has beyond its use while it waits for a smaller limit: enough for JEM and what it calls, and for the pages that
// the servers run from.
func room(use int64) int64 { return max(32<<20, use/8) }
