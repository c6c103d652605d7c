package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Set is what the kernel has of a container's limits now. A file that could not be read is not in it.
type Set struct {
	cgroup string // "file value" of each limit's file, in the order of limitSettings, a line each
	disk   int64  // quota of its layer in bytes, 0 for none
	noDisk bool   // the quota is not known
}

// SetOf is the Set that limits make of a container; cpuMaxMicros is as in StartSpec.
func SetOf(l host.Limits, cpuMaxMicros int64) Set {
	var b strings.Builder
	for _, w := range limitSettings(l, cpuMaxMicros) {
		fmt.Fprintf(&b, "%s %s\n", w.file, kept(w))
	}
	return Set{cgroup: b.String(), disk: max(l.DiskBytes, 0)}
}

// Drift says which limits of the kernel are not the wanted ones, "" when all are; cpuMaxMicros is as in StartSpec. It is for containers
// that run.
func (s Set) Drift(l host.Limits, cpuMaxMicros int64) string {
	has := map[string]string{}
	for line := range strings.Lines(s.cgroup) {
		file, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		has[file] = value
	}
	var diff []string
	for _, w := range limitSettings(l, cpuMaxMicros) {
		if got, ok := has[w.file]; ok && got != kept(w) {
			diff = append(diff, fmt.Sprintf("%s is %s, wanted %s", w.file, got, kept(w)))
		}
	}
	if s.cgroup != "" && !s.noDisk && s.disk != max(l.DiskBytes, 0) {
		diff = append(diff, fmt.Sprintf("disk quota is %d, wanted %d", s.disk, max(l.DiskBytes, 0)))
	}
	return strings.Join(diff, "; ")
}

// kept is a setting's value as the kernel gives it back: memory in whole pages, rounded down (page_counter_memparse).
func kept(s setting) string {
	if !strings.HasPrefix(s.file, "memory.") {
		return s.value
	}
	n, err := strconv.ParseInt(s.value, 10, 64)
	if err != nil {
		return s.value // "max"
	}
	return strconv.FormatInt(n-n%int64(os.Getpagesize()), 10)
}

// readSet asks the kernel. layers are the generations on disk.
func (r *Runtime) readSet(id wire.CTID, layers []int64) (s Set) {
	var b strings.Builder
	for _, w := range limitSettings(host.Limits{}, 0) {
		if v, err := os.ReadFile(filepath.Join(r.cgroup(id), w.file)); err == nil {
			fmt.Fprintf(&b, "%s %s\n", w.file, strings.TrimSpace(string(v)))
		}
	}
	s.cgroup, s.noDisk = b.String(), true
	if n := len(layers); n > 0 {
		var err error
		s.disk, err = r.data.LayerQuota(id, layers[n-1])
		s.noDisk = err != nil
	}
	return s
}

// setFor is how long a Set counts: nobody but this Runtime sets limits, and one that was changed behind its back may stay for so long.
const setFor = 30 * time.Second

// lookedAt is a Set, the file systems with a quota, and the process they were read for.
type lookedAt struct {
	set    Set
	spaces []volume.Space
	pid    int
	when   time.Time
}

// look is what the kernel has, as of the last setFor. What commands of an earlier agent left goes at the same times.
func (r *Runtime) look(ctx context.Context, id wire.CTID, pid int, disk volume.Contents) lookedAt {
	r.mu.Lock()
	l, ok := r.mu.sets[id]
	r.mu.Unlock()
	if ok && l.pid == pid && time.Since(l.when) < setFor {
		return l
	}
	r.sweep(ctx, id)
	l = lookedAt{r.readSet(id, disk.Layers), r.data.Spaces(disk), pid, time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.sets[id] = l
	return l
}

// forgetSet makes the next look ask the kernel.
func (r *Runtime) forgetSet(id wire.CTID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.sets, id)
}
