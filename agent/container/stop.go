package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Stop sends the stop signal, waits for StopAfter, kills what is left and removes cgroup and mounts; data stays.
// Stopping what does not run is no error.
func (r *Runtime) Stop(ctx context.Context, id wire.CTID) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.end(ctx, id, true); err != nil {
		return fmt.Errorf("stop container %s: %w", id, err)
	}
	r.prune(ctx)
	return nil
}

// end leaves no process, cgroup or record of a container.
func (r *Runtime) end(ctx context.Context, id wire.CTID, grace bool) error {
	all, err := r.records(ctx)
	if err != nil {
		return err
	}
	rec, known := all[id]
	if known && rec.PID != 0 && grace {
		if err := r.askToEnd(ctx, id, rec); err != nil {
			return err
		}
	}
	if err := r.emptyCgroup(ctx, id); err != nil {
		return err
	}
	if err := dropCgroup(r.cgroup(id)); err != nil {
		return err
	}
	if !known {
		return nil
	}
	for { // the spawner learns of the end a moment after the cgroup is empty
		_, _, err := r.spawn.Do(ctx, call.Request{Forget: &call.Forget{ID: id.String()}})
		if err = asCaller(id, err); !errors.Is(err, ErrRunning) {
			if err == nil && rec.PID != 0 {
				r.log.Info("container stopped", logging.Container, id)
			}
			return err
		}
		if !run.Wait(ctx, 2*time.Millisecond) {
			return fmt.Errorf("wait for the end of container %s: %w", id, ctx.Err())
		}
	}
}

// askToEnd sends the stop signal and waits for the end, as long as the template allows.
func (r *Runtime) askToEnd(ctx context.Context, id wire.CTID, rec record) error {
	profile := rec.Container.Profile
	sig, err := stopSignal(rec.Container.Process, profile)
	if err != nil {
		return err
	}
	if _, _, err := r.spawn.Do(ctx, call.Request{Signal: &call.Signal{ID: id.String(), Signal: int(sig)}}); err != nil {
		if errors.Is(asCaller(id, err), ErrNotRunning) {
			return nil
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopAfter(rec.Container.Process))
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		if n, err := populated(r.cgroup(id)); err != nil || !n {
			return err
		}
		if !run.Wait(ctx, wait) {
			return nil // the kill comes next
		}
	}
}

// Remove stops at once and deletes the layer, the log and, unless keepVolumes, the volumes. Removing nothing is no error.
func (r *Runtime) Remove(ctx context.Context, id wire.CTID, keepVolumes bool) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.end(ctx, id, false); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	r.prune(ctx)
	c, err := r.data.Contents(id)
	if err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	for _, g := range c.Layers {
		err = errors.Join(err, r.data.DropLayer(id, g))
	}
	if !keepVolumes {
		for _, v := range c.Volumes {
			err = errors.Join(err, r.data.DropVolume(id, v))
		}
	}
	if err = errors.Join(err, os.RemoveAll(r.logDir(id))); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	r.log.Info("container removed", logging.Container, id, "keepVolumes", keepVolumes)
	return nil
}

// SetLimits changes a container's limits while it runs; cpuMaxMicros is as in StartSpec.
func (r *Runtime) SetLimits(ctx context.Context, id wire.CTID, l host.Limits, cpuMaxMicros int64) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(r.cgroup(id)); err != nil {
		return fmt.Errorf("limit container %s: %w", id, ErrNotRunning)
	}
	if err := r.setLimits(id, limitSettings(l, cpuMaxMicros)); err != nil {
		return fmt.Errorf("limit container %s: %w", id, err)
	}
	if err := r.resizeShared(ctx, id, l); err != nil {
		return fmt.Errorf("limit container %s: %w", id, err)
	}
	c, err := r.data.Contents(id)
	if err != nil || len(c.Layers) == 0 {
		return err
	}
	return r.data.SetLayerQuota(id, c.Layers[len(c.Layers)-1], l.DiskBytes)
}
