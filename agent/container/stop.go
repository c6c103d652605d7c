package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/strain"
)

// Stop sends the stop signal, waits for StopAfter, kills what is left and removes cgroup and mounts; data stays.
// Stopping what does not run is no error.
func (r *Runtime) Stop(ctx context.Context, id wire.CTID) error {
	return r.StopWithin(ctx, id, longest)
}

// StopWithin is Stop with at most limit between the signal and the kill.
func (r *Runtime) StopWithin(ctx context.Context, id wire.CTID, limit time.Duration) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.end(ctx, id, limit); err != nil {
		return fmt.Errorf("stop container %s: %w", id, err)
	}
	r.prune(ctx)
	return nil
}

// Restart is Stop of a container that is to run: until its record is gone it is seen as stopped, not as one that has ended itself.
func (r *Runtime) Restart(ctx context.Context, id wire.CTID) error {
	defer r.pausing(id)()
	return r.Stop(ctx, id)
}

// pausing notes until done is called that a container is stopped to be started again.
func (r *Runtime) pausing(id wire.CTID) (done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.mu.pausing[id]
	p.now++
	r.mu.pausing[id] = p
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		p := r.mu.pausing[id]
		r.mu.pausing[id] = pause{p.now - 1, r.mu.looks}
	}
}

// pause is that a container is stopped to be started again.
type pause struct {
	now  int    // how many do that
	last uint64 // the last look that had begun when the last of them was done: what it read may be from before
}

// forget drops what is remembered of a container that is gone. Whoever is about to start it again still counts on its pause.
func (r *Runtime) forget(id wire.CTID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.past, id)
	if r.mu.pausing[id].now == 0 {
		delete(r.mu.pausing, id)
	}
}

// looking begins a look at all containers, and numbers it.
func (r *Runtime) looking() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.looks++
	return r.mu.looks
}

// paused is what a look saw of a container whose process has ended because it is stopped to be started again.
func (r *Runtime) paused(o Observed, look uint64) Observed {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.mu.pausing[o.CTID]; o.State == StateExited && (p.now > 0 || look <= p.last) {
		o.State, o.Exited, o.ExitCode, o.ExitKnown, o.Left, o.OOMKilled = StateStopped, time.Time{}, 0, false, LeftNot, false
	}
	return o
}

// longest is a limit that leaves a container the time its template gives it.
const longest = 24 * time.Hour

// end leaves no process, cgroup or record of a container. It asks it to end first, unless grace, the most it waits for that, is 0. What
// does not end at once is killed again and again until ctx ends.
func (r *Runtime) end(ctx context.Context, id wire.CTID, grace time.Duration) error {
	all, err := r.known.List(ctx, call.List{ID: id.String()})
	if err != nil {
		return err
	}
	rec, known := all[id]
	if known && rec.PID != 0 && grace > 0 {
		err := r.askToEnd(ctx, id, rec, grace)
		if errors.Is(ctx.Err(), context.Canceled) {
			// no kill: the next call, or the next agent, waits for the rest of its time
			return fmt.Errorf("wait for the end of container %s: %w", id, ctx.Err())
		}
		if err != nil {
			r.log.Warn("container is not asked to end", logging.Container, id, logging.Err, err) // it is killed all the same
		}
	}
	if r.opts.Mounts != nil {
		r.opts.Mounts.End(id) // else what waits for another host could not be killed
	}
	if err := r.dropProcesses(ctx, id); err != nil {
		return err
	}
	r.forgetSet(id)
	r.aim(id, 0)
	r.boots.Drop(id)
	os.Remove(r.askedAt(id)) // its process is gone; a note that can't be removed does not count for the next one
	if !known {
		return nil
	}
	// the spawner learns of the end a moment after the cgroup is empty
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, _, err := r.spawn.Do(ctx, call.Request{Forget: &call.Forget{ID: id.String()}})
		if err = record.AsCaller(id, err); !errors.Is(err, ErrRunning) {
			if err == nil && rec.PID != 0 {
				r.log.Info("container stopped", logging.Container, id)
			}
			return err
		}
		if !run.Wait(ctx, wait) {
			return fmt.Errorf("wait for the end of container %s: its process %d does not end: %w", id, rec.PID, ctx.Err())
		}
		if wait == time.Second { // its cgroup is gone: by its pidfd
			r.signal(ctx, id, unix.SIGKILL)
		}
	}
}

