package command

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/fault"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// A command that Exec starts has a cgroup of its own, for it and all it starts. It ends with the session, whatever has become of its
// processes, and when memory is short it goes before the container's own program (memory.oom.group, profile.CommandOOMAdjust).
//
//	<ctid>/hn-exec-<n>     profile app: beside p, which may have no cgroups below it; the limits are those of <ctid>
//	<ctid>/p/hn-exec-<n>   profile system: below p, so that systemd may take a command over into a unit (systemd-run --scope, logind)
//
// In profile app, where nobody but this host can change it, one that is empty when its command ends is kept for the container's next
// command: to make and remove a cgroup costs a good part of what a short command takes.

// GroupPrefix begins the names of commands' cgroups.
const GroupPrefix = "hn-exec-"

// Groups are the cgroups of the commands of all containers.
type Groups struct {
	parent string // cgroup of all containers
	log    *slog.Logger

	mu struct {
		sync.Mutex
		busy   map[string]bool      // cgroups of commands that run
		spares map[wire.CTID]*Group // kept for the next command
	}
}

// NewGroups has none yet. parent is the cgroup of all containers, a path.
func NewGroups(parent string, log *slog.Logger) *Groups {
	k := &Groups{parent: parent, log: log}
	k.mu.busy, k.mu.spares = map[string]bool{}, map[wire.CTID]*Group{}
	return k
}

func (k *Groups) cgroup(id wire.CTID) string { return filepath.Join(k.parent, id.String()) }

// Group is the cgroup of one command.
type Group struct {
	k      *Groups
	id     wire.CTID
	Record record.Record // of the container, when the cgroup was made
	Dir    string
	File   *os.File      // its directory
	again  bool          // another command may have it
	used   time.Time     // when it was kept
	kills  int64         // because memory ran out, as counted after the last command
	Told   time.Duration // oom.Kill.Since of the last one that was told of
}

// Make makes a cgroup for a command in a container that runs.
func (k *Groups) Make(id wire.CTID, rec record.Record) (*Group, error) {
	parent, system := k.cgroup(id), rec.Container.Profile == host.ProfileSystem
	if system {
		parent = filepath.Join(parent, "p")
	}
	var name [8]byte
	rand.Read(name[:])
	g := &Group{k: k, id: id, Record: rec, Dir: filepath.Join(parent, GroupPrefix+hex.EncodeToString(name[:])), again: !system}
	k.mu.Lock()
	k.mu.busy[g.Dir] = true
	k.mu.Unlock()
	err := os.Mkdir(g.Dir, 0o755)
	if cgroup.Gone(err) {
		err = fault.ErrNotRunning
	} else if errors.Is(err, unix.EAGAIN) { // cgroup.max.descendants
		err = errors.New("its system has made as many cgroups as a container may have; end some of its units")
	}
	if err != nil {
		g.forget()
		return nil, fmt.Errorf("make a cgroup for the command: %w", err)
	}
	err = cgroup.Write(filepath.Join(g.Dir, "memory.oom.group"), "1")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = nil // below p there is the memory controller once systemd has enabled it
	}
	if err == nil {
		g.File, err = sys.OpenDir(g.Dir)
	}
	if err != nil {
		g.End(context.Background(), false)
		return nil, fmt.Errorf("make a cgroup for the command: %w", err)
	}
	return g, nil
}

// spareFor is how long a cgroup is kept that no command has used, until the next look at the container.
const spareFor = 10 * time.Second

// Take is the cgroup that is kept for a command of a container, or nil.
func (k *Groups) Take(id wire.CTID) *Group {
	k.mu.Lock()
	g := k.mu.spares[id]
	if g != nil {
		delete(k.mu.spares, id)
		k.mu.busy[g.Dir] = true
	}
	k.mu.Unlock()
	if g != nil && !g.there() {
		g.forget()
		return nil
	}
	return g
}

// keep makes an empty cgroup the one that is kept, unless there is one.
func (g *Group) keep() bool {
	g.k.mu.Lock()
	defer g.k.mu.Unlock()
	// Whoever removes the container's cgroups calls dropSpare afterwards, which waits for this lock: a removed one is never left among
	// them.
	if !g.again || g.k.mu.spares[g.id] != nil || !g.there() {
		return false
	}
	g.used, g.k.mu.spares[g.id] = time.Now(), g
	delete(g.k.mu.busy, g.Dir)
	return true
}

