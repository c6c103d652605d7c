package container

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/snapshot"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/wire"
)

// Hold is a container whose data nobody else changes meanwhile. It is good within the call of Holding alone.
type Hold struct {
	r    *Runtime
	id   wire.CTID
	rec  record.Record
	disk volume.Contents
}

// Holding gives f a container to itself: no start, stop or removal of it happens meanwhile. ErrNotFound when it has no data here.
func (r *Runtime) Holding(ctx context.Context, id wire.CTID, f func(*Hold) error) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	h := &Hold{r: r, id: id}
	if h.disk, err = r.data.Contents(id); err != nil {
		return err
	}
	if len(h.disk.Layers)+len(h.disk.Volumes) == 0 {
		return fmt.Errorf("container %s: %w: it has no data on this host yet", id, ErrNotFound)
	}
	all, err := r.known.List(ctx, call.List{ID: id.String()})
	if err != nil {
		return err
	}
	h.rec = all[id]
	if err := r.snaps.Settle(id, r.data.Home(id)); err != nil && h.rec.PID == 0 {
		return err
	}
	return f(h)
}

// Running tells whether its process runs.
func (h *Hold) Running() bool { return h.rec.PID != 0 }

// Image is what it was last started from, "" when that is not known.
func (h *Hold) Image() wire.Digest { return h.rec.Container.Image.Digest }

// Generation is that of its layer; 0: it has none.
func (h *Hold) Generation() int64 {
	if n := len(h.disk.Layers); n > 0 {
		return h.disk.Layers[n-1]
	}
	return 0
}

// Volumes are the names of those that it has.
func (h *Hold) Volumes() []string { return h.disk.Volumes }

// Home is the directory that its layers and volumes lie in.
func (h *Hold) Home() string { return h.r.data.Home(h.id) }

// Parts opens its layer and its volumes.
func (h *Hold) Parts() (list []snapshot.Part, closeAll func(), err error) {
	closeAll = func() {
		for _, p := range list {
			p.Dir.Close()
		}
	}
	add := func(name, vol string) {
		if err != nil {
			return
		}
		p := snapshot.Part{Name: name, Volume: vol}
		if p.Dir, err = sys.OpenDir(filepath.Join(h.Home(), name)); err == nil {
			list = append(list, p)
		}
	}
	if g := h.Generation(); g != 0 {
		add(volume.LayerName(g), "")
	}
	for _, v := range h.disk.Volumes {
		add(volume.VolumeName(v), v)
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return list, closeAll, nil
}

// Still has all processes of the container stand still until end is called; when this program is killed before, the spawner has them go on.
// They go on by themselves after call.LongestRest, and then end is an error: what was done meanwhile is not from one moment.
func (h *Hold) Still(ctx context.Context) (end func() error, err error) {
	path := h.r.cgroup(h.id)
	dir, err := sys.OpenDir(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	resting, err := h.r.spawn.Rest(ctx, h.id.String(), dir)
	if err != nil {
		return nil, errors.Join(err, cgroup.Thaw(path)) // the spawner may have been killed
	}
	late := time.AfterFunc(call.LongestRest+time.Second, func() { cgroup.Thaw(path) }) // likewise
	return func() error {
		inTime := late.Stop()
		err := resting.End()
		if err == nil && !inTime {
			err = errors.New("its processes went on before the end; try again")
		}
		if err != nil {
			return errors.Join(err, cgroup.Thaw(path))
		}
		return nil
	}, nil
}

// End ends its processes, as Restart does.
func (h *Hold) End(ctx context.Context) error {
	defer h.r.pausing(h.id)()
	if err := h.r.end(ctx, h.id, longest); err != nil {
		return fmt.Errorf("stop container %s: %w", h.id, err)
	}
	h.rec = record.Record{}
	h.r.prune(ctx)
	return nil
}
