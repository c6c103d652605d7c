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
// out. Then memory.high is the use: below it the kernel holds up each process, JEM too, by which the servers come to use less. So it is
// where more tells that reclaim was stopped while it still found something, for the kernel would go on until it is met, however long that
// takes. waits is nil when all is written as wanted.
func Fit(list []Setting, use int64, more bool) (now []Setting, waits error) {
	raised := more
	now = slices.DeleteFunc(slices.Clone(list), func(s Setting) bool {
		n, ok := s.memory()
		short := ok && n < use && (s.File == "memory.max" || more)
		if short {
			waits = Waits{Uses: use, Wanted: n}
		}
		raised = raised || short && s.File == "memory.max"
		return short && s.File == "memory.max"
	})
	for i, s := range now {
		if n, ok := s.memory(); ok && n < use && raised {
			now[i].Value = strconv.FormatInt(use, 10)
		}
	}
	return now, waits
}
