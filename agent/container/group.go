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

// groupPrefix begins the names of commands' cgroups.
const groupPrefix = "hn-exec-"

// commandOOMAdjust makes the kernel choose a command before any other process of a container (proc_pid_oom_score_adj(5)).
const commandOOMAdjust = 1000

// group is the cgroup of one command.
type group struct {
	r   *Runtime
	dir string
	f   *os.File
}

// makeGroup makes a cgroup for a command in a running container.
func (r *Runtime) makeGroup(id wire.CTID, p host.Profile) (*group, error) {
	parent := r.cgroup(id)
	if p == host.ProfileSystem {
		parent = filepath.Join(parent, "p")
	}
	var name [8]byte
	rand.Read(name[:])
	g := &group{r: r, dir: filepath.Join(parent, groupPrefix+hex.EncodeToString(name[:]))}
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
	err = os.WriteFile(filepath.Join(g.dir, "memory.oom.group"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		err = nil // below p there is the memory controller once systemd has enabled it
	}
	if err == nil {
		g.f, err = sys.OpenDir(g.dir)
	}
	if err != nil {
		g.end(context.Background(), 0)
		return nil, fmt.Errorf("make a cgroup for the command: %w", err)
	}
	return g, nil
}

func (g *group) forget() {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	delete(g.r.mu.groups, g.dir)
}

// endsWithinGroup is how long killed processes may take to be gone; what is left then is left to sweep.
const endsWithinGroup = 10 * time.Second

// end waits up to grace for the processes to end by themselves, then kills what is left and removes the cgroup. It tells how many it had to
// kill.
func (g *group) end(ctx context.Context, grace time.Duration) (left int) {
	if g.f != nil {
		defer g.f.Close()
	}
	defer g.forget()
	for until := time.Now().Add(grace); ; {
		if n, err := populated(g.dir); err != nil || !n {
			if err == nil && unix.Rmdir(g.dir) == nil {
				return 0 // as nearly always
			}
			break
		}
		if time.Now().After(until) || !run.Wait(ctx, 5*time.Millisecond) {
			left = processes(g.dir)
			break
		}
	}
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
			r.mu.Lock()
			inUse := r.mu.groups[dir]
			r.mu.Unlock()
			if inUse {
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

// ours tells whether the host made a cgroup: a container may make some too, with any name.
func ours(dir string) bool {
	st, err := os.Lstat(dir)
	if err != nil {
		return false
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0
}
