package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/container/ready"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/container/shortage"
	"hardnode.dev/agent/quotaview"
	"hardnode.dev/agent/snapshot"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/strain"
)

// Runtime is the one value through which this host's containers are changed. Its methods may be called concurrently; calls for
// one container are put in a row.
type Runtime struct {
	opts   Options
	log    *slog.Logger
	data   *volume.Store
	snaps  *snapshot.Store
	images *volume.Images
	spawn  call.Client
	known  *record.Door // of what the spawner knows
	oom    *shortage.Watch
	quotas *quotaview.View
	groups *command.Groups // of commands
	boots  *ready.Board
	exits  chan Exit
	unseen sync.Once               // that containers have no view was said
	fail   func(step string) error // tests make a step of Start fail

	mu struct {
		sync.Mutex
		busy    map[wire.CTID]chan struct{} // closed when the call that works on it returns
		devices *sys.DeviceProgram
		sets    map[wire.CTID]lookedAt
		seen    map[wire.CTID]seen
		past    map[wire.CTID]strain.Strain // what limits did to it in cgroups that are gone
		pausing map[wire.CTID]pause         // of those that were ever stopped to be started again
		looks   uint64                      // how many have begun to look at all containers
		changes uint64                      // how often one of sets was forgotten
		noDisks bool                        // they can't be asked which they are
		aims    map[wire.CTID]int64         // bytes of memory that it is to have once it uses less
		ending  map[wire.CTID]time.Time     // since when nothing of it runs, though its first process is not gone
	}
}

// New prepares cgroups, quotas and directories. The spawner may come up later: methods that need it wait for it until ctx ends.
func New(o Options) (*Runtime, error) {
	o.fill()
	r := &Runtime{opts: o, log: logging.Or(o.Log), exits: make(chan Exit, 64), spawn: call.Client{Socket: o.Spawner},
		fail: func(string) error { return nil }}
	r.known = &record.Door{Spawner: r.spawn}
	r.oom = shortage.Open(r.opts.Kmsg, r.opts.Cgroup, r.log)
	r.quotas = quotaview.New(strings.Count(strings.TrimPrefix(r.opts.Cgroup, cgroup.Root), "/")+1, r.log)
	r.mu.busy, r.mu.pausing = map[wire.CTID]chan struct{}{}, map[wire.CTID]pause{}
	r.mu.sets, r.mu.seen, r.mu.ending = map[wire.CTID]lookedAt{}, map[wire.CTID]seen{}, map[wire.CTID]time.Time{}
	r.mu.past, r.mu.aims = map[wire.CTID]strain.Strain{}, map[wire.CTID]int64{}
	r.groups = command.NewGroups(r.opts.Cgroup, r.log)
	if err := cgroup.Prepare(r.opts.Cgroup); err != nil {
		return nil, err
	}
	var err error
	if r.data, err = volume.Open(o.DataDir); err != nil {
		return nil, err
	}
	r.snaps = snapshot.Open(o.DataDir)
	// an earlier agent may have been killed while it took a snapshot
	if err := errors.Join(cgroup.ThawAll(r.opts.Cgroup), r.snaps.SweepAll()); err != nil {
		r.log.Warn("what a snapshot left is there", logging.Err, err)
	}
	if r.images, err = volume.OpenImages(o.RunDir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.scratch(), 0o700); err != nil {
		return nil, fmt.Errorf("make scratch directory: %w", err)
	}
	// Not boot.NotifySocket, which is beside it: what lies at this path is taken away.
	if r.boots, err = ready.Open(filepath.Join(r.opts.RunDir, "ready"), r.log); err != nil {
		return nil, err
	}
	return r, nil
}

// Snapshots are those of this host's containers.
func (r *Runtime) Snapshots() *snapshot.Store { return r.snaps }

// Home is the directory of a container's layers and volumes.
func (r *Runtime) Home(id wire.CTID) string { return r.data.Home(id) }

// scratch is where a new container mounts its work space, in its own mount namespace only.
func (r *Runtime) scratch() string { return filepath.Join(r.opts.RunDir, "scratch") }

// LogDir is where agent/spawner/ring keeps what a container writes.
func (r *Runtime) LogDir(id wire.CTID) string {
	return filepath.Join(r.opts.DataDir, "log", id.String())
}

// lock waits for its turn with a container.
func (r *Runtime) lock(ctx context.Context, id wire.CTID) (unlock func(), err error) {
	for {
		r.mu.Lock()
		other := r.mu.busy[id]
		if other == nil {
			mine := make(chan struct{})
			r.mu.busy[id] = mine
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				delete(r.mu.busy, id)
				r.mu.Unlock()
				close(mine)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for container %s: %w", id, ctx.Err())
		}
	}
}

// Run forwards exit hints from the spawner and keeps what df shows in containers, until ctx ends: a task of the agent's run.Group.
func (r *Runtime) Run(ctx context.Context) error {
	return run.Group(ctx, r.log, run.Task{Name: "exits", Run: r.forward}, run.Task{Name: "quotas", Run: r.quotas.Run},
		run.Task{Name: "ready", Run: func(ctx context.Context) error {
			return r.boots.Run(ctx, func(id wire.CTID) { r.hint(Exit{CTID: id}) })
		}})
}

// forward gives hints of ends until ctx ends.
func (r *Runtime) forward(ctx context.Context) error {
	seq := int64(-1)
	for ctx.Err() == nil {
		if seq < 0 {
			reply, _, err := r.spawn.Do(ctx, call.Request{List: &call.List{}})
			if err != nil {
				run.Wait(ctx, time.Second)
				continue
			}
			seq = reply.Seq
		}
		reply, _, err := r.spawn.Do(ctx, call.Request{Wait: &call.Wait{Seq: seq}})
		if err != nil {
			seq = -1 // the spawner was replaced: what ended meanwhile shows in Observe
			r.hint(Exit{})
			run.Wait(ctx, 100*time.Millisecond)
			continue
		}
		seq = reply.Seq
		for _, id := range reply.Ended {
			if n, err := strconv.ParseInt(id, 10, 64); err == nil {
				r.hint(Exit{CTID: wire.CTID(n)})
			}
		}
	}
	return nil
}

func (r *Runtime) hint(e Exit) {
	select {
	case r.exits <- e:
	default:
	}
}

// Exits delivers hints while Run runs.
func (r *Runtime) Exits() <-chan Exit { return r.exits }

// Netns opens the network namespace of a running container.
func (r *Runtime) Netns(id wire.CTID) (*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rec, err := r.known.Running(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", rec.PID))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) { // its namespaces are gone: it is ending
		return nil, fmt.Errorf("open network namespace of container %s: %w", id, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("open network namespace of container %s: %w", id, err)
	}
	if err := r.known.Same(ctx, id, rec); err != nil { // the number may have become another process's
		f.Close()
		return nil, err
	}
	return f, nil
}
