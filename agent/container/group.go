package container

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// A command that Exec starts has a cgroup of its own, for it and all it starts. It ends with the session, whatever has become of its
// processes, and when memory is short it goes before the container's own program (memory.oom.group, commandOOMAdjust).
//
//	<ctid>/hn-exec-<n>     profile app: beside p, which may have no cgroups below it; the limits are those of <ctid>
//	<ctid>/p/hn-exec-<n>   profile system: below p, so that systemd may take a command over into a unit (systemd-run --scope, logind)
//
// In profile app, where nobody but this host can change it, one that is empty when its command ends is kept for the container's next
// command: to make and remove a cgroup costs a good part of what a short command takes.

// groupPrefix begins the names of commands' cgroups.
const groupPrefix = "hn-exec-"

// commandOOMAdjust makes the kernel choose a command before any other process of a container (proc_pid_oom_score_adj(5)).
const commandOOMAdjust = 1000

// group is the cgroup of one command.
type group struct {
	r     *Runtime
	id    wire.CTID
	rec   record // of the container, when the cgroup was made
	dir   string
	f     *os.File
	again bool          // another command may have it
	used  time.Time     // when it was kept
	kills int64         // for want of memory, as counted after the last command
	told  time.Duration // oom.Kill.Since of the last one that was told of
}

// makeGroup makes a cgroup for a command in a container that runs.
func (r *Runtime) makeGroup(id wire.CTID, rec record) (*group, error) {
	parent, system := r.cgroup(id), rec.Container.Profile == host.ProfileSystem
	if system {
		parent = filepath.Join(parent, "p")
	}
	var name [8]byte
	rand.Read(name[:])
	g := &group{r: r, id: id, rec: rec, dir: filepath.Join(parent, groupPrefix+hex.EncodeToString(name[:])), again: !system}
	r.mu.Lock()
	r.mu.groups[g.dir] = true
	r.mu.Unlock()
	err := os.Mkdir(g.dir, 0o755)
	if gone(err) {
		err = ErrNotRunning
	} else if errors.Is(err, unix.EAGAIN) { // cgroup.max.descendants
		err = errors.New("its system has made as many cgroups as a container may have; end some of its units")
	}
	if err != nil {
		g.forget()
		return nil, fmt.Errorf("make a cgroup for the command: %w", err)
	}
	err = set(filepath.Join(g.dir, "memory.oom.group"), "1")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = nil // below p there is the memory controller once systemd has enabled it
	}
	if err == nil {
		g.f, err = sys.OpenDir(g.dir)
	}
	if err != nil {
		g.end(context.Background(), false)
		return nil, fmt.Errorf("make a cgroup for the command: %w", err)
	}
	return g, nil
}

// spareFor is how long a cgroup is kept that no command has used, until the next look at the container.
const spareFor = 10 * time.Second

// takeSpare is the cgroup that is kept for a command of a container, or nil.
func (r *Runtime) takeSpare(id wire.CTID) *group {
	r.mu.Lock()
	g := r.mu.spares[id]
	if g != nil {
		delete(r.mu.spares, id)
		r.mu.groups[g.dir] = true
	}
	r.mu.Unlock()
	if g != nil && !g.there() {
		g.forget()
		return nil
	}
	return g
}

// keep makes an empty cgroup the one that is kept, unless there is one.
func (g *group) keep() bool {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	// Whoever removes the container's cgroups calls dropSpare afterwards, which waits for this lock: a removed one is never left among them.
	if !g.again || g.r.mu.spares[g.id] != nil || !g.there() {
		return false
	}
	g.used, g.r.mu.spares[g.id] = time.Now(), g
	delete(g.r.mu.groups, g.dir)
	return true
}

// dropSpare forgets the cgroup that is kept for a container whose cgroups are gone.
func (r *Runtime) dropSpare(id wire.CTID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.mu.spares[id]; g != nil {
		g.f.Close()
		delete(r.mu.spares, id)
	}
}