// DropSpare forgets the cgroup that is kept for a container whose cgroups are gone.
func (k *Groups) DropSpare(id wire.CTID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if g := k.mu.spares[id]; g != nil {
		g.File.Close()
		delete(k.mu.spares, id)
	}
}

// Count is how many cgroups commands have, or are kept for the next ones.
func (k *Groups) Count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.mu.busy) + len(k.mu.spares)
}

// Age makes the cgroup that is kept for a container look unused for d longer; for tests.
func (k *Groups) Age(id wire.CTID, d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if g := k.mu.spares[id]; g != nil {
		g.used = g.used.Add(-d)
	}
}

// there tells whether the cgroup has not been removed.
func (g *Group) there() bool {
	var st unix.Stat_t
	return unix.Fstatat(int(g.File.Fd()), "cgroup.procs", &st, 0) == nil
}

// forget closes a cgroup in which no command runs any more, and takes it off the list.
func (g *Group) forget() {
	if g.File != nil {
		g.File.Close()
	}
	g.k.mu.Lock()
	defer g.k.mu.Unlock()
	delete(g.k.mu.busy, g.Dir)
}

// endsWithinGroup is how long killed processes may take to be gone; what is left then is left to sweep.
const endsWithinGroup = 10 * time.Second

// Await waits up to grace for the processes to end by themselves, and tells whether all have.
func (g *Group) Await(ctx context.Context, grace time.Duration) (empty bool) {
	for until := time.Now().Add(grace); ; {
		events, err := cgroup.ReadIn(g.File, "cgroup.events")
		if err != nil || !strings.Contains(events, "populated 1") {
			return err == nil
		}
		if time.Now().After(until) || !run.Wait(ctx, 5*time.Millisecond) {
			return false
		}
	}
}

// Once keeps the cgroup from being given to another command.
func (g *Group) Once() { g.again = false }

// OutOfMemory is how many processes were killed because memory ran out, since the command began.
func (g *Group) OutOfMemory() int64 {
	events, err := cgroup.ReadIn(g.File, "memory.events")
	if err != nil {
		return 0
	}
	n := cgroup.Number(events, "oom_kill")
	defer func() { g.kills = n }()
	return n - g.kills
}

// End keeps an empty cgroup for the next command, or kills what is left in it and removes it. It tells how many it had to kill.
func (g *Group) End(ctx context.Context, empty bool) (left int) {
	if empty && g.keep() {
		return 0
	}
	defer g.forget()
	if empty && unix.Rmdir(g.Dir) == nil {
		return 0
	}
	left = cgroup.Processes(g.Dir)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endsWithinGroup)
	defer cancel()
	if err := cgroup.End(ctx, g.Dir); err != nil {
		g.k.log.Warn("cgroup of a command stays for now", logging.Reason, err)
	}
	return left
}

// Sweep removes cgroups of commands whose agent is gone. The spawner has ended their processes.
func (k *Groups) Sweep(ctx context.Context, id wire.CTID) {
	for _, parent := range []string{k.cgroup(id), filepath.Join(k.cgroup(id), "p")} {
		entries, err := os.ReadDir(parent)
		if err != nil {
			continue
		}
		for _, e := range entries {
			dir := filepath.Join(parent, e.Name())
			if !e.IsDir() || !strings.HasPrefix(e.Name(), GroupPrefix) || !cgroup.Ours(dir) {
				continue
			}
			if k.inUse(id, dir) {
				continue
			}
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			if err := cgroup.End(ctx, dir); err != nil {
				k.log.Warn("cgroup of a command stays for now", logging.Container, id, logging.Reason, err)
			}
			cancel()
		}
	}
}

// inUse tells whether a command has a cgroup, or the next one shall. One that is kept for too long is not any more.
func (k *Groups) inUse(id wire.CTID, dir string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	g := k.mu.spares[id]
	if g == nil || g.Dir != dir {
		return k.mu.busy[dir]
	}
	if time.Since(g.used) < spareFor {
		return true
	}
	g.File.Close()
	delete(k.mu.spares, id)
	return false
}