// dropProcesses leaves neither processes nor a cgroup. A cgroup that is not empty any more when it is to go is emptied again.
func (r *Runtime) dropProcesses(ctx context.Context, id wire.CTID) error {
	for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
		if err := r.emptyCgroup(ctx, id); err != nil {
			return err
		}
		met := r.met(id)
		err := cgroup.Drop(r.cgroup(id))
		r.groups.DropSpare(id)
		if err == nil && met != (strain.Strain{}) {
			r.remember(id, met)
		}
		if !errors.Is(err, unix.EBUSY) || !run.Wait(ctx, wait) {
			return err
		}
	}
}

func (r *Runtime) signal(ctx context.Context, id wire.CTID, sig unix.Signal) error {
	_, _, err := r.spawn.Do(ctx, call.Request{Signal: &call.Signal{ID: id.String(), Signal: int(sig)}})
	return record.AsCaller(id, err)
}

// Remove stops at once and deletes the layer, the log and, unless keepVolumes, the volumes. Removing nothing is no error.
func (r *Runtime) Remove(ctx context.Context, id wire.CTID, keepVolumes bool) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.end(ctx, id, 0); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	r.prune(ctx)
	if !keepVolumes {
		if err := r.snaps.DropAll(id); err != nil {
			return fmt.Errorf("remove container %s: %w", id, err)
		}
	}
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
	if !keepVolumes {
		err = errors.Join(err, r.data.DropRest(id))
	}
	if err = errors.Join(err, os.RemoveAll(r.LogDir(id))); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	r.forget(id)
	r.log.Info("container removed", logging.Container, id, "keepVolumes", keepVolumes)
	return nil
}

// Volume opens the top directory of a container's volume.
func (r *Runtime) Volume(id wire.CTID, name string) (*os.File, error) {
	return r.data.OpenVolume(id, name)
}

// SetVolumes changes the quotas of a container's volumes while it runs. One that it does not have yet gets its quota when it is made.
func (r *Runtime) SetVolumes(ctx context.Context, id wire.CTID, list []host.Volume) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	defer r.forgetSet(id)
	for _, v := range list {
		if err := r.data.SetVolumeQuota(id, v.Name, v.Bytes); err != nil {
			return fmt.Errorf("limit volume %q of container %s: %w", v.Name, id, err)
		}
	}
	return nil
}

// DropVolumes deletes volumes with their data; a missing one is no error. None goes while something runs that was started with one of them:
// ErrRunning.
func (r *Runtime) DropVolumes(ctx context.Context, id wire.CTID, names []string) error {
	unlock, err := r.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	defer r.forgetSet(id)
	all, err := r.known.List(ctx, call.List{ID: id.String()})
	if err != nil {
		return fmt.Errorf("drop volumes of container %s: %w", id, err)
	}
	if rec := all[id]; rec.PID != 0 {
		for _, v := range rec.Container.Volumes {
			if slices.Contains(names, v.Name) {
				return fmt.Errorf("drop volume %q of container %s: it runs with it, start it anew without: %w", v.Name, id, ErrRunning)
			}
		}
	}
	for _, name := range names {
		if err := r.data.DropVolume(id, name); err != nil {
			return fmt.Errorf("drop volume %q of container %s: %w", name, id, err)
		}
		r.log.Info("volume dropped", logging.Container, id, "volume", name)
	}
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
	defer r.forgetSet(id) // whoever looks meanwhile sees half of it
	waits := cgroup.Limit(r.cgroup(id), limits.Settings(l, cpuMaxMicros, r.disks()))
	if waits != nil && !errors.As(waits, new(limits.Waits)) {
		return fmt.Errorf("limit container %s: %w", id, waits)
	}
	if waits != nil {
		r.aim(id, l.MemoryMax)
	} else {
		r.aim(id, 0)
	}
	if err := r.resizeShared(ctx, id, l); err != nil {
		return fmt.Errorf("limit container %s: %w", id, err)
	}
	c, err := r.data.Contents(id)
	if err != nil {
		return fmt.Errorf("limit container %s: %w", id, err)
	}
	if n := len(c.Layers); n > 0 {
		if err := r.data.SetLayerQuota(id, c.Layers[n-1], l.DiskBytes); err != nil {
			return fmt.Errorf("limit container %s: %w", id, err)
		}
	}
	if waits != nil {
		return fmt.Errorf("limit container %s: %w", id, waits)
	}
	if drift := r.readSet(id, c.Layers).Drift(l, cpuMaxMicros); drift != "" { // else it would be set again each round
		return fmt.Errorf("limit container %s: the kernel has other limits than were set: %s", id, drift)
	}
	return nil
}
