package container

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jem"
)

// Told is what JEM in a container is to know of it and can't see: its quota, and what it may use. What can't be asked is left out.
func (r *Runtime) Told(ctx context.Context, id wire.CTID) jem.Told {
	var t jem.Told
	if disk, err := r.data.Contents(id); err == nil && len(disk.Layers) > 0 {
		t.DiskUsed, t.DiskLimit, _ = r.data.LayerUse(id, disk.Layers[len(disk.Layers)-1])
	}
	dir := r.cgroup(id)
	if n := cgroup.ReadInt(dir, "memory.max", ""); n > 0 {
		t.Memory = n
	}
	if n := r.aimed(id); n > 0 { // its servers make room when they know
		t.Memory = n
	}
	t.MilliCPU = milliCPU(filepath.Join(dir, "cpu.max"))
	return t
}

// aim notes how much memory a container is to have that uses more and keeps its earlier limit meanwhile; 0 is none.
func (r *Runtime) aim(id wire.CTID, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes > 0 {
		r.mu.aims[id] = bytes
	} else {
		delete(r.mu.aims, id)
	}
}

func (r *Runtime) aimed(id wire.CTID) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.aims[id]
}

// milliCPU reads a cpu.max (Linux, cgroup-v2, "quota period" in microseconds); 0 is no limit.
func milliCPU(path string) int64 {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	quota, period, _ := strings.Cut(strings.TrimSpace(string(raw)), " ")
	q, err := strconv.ParseInt(quota, 10, 64)
	p, perr := strconv.ParseInt(period, 10, 64)
	if err != nil || perr != nil || p <= 0 {
		return 0
	}
	return q * 1000 / p
}
