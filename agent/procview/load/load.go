// Package load keeps each container's load averages.
//
// Owns: the means of how many of a container's tasks want to run, over 1, 5 and 15 minutes, as the kernel has them of a whole machine.
// In: the cgroups of all containers and the states of their tasks in /proc, each 5 seconds.
// Out: a render.Load for whoever asks.
// Never: looks at the tasks of a container that used no CPU since the last time, or at more than a bounded number.
//
// The kernel counts, each 5 seconds, the tasks that run, wait for a CPU or wait for a disk (kernel/sched/loadavg.c). So does this. What is
// kept is lost with the process: means begin anew with what runs then.
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

// every is how often tasks are counted.
const every = 5 * time.Second

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
	seen             bool // in this look
}

// New makes a Table of the containers whose cgroups are in cgroup, with processes in proc.
func New(cgroup, proc string) *Table {
	t := &Table{cgroup: cgroup, proc: proc}
	t.mu.all = map[wire.CTID]*kept{}
	return t
}

// Run counts until ctx ends: a task.
func (t *Table) Run(ctx context.Context) error {
	return run.Every(ctx, every, func(context.Context) error { t.look(); return nil })
}

// Of is the load of a container now; tasks is how many it has.
func (t *Table) Of(id wire.CTID, tasks int) render.Load {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.mu.all[id]
	if k == nil {
		return render.Load{Tasks: tasks}
	}
	return render.Load{Mean: k.mean, Running: k.running, Blocked: k.blocked, Tasks: tasks}
}

// look counts once.
func (t *Table) look() {
	entries, err := os.ReadDir(t.cgroup)
	if err != nil {
		return // no container was ever started
	}
	for _, e := range entries {
		if id, ok := ID(e.Name()); ok && e.IsDir() {
			t.count(id)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.mu.all {
		if !k.seen {
			delete(t.mu.all, id)
		}
		k.seen = false
	}
}

// count counts the tasks of one container.
func (t *Table) count(id wire.CTID) {
	dir := filepath.Join(t.cgroup, id.String())
	text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return // it has just gone
	}
	used := time.Duration(render.Flat(string(text))["usage_usec"]) * time.Microsecond
	t.mu.Lock()
	k := t.mu.all[id]
	first := k == nil
	if first {
		k = &kept{}
		t.mu.all[id] = k
	}
	k.seen = true
	busy := used-k.used >= idle
	k.used = used
	t.mu.Unlock()
	running, blocked := 0, 0
	if busy {
		running, blocked = t.tasks(dir)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k.running, k.blocked = running, blocked
	for i := range k.mean {
		if n := float64(running + blocked); first {
			k.mean[i] = n
		} else {
			k.mean[i] = next(k.mean[i], n, i)
		}
	}
}

// minutes are what the three means are over.
var minutes = [3]float64{1, 5, 15}

// next is a mean after one more count.
func next(mean, n float64, which int) float64 {
	decay := math.Exp(-every.Minutes() / minutes[which])
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
