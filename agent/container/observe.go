package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/container/shortage"
	"hardnode.dev/agent/oom"
	"hardnode.dev/agent/quotaview"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Observe lists all containers that exist in any form, ordered by CTID. What can't be seen of one is in its Trouble; an error means that it
// is not known which there are.
func (r *Runtime) Observe(ctx context.Context) ([]Observed, error) {
	look := r.looking()
	all, err := r.known.All(ctx)
	if err != nil {
		return nil, err
	}
	ids := map[wire.CTID]bool{}
	for id := range all {
		ids[id] = true
	}
	disk, err := r.data.IDs()
	if err != nil {
		return nil, err
	}
	for _, id := range disk {
		ids[id] = true
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
	kills := sync.OnceValue(r.oom.Kills) // a long read the first time, and for nothing on a host that has no containers yet
	var spaces []quotaview.Space
	for id := range ids {
		o, own := r.observe(ctx, id, all, kills)
		list, spaces = append(list, r.paused(o, look)), append(spaces, own...)
	}
	r.quotas.Show(spaces)
	slices.SortFunc(list, func(a, b Observed) int { return int(a.CTID - b.CTID) })
	return list, nil
}

// facts is what is known of one container before it is judged.
type facts struct {
	rec       record.Record
	known     bool // by the spawner
	disk      volume.Contents
	cgroup    bool   // exists
	populated bool   // or not known to be empty
	stuck     bool   // its first process has been ending for longer than endsWithin
	base      uint32 // of its UID range, as its cgroup shows; 0: not known
}

// observe never fails: a container of which something can't be seen is there all the same. spaces are its file systems with a quota, if it
// runs.
func (r *Runtime) observe(ctx context.Context, id wire.CTID, all map[wire.CTID]record.Record,
	kills func() []oom.Kill) (o Observed, spaces []quotaview.Space) {
	now := time.Now()
	was, is, ok := r.quiet(id, all[id], now)
	if ok {
		return was.o, was.spaces
	}
	r.mu.Lock()
	changes := r.mu.changes
	r.mu.Unlock()
	defer func() { r.keep(id, is, o, spaces, now, changes) }()
	var trouble []string
	note := func(err error) {
		if err != nil {
			trouble = append(trouble, err.Error())
		}
	}
	f := facts{}
	f.rec, f.known = all[id]
	note(f.rec.Damage)
	var err error
	f.disk, err = r.data.Contents(id)
	note(err)
	dir := r.cgroup(id)
	if _, err := os.Stat(dir); err == nil {
		f.cgroup = true
		if f.populated, err = cgroup.Populated(dir); err != nil {
			f.populated = true // processes may be there, and nothing may be started beside them
			note(err)
		}
		f.base = cgroup.Range(dir)
	}
	f.stuck = r.stuck(id, f.known && f.rec.PID != 0 && !f.populated)
	o = judge(id, f)
	o.MemoryBytes = cgroup.ReadInt(dir, "memory.current", "")
	if text, err := sys.ReadSmall(filepath.Join(dir, "cpu.stat")); err == nil {
		o.CPUMicros = cgroup.Number(text, "usage_usec")
		o.Strain.ThrottledMs = cgroup.Number(text, "throttled_usec") / 1000
	}
	r.mu.Lock()
	past := r.mu.past[id]
	r.mu.Unlock()
	if f.known {
		o.OOM = r.oom.Of(shortage.Who{CTID: id, IDs: call.IDs{Base: o.UIDBase, Blocks: o.Spec.Image.IDBlocks}, Started: o.Started}, kills())
		o.Strain.Kills = o.OOM.Kills
		o.OOMKilled = o.State == StateExited && o.ExitKnown && o.ExitCode == 128+int(syscall.SIGKILL) && !o.OOM.Command &&
			cgroup.ReadInt(filepath.Join(dir, "p"), "memory.events", "oom_kill") > 0
	}
	o.Strain.Kills, o.Strain.ThrottledMs = o.Strain.Kills+past.Kills, o.Strain.ThrottledMs+past.ThrottledMs
	o.DiskBytes, o.InVolumes, err = r.data.Usage(f.disk)
	note(err)
	o.InVolumes = limits.VolumeNotes(o.InVolumes, o.Spec.Volumes)
	if o.State == StateRunning {
		o.Booting = r.boots.Boots(id)
		l := r.look(ctx, id, o.PID, f.disk)
		o.Strain.CPU, o.Strain.Memory, o.Strain.IO = l.strain.CPU, l.strain.Memory, l.strain.IO
		o.Set, spaces = l.set, spacesOf(cgroup.Inode(dir), l.spaces)
	}
	o.Trouble = strings.Join(trouble, "; ")
	return o, spaces
}

// spacesOf says how full a container's file systems with a quota are now. One that can't be asked is left out: df shows the host's disk
// there.
func spacesOf(cgroup uint64, list []volume.Space) (spaces []quotaview.Space) {
	for _, s := range list {
		if used, err := s.Quota.Held(); err == nil && cgroup != 0 {
			spaces = append(spaces, quotaview.Space{Cgroup: cgroup, FSID: s.FSID, Block: s.Block, Limit: s.Limit, Used: used})
		}
	}
	return spaces
}

// endsWithin is how long a container's first process may take to end once nothing of it runs any more.
const endsWithin = 5 * time.Second

// stuck tells whether a container has been ending for longer than endsWithin: something keeps its first process from being gone.
func (r *Runtime) stuck(id wire.CTID, ending bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, known := r.mu.ending[id]
	switch {
	case !ending:
		delete(r.mu.ending, id)
		return false
	case !known:
		r.mu.ending[id] = time.Now()
		return false
	}
	return time.Since(since) > endsWithin
}

// leftBy tells what reboot(2) of a container's own init did: the kernel ends a process namespace with SIGHUP for a restart and with SIGINT
// for a halt (pid_namespaces(7)). Nobody else's signal has that effect on an init.
func leftBy(rec record.Record) Left {
	switch {
	case rec.Container.Profile != host.ProfileSystem || !rec.Known:
		return LeftNot
	case rec.Code == 128+int(syscall.SIGHUP):
		return LeftReboot
	case rec.Code == 128+int(syscall.SIGINT):
		return LeftPowerOff
	}
	return LeftNot
}

// judge says what state the facts mean.
func judge(id wire.CTID, f facts) Observed {
	o := Observed{CTID: id, State: StateStopped, Volumes: f.disk.Volumes, UIDBase: f.base}
	if n := len(f.disk.Layers); n > 0 {
		o.Generation = f.disk.Layers[n-1]
	}
	if f.known {
		if f.rec.Damage == nil {
			o.Spec, o.FilesHash, o.UIDBase = f.rec.Container, f.rec.Files, f.rec.UIDBase
			o.Generation = f.rec.Container.Generation
		}
		o.Started, o.Restarts = f.rec.Started, max(f.rec.Starts-1, 0)
		if f.rec.PID != 0 {
			o.State, o.PID = StateRunning, f.rec.PID
		} else {
			o.State, o.Exited, o.ExitCode, o.ExitKnown = StateExited, f.rec.Ended, f.rec.Code, f.rec.Known
			o.Left = leftBy(f.rec)
		}
	}
	if f.populated && o.State != StateRunning || f.stuck {
		o.State = StateOrphan
	}
	for _, g := range f.disk.Layers {
		if g != o.Generation {
			o.Leftovers = append(o.Leftovers, fmt.Sprintf("layer of generation %d", g))
		}
	}
	for _, name := range f.disk.Rest {
		o.Leftovers = append(o.Leftovers, fmt.Sprintf("%q on disk", name))
	}
	if f.cgroup && !f.populated && !f.known {
		o.Leftovers = append(o.Leftovers, "empty cgroup")
	}
	return o
}
