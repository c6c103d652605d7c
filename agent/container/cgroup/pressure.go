package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Pressures are the percents of the last minute in which some of a cgroup waited for a processor, memory and a disk; 0 when that is not
// known.
func Pressures(dir string) (cpu, memory, io int) {
	return pressure(dir, "cpu.pressure"), pressure(dir, "memory.pressure"), pressure(dir, "io.pressure")
}

func pressure(dir, file string) int {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	return pressureOf(string(b))
}

// pressureOf reads the line "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" (kernel: Documentation/accounting/psi).
func pressureOf(text string) int {
	some, _, _ := strings.Cut(text, "\n")
	for _, f := range strings.Fields(some) {
		if v, ok := strings.CutPrefix(f, "avg60="); ok && strings.HasPrefix(some, "some ") {
			n, err := strconv.ParseFloat(v, 64)
			if err != nil || !(n >= 0 && n <= 100) { // a NaN is neither
				return 0
			}
			return int(n + 0.5)
		}
	}
	return 0
}