// there tells whether the cgroup has not been removed.
func (g *group) there() bool {
	var st unix.Stat_t
	return unix.Fstatat(int(g.f.Fd()), "cgroup.procs", &st, 0) == nil
}

// forget lets go of a cgroup that no command runs in any more.
func (g *group) forget() {
	if g.f != nil {
		g.f.Close()
	}
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	delete(g.r.mu.groups, g.dir)
}

// endsWithinGroup is how long killed processes may take to be gone; what is left then is left to sweep.
const endsWithinGroup = 10 * time.Second

// await waits up to grace for the processes to end by themselves, and tells whether all have.
func (g *group) await(ctx context.Context, grace time.Duration) (empty bool) {
	for until := time.Now().Add(grace); ; {
		events, err := readIn(g.f, "cgroup.events")
		if err != nil || !strings.Contains(events, "populated 1") {
			return err == nil
		}
		if time.Now().After(until) || !run.Wait(ctx, 5*time.Millisecond) {
			return false
		}
	}
}

// outOfMemory is how many processes were killed for want of memory since the command began.
func (g *group) outOfMemory() int64 {
	events, err := readIn(g.f, "memory.events")
	if err != nil {
		return 0
	}
	n := number(events, "oom_kill")
	defer func() { g.kills = n }()
	return n - g.kills
}

// end keeps an empty cgroup for the next command, or kills what is left in it and removes it. It tells how many it had to kill.
func (g *group) end(ctx context.Context, empty bool) (left int) {
	if empty && g.keep() {
		return 0
	}
	defer g.forget()
	if empty && unix.Rmdir(g.dir) == nil {
		return 0
	}
	left = processes(g.dir)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endsWithinGroup)
	defer cancel()
	if err := drop(ctx, g.dir); err != nil {
		g.r.log.Warn("cgroup of a command stays for now", logging.Reason, err)
	}
	return left
}

// drop ends what is in a command's cgroup and removes it.
func drop(ctx context.Context, dir string) error {
	for wait := time.Millisecond; ; wait = min(2*wait, time.Second) {
		if n, err := populated(dir); err != nil || n {
			if err := killAll(ctx, dir); err != nil {
				return err
			}
		}
		err := dropCgroup(dir)
		if !errors.Is(err, unix.EBUSY) || !run.Wait(ctx, wait) {
			return err
		}
	}
}

// processes counts those in a cgroup; what is below it belongs to nobody but the command.
func processes(dir string) (n int) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return 0
	}
	return strings.Count(string(b), "\n")
}

// sweep removes cgroups of commands whose agent is gone. The spawner has ended their processes.
func (r *Runtime) sweep(ctx context.Context, id wire.CTID) {
	for _, parent := range []string{r.cgroup(id), filepath.Join(r.cgroup(id), "p")} {
		entries, err := os.ReadDir(parent)
		if err != nil {
			continue
		}
		for _, e := range entries {
			dir := filepath.Join(parent, e.Name())
			if !e.IsDir() || !strings.HasPrefix(e.Name(), groupPrefix) || !ours(dir) {
				continue
			}
			if r.inUse(id, dir) {
				continue
			}
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			if err := drop(ctx, dir); err != nil {
				r.log.Warn("cgroup of a command stays for now", logging.Container, id, logging.Reason, err)
			}
			cancel()
		}
	}
}

// inUse tells whether a command has a cgroup, or the next one shall. One that is kept for too long is not any more.
func (r *Runtime) inUse(id wire.CTID, dir string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.mu.spares[id]
	if g == nil || g.dir != dir {
		return r.mu.groups[dir]
	}
	if time.Since(g.used) < spareFor {
		return true
	}
	g.f.Close()
	delete(r.mu.spares, id)
	return false
}

// ours tells whether the host made a cgroup: a container may make some too, with any name.
func ours(dir string) bool {
	st, err := os.Lstat(dir)
	if err != nil {
		return false
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0
}
