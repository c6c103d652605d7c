package container

import (
	"context"
	"encoding/json"
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

	"hardnode.dev/agent/oom"
	"hardnode.dev/agent/quotaview"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/sys"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Runtime is the one value through which this host's containers are changed. Its methods may be called concurrently; calls for
// one container are put in a row.
type Runtime struct {
	opts   Options
	log    *slog.Logger
	data   *volume.Store
	images *volume.Images
	spawn  call.Client
	oom    *oom.Log
	quotas *quotaview.View
	exits  chan Exit
	fail   func(step string) error // tests make a step of Start fail

	mu struct {
		sync.Mutex
		busy    map[wire.CTID]chan struct{} // closed when the call that works on it returns
		devices *sys.DeviceProgram
		sets    map[wire.CTID]lookedAt
		ending  map[wire.CTID]time.Time // since when nothing of it runs, though its first process is not gone
		groups  map[string]bool         // cgroups of commands that run
		spares  map[wire.CTID]*group    // kept for the next command
	}
}

// New prepares cgroups, quotas and directories. The spawner may come up later: methods that need it wait for it until ctx ends.
func New(o Options) (*Runtime, error) {
	o.fill()
	r := &Runtime{opts: o, log: logging.Or(o.Log), exits: make(chan Exit, 64), spawn: call.Client{Socket: o.Spawner}, fail: func(string) error { return nil }}
	r.oom = openOOM(&r.opts)
	r.quotas = quotaview.New(strings.Count(strings.TrimPrefix(r.opts.Cgroup, cgroups), "/")+1, r.log)
	r.mu.busy = map[wire.CTID]chan struct{}{}
	r.mu.sets, r.mu.ending, r.mu.groups = map[wire.CTID]lookedAt{}, map[wire.CTID]time.Time{}, map[string]bool{}
	r.mu.spares = map[wire.CTID]*group{}
	if err := r.prepareCgroups(); err != nil {
		return nil, err
	}
	var err error
	if r.data, err = volume.Open(o.DataDir); err != nil {
		return nil, err
	}
	if r.images, err = volume.OpenImages(o.RunDir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.scratch(), 0o700); err != nil {
		return nil, fmt.Errorf("make scratch directory: %w", err)
	}
	return r, nil
}

// scratch is where a new container mounts its work space, in its own mount namespace only.
func (r *Runtime) scratch() string { return filepath.Join(r.opts.RunDir, "scratch") }

func (r *Runtime) logDir(id wire.CTID) string {
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

// note is what the spawner keeps for the agent with each container: a new agent knows from it all that was started.
type note struct {
	Version   int            `json:"version"` // 1
	Container host.Container `json:"container"`
	Files     string         `json:"files"` // FilesHash
	UIDBase   uint32         `json:"uidBase"`
}

func makeNote(s *StartSpec) (json.RawMessage, error) {
	c := s.Container
	c.Files = make([]host.File, len(s.Files))
	for i, f := range s.Files {
		c.Files[i] = host.File{Path: f.Path, Mode: f.Mode}
	}
	b, err := json.Marshal(note{Version: 1, Container: c, Files: FilesHash(s.Files), UIDBase: s.UIDBase})
	if err != nil {
		return nil, fmt.Errorf("encode container %s: %v", s.CTID, err)
	}
	return b, nil
}

// record is one spawner record with its note read. What the note says is missing when it is damaged.
type record struct {
	call.Record
	note
	damage error
}

// records asks the spawner what it knows.
func (r *Runtime) records(ctx context.Context) (map[wire.CTID]record, error) {
	return r.list(ctx, call.List{})
}

// list asks the spawner for records, by id.
func (r *Runtime) list(ctx context.Context, what call.List) (map[wire.CTID]record, error) {
	reply, _, err := r.spawn.Do(ctx, call.Request{List: &what})
	if err != nil {
		return nil, err
	}
	return readRecords(reply.Containers), nil
}

// readRecords reads the notes. A record under a name that is no CTID is nobody's container: only this Runtime makes them.
func readRecords(list []call.Record) map[wire.CTID]record {
	all := make(map[wire.CTID]record, len(list))
	for _, c := range list {
		id, err := wire.ParseCTID(c.ID)
		if err != nil {
			continue
		}
		rec := record{Record: c}
		if err := json.Unmarshal(c.Note, &rec.note); err != nil || rec.Container.CTID != id {
			if err == nil {
				err = fmt.Errorf("it is container %s's", rec.Container.CTID)
			}
			rec.note, rec.damage = note{}, fmt.Errorf("the note of its start is damaged, it is whole again after the next: %v", err)
		}
		all[id] = rec
	}
	return all
}

// running is the record of a container that runs.
func (r *Runtime) running(ctx context.Context, id wire.CTID) (record, error) {
	all, err := r.list(ctx, call.List{ID: id.String()})
	if err != nil {
		return record{}, err
	}
	if all[id].PID == 0 {
		return record{}, fmt.Errorf("container %s: %w", id, ErrNotRunning)
	}
	return all[id], nil
}

// Run forwards exit hints from the spawner and keeps what df shows in containers, until ctx ends: a task of the agent's run.Group.
func (r *Runtime) Run(ctx context.Context) error {
	return run.Group(ctx, r.log, run.Task{Name: "exits", Run: r.forward}, run.Task{Name: "quotas", Run: r.quotas.Run})
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
	rec, err := r.running(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", rec.PID))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) { // it has let go of its namespaces: it is ending
		return nil, fmt.Errorf("open network namespace of container %s: %w", id, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("open network namespace of container %s: %w", id, err)
	}
	if err := r.same(ctx, id, rec); err != nil { // the number may have become another process's
		f.Close()
		return nil, err
	}
	return f, nil
}

// same checks that a container still runs as the process it was; what was opened by its number before is then surely its.
func (r *Runtime) same(ctx context.Context, id wire.CTID, was record) error {
	now, err := r.running(ctx, id)
	if err != nil {
		return err
	}
	if now.PID != was.PID || !now.Started.Equal(was.Started) {
		return fmt.Errorf("container %s was started again meanwhile: %w", id, ErrNotRunning)
	}
	return nil
}

// asCaller turns the spawner's refusal into an error callers may test.
func asCaller(id wire.CTID, err error) error {
	var f *call.Failure
	if !errors.As(err, &f) {
		return err
	}
	switch f.Code {
	case call.CodeRunning:
		return fmt.Errorf("container %s: %w", id, ErrRunning)
	case call.CodeNotRunning:
		return fmt.Errorf("container %s: %w", id, ErrNotRunning)
	case call.CodeProgram, call.CodeInvalid:
		return fmt.Errorf("container %s: %w: %s", id, ErrInvalid, f.Text)
	}
	return err
}
