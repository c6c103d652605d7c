package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/oom"
	"hardnode.dev/internal/wire"
)

// OOM is what the kernel ended of a container for want of memory. All is zero when there was nothing.
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

// outOfMemory is the OOM of a container that the spawner knows; kills are the kernel's.
func (r *Runtime) outOfMemory(o Observed, kills []oom.Kill) OOM {
	dir := r.cgroup(o.CTID)
	out := OOM{Kills: readInt(dir, "memory.events", "oom_kill")}
	for _, k := range kills {
		at := bootedAt().Add(k.Since)
		before := at.Before(o.Started.Add(-time.Second)) // by ids alone it may be another's, who had the range
		if k.With || !r.isOf(k, o) || before && (k.Cgroup == "" || time.Since(at) > oomKept) {
			continue
		}
		if time.Since(at) <= oomKept {
			out.Times++
		}
		out.At, out.Process, out.Bytes, out.Command = at, k.Name, k.Bytes, k.Adjust == commandOOMAdjust
		out.Limit = r.limitOf(k, o.CTID)
	}
	if out.Kills > 0 && out.Process == "" {
		out.Limit = readInt(dir, "memory.max", "")
	}
	return out
}

// isOf tells whether a kill met a container: the ids of its range say so, and its cgroup if the kernel named it. (The other end of a
// cgroup's name may be the container's own words.)
func (r *Runtime) isOf(k oom.Kill, o Observed) bool {
	block := int64(k.UID)>>16 - int64(o.UIDBase)>>16
	if o.UIDBase == 0 || block < 0 || block > int64(len(o.Spec.Image.IDBlocks)) {
		return false
	}
	return k.Cgroup == "" || strings.HasPrefix(k.Cgroup, r.kernelPath(r.cgroup(o.CTID))+"/")
}

// kernelPath is a cgroup's directory as the kernel names it.
func (r *Runtime) kernelPath(dir string) string {
	return strings.TrimPrefix(dir, filepath.Dir(r.opts.Cgroup))
}

// limitOf is the limit that was met, in bytes: the container's unless it has set itself a lower one.
func (r *Runtime) limitOf(k oom.Kill, id wire.CTID) int64 {
	all := readInt(r.cgroup(id), "memory.max", "")
	if !strings.HasPrefix(k.Limit, r.kernelPath(r.cgroup(id))+"/") {
		return all
	}
	dir := filepath.Join(filepath.Dir(r.opts.Cgroup), k.Limit)
	if own := readInt(dir, "memory.max", ""); own > 0 && strings.HasPrefix(dir, r.cgroup(id)+"/") {
		return own
	}
	return all
}

// outOfMemoryIn is the last kill in the cgroup of one command that ran from began on. A system container whose PID 1 does not divide its
// cgroup has no memory controller there: what was killed is known by its being a command then, if this one was killed.
func (r *Runtime) outOfMemoryIn(g *group, rec record, began time.Time, code int) OOM {
	id := rec.Container.CTID
	out := OOM{Kills: g.outOfMemory()}
	shared := false
	if out.Kills == 0 && code == 128+int(unix.SIGKILL) {
		_, err := os.Stat(filepath.Join(g.dir, "memory.events"))
		shared = err != nil
	}
	if out.Kills == 0 && !shared {
		return out
	}
	for _, k := range r.oom.Kills() {
		mine := k.Cgroup == r.kernelPath(g.dir) && k.Since > g.told
		if shared && r.isOf(k, Observed{CTID: id, UIDBase: rec.UIDBase, Spec: rec.Container}) {
			mine = k.Adjust == commandOOMAdjust && bootedAt().Add(k.Since).After(began.Add(-100*time.Millisecond))
		}
		if mine && !k.With {
			g.told = k.Since
			out = OOM{Kills: max(out.Kills, 1), Process: k.Name, Command: true, Bytes: k.Bytes, Limit: r.limitOf(k, id)}
		}
	}
	if out.Kills > 0 && out.Process == "" {
		out.Limit = readInt(r.cgroup(id), "memory.max", "")
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

// openOOM opens the kernel's log; without it kills are counted and not explained.
func openOOM(o *Options) *oom.Log {
	l, err := oom.Open(o.Kmsg)
	if err != nil && o.Log != nil && !os.IsNotExist(err) {
		o.Log.Warn("what runs out of memory is counted, not named", "err", err)
	}
	return l
}
