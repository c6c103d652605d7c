package container

import (
	"context"
	"errors"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/strain"
)

// readSet asks the kernel. layers are the generations on disk.
func (r *Runtime) readSet(id wire.CTID, layers []int64) limits.Set {
	quota := func() (int64, error) { return 0, errors.New("no layer") }
	if n := len(layers); n > 0 {
		quota = func() (int64, error) { return r.data.LayerQuota(id, layers[n-1]) }
	}
	return limits.Read(r.cgroup(id), r.disks(), quota)
}

// disks are those whose limits are set: none while they can't be asked, which is said once.
func (r *Runtime) disks() []string {
	disks, err := r.data.Disks()
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.mu.noDisks; err != nil && !was {
		r.log.Warn("limits of reads and writes are not set", logging.Err, err)
	}
	r.mu.noDisks = err != nil
	return disks
}

// setFor is how long a Set that was read is taken for true. Only this Runtime sets limits; a change by anybody else is seen this much
// later.
const setFor = 30 * time.Second

// lookedAt is a Set, the file systems with a quota, and the process they were read for.
type lookedAt struct {
	set    limits.Set
	spaces []volume.Space
	strain strain.Strain // its pressure alone
	pid    int
	when   time.Time
}

// met is what limits did to a container since its cgroup was made.
func (r *Runtime) met(id wire.CTID) (s strain.Strain) {
	dir := r.cgroup(id)
	return strain.Strain{Kills: cgroup.ReadInt(dir, "memory.events", "oom_kill"),
		ThrottledMs: cgroup.ReadInt(dir, "cpu.stat", "throttled_usec") / 1000}
}

// remember keeps what limits did to a container whose cgroup is gone: else one that runs out of memory and is started again for ever would
// never have run out of memory.
func (r *Runtime) remember(id wire.CTID, s strain.Strain) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.mu.past[id]
	was.Kills, was.ThrottledMs = was.Kills+s.Kills, was.ThrottledMs+s.ThrottledMs
	r.mu.past[id] = was
}

// look is what the kernel has, as of the last setFor. What commands of an earlier agent left goes at the same times.
func (r *Runtime) look(ctx context.Context, id wire.CTID, pid int, disk volume.Contents) lookedAt {
	r.mu.Lock()
	l, ok := r.mu.sets[id]
	r.mu.Unlock()
	if ok && l.pid == pid && time.Since(l.when) < setFor {
		return l
	}
	r.groups.Sweep(ctx, id)
	dir := r.cgroup(id)
	var s strain.Strain
	s.CPU, s.Memory, s.IO = cgroup.Pressures(dir)
	l = lookedAt{r.readSet(id, disk.Layers), r.data.Spaces(disk), s, pid, time.Now()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.sets[id] = l
	return l
}

// forgetSet makes the next look ask the kernel, a look that is under way too.
func (r *Runtime) forgetSet(id wire.CTID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.sets, id)
	delete(r.mu.seen, id)
	r.mu.changes++
}
