// Package load keeps each container's load averages.
//
// Owns: the means of how many of a container's tasks want to run, over 1, 5 and 15 minutes, as the kernel has them of a whole machine.
// In: the cgroups of all containers and the states of their tasks in /proc; who is asked about.
// Out: a render.Load for whoever asks.
// Never: looks at the tasks of a container that used no CPU since the last time, or at more than a bounded number.
//
// The kernel counts, each 5 seconds, the tasks that run, wait for a CPU or wait for a disk (kernel/sched/loadavg.c). So does this, of those
// containers that somebody has asked about lately. Each look at hundreds of others would cost, so once a minute these are taken to have had
// as many tasks at work as the processor time that they used since then filled. What is kept is lost with the process: means begin anew
// with what runs then.
package load

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"hardnode.dev/agent/procview/render"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// every is how often the tasks of a container are counted that somebody has asked about within the last asked; the others are looked at
// once a rest.
const (
	every = 5 * time.Second
	rest  = time.Minute
	asked = 5 * time.Minute
)

// Bounds of one look.
const (
	maxTasks  = 1000 // of one container; the rest is taken to be like these
	maxGroups = 200  // cgroups of one container
)

// idle is the CPU time per look below which a container has nothing that wants to run.
const idle = 5 * time.Millisecond

// Table is what is kept of all containers. Make one with New.
type Table struct {
	cgroup, proc string
	whole        time.Time // of the last look at all; Run's alone

	mu struct {
		sync.Mutex
		all map[wire.CTID]*kept
	}
}

// kept is what is kept of one container.
type kept struct {
	mean             [3]float64
	running, blocked int
	used             time.Duration
	at               time.Time // of the last count
	asked            time.Time // when somebody wanted to know
	counted          bool
}

// New makes a Table of the containers whose cgroups are in cgroup, with processes in proc.
func New(cgroup, proc string) *Table {
	t := &Table{cgroup: cgroup, proc: proc}
	t.mu.all = map[wire.CTID]*kept{}
	return t
}

// Run counts until ctx ends: a task.
func (t *Table) Run(ctx context.Context) error {
	return run.Every(ctx, every, func(context.Context) error { t.look(time.Now()); return nil })
}

// Of is the load of a container now; tasks is how many it has.
func (t *Table) Of(id wire.CTID, tasks int) render.Load { return t.of(id, tasks, time.Now()) }

func (t *Table) of(id wire.CTID, tasks int, now time.Time) render.Load {
	t.mu.Lock()
	k := t.mu.all[id]
	if k == nil { // the next look counts it
		k = &kept{at: now}
		t.mu.all[id] = k
	}
	k.asked = now
	old := k.counted && now.Sub(k.at) >= 2*every
	t.mu.Unlock()
	if old {
		t.count(id, now, false) // looking at its tasks may take long: the next look does
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return render.Load{Mean: k.mean, Running: k.running, Blocked: k.blocked, Tasks: tasks}
}

// look counts once: those that somebody has asked about, and all when it is time.
func (t *Table) look(now time.Time) {
	if now.Sub(t.whole) < rest {
		for _, id := range t.watched(now) {
			t.count(id, now, true)
		}
		return
	}
	t.whole = now
	entries, err := os.ReadDir(t.cgroup)
	if err != nil {
		return // no container was ever started
	}
	there := map[wire.CTID]bool{}
	for _, e := range entries {
		if id, ok := ID(e.Name()); ok && e.IsDir() {
			there[id] = true
			t.count(id, now, true)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.mu.all {
		if !there[id] {
			delete(t.mu.all, id)
		}
	}
}

// watched are those that somebody has asked about lately.
func (t *Table) watched(now time.Time) (list []wire.CTID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.mu.all {
		if now.Sub(k.asked) < asked {
			list = append(list, id)
		}
	}
	return list
}

// count brings the means of one container up to now, and counts its tasks if states says so and it has used the processor.
func (t *Table) count(id wire.CTID, now time.Time, states bool) {
	dir := filepath.Join(t.cgroup, id.String())
	text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return // it has just gone
	}
	used := time.Duration(render.Flat(string(text))["usage_usec"]) * time.Microsecond
	t.mu.Lock()
	k := t.mu.all[id]
	if k == nil {
		k = &kept{}
		t.mu.all[id] = k
	}
	busy := used-k.used >= idle
	t.mu.Unlock()
	running, blocked := 0, 0
	if states && busy {
		running, blocked = t.tasks(dir)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.After(k.at) && k.counted {
		return // somebody else was faster
	}
	over := now.Sub(k.at)
	filled := 0.0 // how many tasks that had to run all of the time
	if busy {
		filled = max(0, (used-k.used).Seconds()/over.Seconds())
	}
	if !states {
		running = int(math.Ceil(filled))
	}
	n := float64(running + blocked)
	for i := range k.mean {
		switch {
		case !k.counted:
			k.mean[i] = n
		case !states:
			k.mean[i] = next(k.mean[i], filled, over, i)
		default: // what was counted is of the last moments only
			last := min(over, every)
			k.mean[i] = next(next(k.mean[i], filled, over-last, i), n, last, i)
		}
	}
	k.running, k.blocked, k.used, k.at, k.counted = running, blocked, used, now, true
}

// minutes are what the three means are over.
var minutes = [3]float64{1, 5, 15}

// next is a mean after n tasks wanted to run for so long.
func next(mean, n float64, long time.Duration, which int) float64 {
	decay := math.Exp(-long.Minutes() / minutes[which])
	return mean*decay + n*(1-decay)
}

// tasks counts what wants to run in a cgroup and below it.
func (t *Table) tasks(dir string) (running, blocked int) {
	groups, seen := 0, 0
	filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		if groups++; groups > maxGroups || seen >= maxTasks {
			return filepath.SkipAll
		}
		list, err := os.ReadFile(filepath.Join(path, "cgroup.threads"))
		if err != nil {
			return nil // it has none of its own, or has just gone
		}
		for line := range strings.Lines(string(list)) {
			if seen++; seen > maxTasks {
				break
			}
			stat, err := os.ReadFile(filepath.Join(t.proc, strings.TrimSpace(line), "stat"))
			if err != nil {
				continue
			}
			switch State(string(stat)) {
			case 'R':
				running++
			case 'D':
				blocked++
			}
		}
		return nil
	})
	return running, blocked
}

// State is that of a task, by its /proc/PID/stat (proc_pid_stat(5)). Its name, in brackets before that, may hold anything.
func State(stat string) byte {
	at := strings.LastIndexByte(stat, ')')
	if at < 0 || at+2 >= len(stat) {
		return 0
	}
	return stat[at+2]
}

// ID reads a container's number as its cgroup has it.
func ID(name string) (wire.CTID, bool) {
	n, err := strconv.ParseInt(name, 10, 54)
	id := wire.CTID(n)
	return id, err == nil && n > 0 && id.String() == name
}
