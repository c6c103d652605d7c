package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/wire/host"
)

// Set is what the kernel has of a container's limits now. A file that could not be read is not in it.
type Set struct {
	cgroup string   // "file value" of each limit's file, in the order of Settings, a line each
	disks  []string // those that were asked of
	disk   int64    // quota of its layer in bytes, 0 for none
	noDisk bool     // the quota is not known
}

// Of is the Set that limits make of a container; cpuMaxMicros is as in StartSpec.
func Of(l host.Limits, cpuMaxMicros int64, disks ...string) Set {
	var b strings.Builder
	for _, w := range Settings(l, cpuMaxMicros, disks) {
		fmt.Fprintf(&b, "%s %s\n", w.File, kept(w))
	}
	return Set{cgroup: b.String(), disks: disks, disk: max(l.DiskBytes, 0)}
}

// Drift says which limits of the kernel are not the wanted ones, "" when all are; cpuMaxMicros is as in StartSpec. It is for containers
// that run.
func (s Set) Drift(l host.Limits, cpuMaxMicros int64) string {
	has := map[string]string{}
	for line := range strings.Lines(s.cgroup) {
		file, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		of, value := named(Setting{file, value})
		has[of] = value
	}
	var diff []string
	for _, w := range Settings(l, cpuMaxMicros, s.disks) {
		of, want := named(Setting{w.File, kept(w)})
		if got, ok := has[of]; ok && got != want {
			diff = append(diff, fmt.Sprintf("%s is %s, wanted %s", of, got, want))
		}
	}
	if s.cgroup != "" && !s.noDisk && s.disk != max(l.DiskBytes, 0) {
		diff = append(diff, fmt.Sprintf("disk quota is %d, wanted %d", s.disk, max(l.DiskBytes, 0)))
	}
	return strings.Join(diff, "; ")
}

// named is what a setting is of and its value: each disk has a value of its own.
func named(s Setting) (of, value string) {
	if s.File != ioMax {
		return s.File, s.Value
	}
	disk, value, _ := strings.Cut(s.Value, " ")
	return s.File + " of " + disk, value
}

// kept is a setting's value as the kernel gives it back: memory in whole pages, rounded down (page_counter_memparse).
func kept(s Setting) string {
	if !strings.HasPrefix(s.File, "memory.") {
		return s.Value
	}
	n, err := strconv.ParseInt(s.Value, 10, 64)
	if err != nil {
		return s.Value // "max"
	}
	return strconv.FormatInt(n-n%int64(os.Getpagesize()), 10)
}

// Read asks the kernel what a container's cgroup has, for these disks too; quota is that of its layer in bytes, or an error when it is not
// known.
func Read(dir string, disks []string, quota func() (int64, error)) (s Set) {
	var b strings.Builder
	for _, w := range Settings(host.Limits{}, 0, nil) {
		if v, err := sys.ReadSmall(filepath.Join(dir, w.File)); err == nil {
			fmt.Fprintf(&b, "%s %s\n", w.File, strings.TrimSpace(v))
		}
	}
	if v, err := sys.ReadSmall(filepath.Join(dir, ioMax)); err == nil && len(disks) > 0 {
		for _, d := range disks {
			fmt.Fprintf(&b, "%s %s %s\n", ioMax, d, ofDisk(v, d))
		}
	}
	var err error
	s.disks = disks
	s.disk, err = quota()
	s.cgroup, s.noDisk = b.String(), err != nil
	return s
}

// ofDisk is the limits of one disk in the text of ioMax.
func ofDisk(text, disk string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), disk+" "); ok {
			return value
		}
	}
	return unlimited
}
