// Package shortage tells what the kernel ended in containers because memory ran out.
//
// Owns: which kill belongs to which container or command, and how it is said.
// In: the kernel's log (agent/oom), the counters of cgroups.
// Out: an OOM for each container, and for each command.
// Never: kills anything, or takes the words of a container's own cgroup names for the kernel's.
package shortage

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/container/profile"
	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/oom"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
)

// OOM is what the kernel ended of a container because memory ran out. All is zero when there was nothing.
type OOM struct {
	Kills   int64     // processes since it was started, commands of Exec included
	Times   int64     // how often in the last oomKept, starts in between or not, as far as the kernel's log tells
	At      time.Time // of the last time; zero when the kernel's log does not have it any more
	Process string    // its name, as oom.Kill has it
	Command bool      // it was a command of Exec, not the container's own
	Bytes   int64     // what it used
	Limit   int64     // what was allowed, in bytes; 0 when it is not known, or the whole host was short
}

// oomKept is how long what happened counts although the container was started again.
const oomKept = time.Hour

// String says what happened to the last one.
func (o OOM) String() string {
	if o.Kills == 0 && o.Times == 0 {
		return ""
	}
	if o.Process == "" {
		return "out of memory" + of(" (limit %s)", o.Limit)
	}
	what := "process " + o.Process
	if o.Command {
		what += " of a command"
	}
	return fmt.Sprintf("out of memory: %s used %d MiB%s", what, (o.Bytes+1<<19)>>20, of(" of %s", o.Limit))
}

func of(format string, limit int64) string {
	if limit <= 0 {
		return ""
	}
	return fmt.Sprintf(format, strconv.FormatInt(limit>>20, 10)+" MiB")
}

// Watch tells what the kernel ended in the containers below one cgroup.
type Watch struct {
	log    *oom.Log // the kernel's; one that can't be opened has no kills: they are counted and not explained
	parent string   // cgroup of all containers
}

// Who is a container as the kernel's log knows it.
type Who struct {
	CTID    wire.CTID
	IDs     call.IDs  // of its users on the host; Base 0: not known
	Started time.Time // last
}

func (s *Watch) cgroup(id wire.CTID) string { return filepath.Join(s.parent, id.String()) }

// Kills are what the kernel's log holds, oldest first.
func (s *Watch) Kills() []oom.Kill { return s.log.Kills() }

// Of is the OOM of a container that the spawner knows; kills are the kernel's.
func (s *Watch) Of(o Who, kills []oom.Kill) OOM {
	dir := s.cgroup(o.CTID)
	out := OOM{Kills: cgroup.ReadInt(dir, "memory.events", "oom_kill")}
	for _, k := range kills {
		at := bootedAt().Add(k.Since)
		before := at.Before(o.Started.Add(-time.Second)) // by ids alone it may be another's, who had the range
		if k.With || !s.isOf(k, o) || before && (k.Cgroup == "" || time.Since(at) > oomKept) {
			continue
		}
		if time.Since(at) <= oomKept {
			out.Times++
		}
		out.At, out.Process, out.Bytes, out.Command = at, k.Name, k.Bytes, k.Adjust == profile.CommandOOMAdjust
		out.Limit = s.limitOf(k, o.CTID)
	}
	if out.Kills > 0 && out.Process == "" {
		out.Limit = cgroup.ReadInt(dir, "memory.max", "")
	}
	return out
}

// isOf tells whether a kill met a container: the ids of its range say so, and its cgroup if the kernel named it. (The other end of a
// cgroup's name may be the container's own words.)
func (s *Watch) isOf(k oom.Kill, o Who) bool {
	block := int64(k.UID)>>16 - int64(o.IDs.Base)>>16
	if o.IDs.Base == 0 || block < 0 || block > int64(len(o.IDs.Blocks)) {
		return false
	}
	return k.Cgroup == "" || strings.HasPrefix(k.Cgroup, s.kernelPath(s.cgroup(o.CTID))+"/")
}

// kernelPath is a cgroup's directory as the kernel names it.
func (s *Watch) kernelPath(dir string) string {
	return strings.TrimPrefix(dir, filepath.Dir(s.parent))
}

// limitOf is the limit that was met, in bytes: the container's unless it has set itself a lower one.
func (s *Watch) limitOf(k oom.Kill, id wire.CTID) int64 {
	all := cgroup.ReadInt(s.cgroup(id), "memory.max", "")
	if !strings.HasPrefix(k.Limit, s.kernelPath(s.cgroup(id))+"/") {
		return all
	}
	dir := filepath.Join(filepath.Dir(s.parent), k.Limit)
	if own := cgroup.ReadInt(dir, "memory.max", ""); own > 0 && strings.HasPrefix(dir, s.cgroup(id)+"/") {
		return own
	}
	return all
}

// In is the last kill in the cgroup of one command that ran from began on. A system container whose PID 1 does not divide its
// cgroup has no memory controller there: what was killed is known by its being a command then, if this one was killed.
func (s *Watch) In(g *command.Group, rec record.Record, began time.Time, code int) OOM {
	id := rec.Container.CTID
	out := OOM{Kills: g.OutOfMemory()}
	shared := false
	if out.Kills == 0 && code == 128+int(unix.SIGKILL) {
		_, err := os.Stat(filepath.Join(g.Dir, "memory.events"))
		shared = err != nil
	}
	if out.Kills == 0 && !shared {
		return out
	}
	for _, k := range s.Kills() {
		mine := k.Cgroup == s.kernelPath(g.Dir) && k.Since > g.Told
		if shared && s.isOf(k, Who{CTID: id, IDs: call.IDs{Base: rec.UIDBase, Blocks: rec.Container.Image.IDBlocks}}) {
			mine = k.Adjust == profile.CommandOOMAdjust && bootedAt().Add(k.Since).After(began.Add(-100*time.Millisecond))
		}
		if mine && !k.With {
			g.Told = k.Since
			out = OOM{Kills: max(out.Kills, 1), Process: k.Name, Command: true, Bytes: k.Bytes, Limit: s.limitOf(k, id)}
		}
	}
	if out.Kills > 0 && out.Process == "" {
		out.Limit = cgroup.ReadInt(s.cgroup(id), "memory.max", "")
	}
	return out
}

// bootedAt is when the kernel's log began to count, by the clock as it is set now.
func bootedAt() time.Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(ts.Nano()))
}

// Open opens the kernel's log at kmsg, a path; without it kills are counted and not explained. parent is the cgroup of all containers.
func Open(kmsg, parent string, log *slog.Logger) *Watch {
	l, err := oom.Open(kmsg)
	if err != nil && !os.IsNotExist(err) {
		log.Warn("what runs out of memory is counted, not named", logging.Err, err)
	}
	return &Watch{log: l, parent: parent}
}
