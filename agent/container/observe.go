package container

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"

	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/wire"
)

// Observe lists all containers that exist in any form, ordered by CTID.
func (r *Runtime) Observe(ctx context.Context) ([]Observed, error) {
	all, err := r.records(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[wire.CTID]bool{}
	for id := range all {
		ids[id] = true
	}
	disk, err := r.data.List()
	if err != nil {
		return nil, err
	}
	for _, c := range disk {
		ids[c.CTID] = true
	}
	groups, err := os.ReadDir(r.opts.Cgroup)
	if err != nil {
		return nil, fmt.Errorf("list cgroups: %w", err)
	}
	for _, g := range groups {
		if n, err := strconv.ParseInt(g.Name(), 10, 64); err == nil && g.IsDir() {
			ids[wire.CTID(n)] = true
		}
	}
	var list []Observed
	for id := range ids {
		o, err := r.observe(id, all)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Observed) int { return int(a.CTID - b.CTID) })
	return list, nil
}

// facts is what is known of one container before it is judged.
type facts struct {
	rec       record
	known     bool // by the spawner
	disk      volume.Contents
	cgroup    bool // exists
	populated bool
}

func (r *Runtime) observe(id wire.CTID, all map[wire.CTID]record) (Observed, error) {
	f := facts{}
	f.rec, f.known = all[id]
	var err error
	if f.disk, err = r.data.Contents(id); err != nil {
		return Observed{}, err
	}
	dir := r.cgroup(id)
	if _, err := os.Stat(dir); err == nil {
		f.cgroup = true
		if f.populated, err = populated(dir); err != nil {
			return Observed{}, err
		}
	}
	o := judge(id, f)
	o.MemoryBytes = readInt(dir, "memory.current", "")
	o.CPUMicros = readInt(dir, "cpu.stat", "usage_usec")
	o.OOMKilled = readInt(dir, "memory.events", "oom_kill") > 0
	if o.DiskBytes, err = r.data.Bytes(f.disk); err != nil {
		return Observed{}, err
	}
	return o, nil
}

// judge says what state the facts mean.
func judge(id wire.CTID, f facts) Observed {
	o := Observed{CTID: id, State: StateStopped, Volumes: f.disk.Volumes}
	if n := len(f.disk.Layers); n > 0 {
		o.Generation = f.disk.Layers[n-1]
	}
	if f.known {
		o.Spec, o.FilesHash, o.UIDBase = f.rec.Container, f.rec.Files, f.rec.UIDBase
		o.Generation = f.rec.Container.Generation
		o.Started, o.Restarts = f.rec.Started, max(f.rec.Starts-1, 0)
		if f.rec.PID != 0 {
			o.State, o.PID = StateRunning, f.rec.PID
		} else {
			o.State, o.Exited, o.ExitCode, o.ExitKnown = StateExited, f.rec.Ended, f.rec.Code, f.rec.Known
		}
	}
	if f.populated && o.State != StateRunning {
		o.State = StateOrphan
	}
	for _, g := range f.disk.Layers {
		if g != o.Generation {
			o.Leftovers = append(o.Leftovers, fmt.Sprintf("layer of generation %d", g))
		}
	}
	if f.cgroup && !f.populated && !f.known {
		o.Leftovers = append(o.Leftovers, "empty cgroup")
	}
	return o
}
