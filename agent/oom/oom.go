// Package oom reads from the kernel's log which processes were killed because memory ran out.
//
// Owns: the form of the kernel's lines (mm/oom_kill.c, Linux 6.12), the last kills.
// In: records of the kernel's log.
// Out: Kill values, oldest first.
// Never: believes a line that the kernel did not write, waits for one, or keeps more than Keep kills.
package oom

import (
	"slices"
	"sync"
	"time"

	"hardnode.dev/agent/kmsg"
)

// Keep is how many kills are kept.
const Keep = 256

// Kill is one process that the kernel ended.
type Kill struct {
	Since time.Duration // from the start of the kernel to the kill
	PID   int           // as the host sees it
	Name  string        // up to 15 bytes of the process's own choosing; the log shows others than printable ones as \xNN
	UID   uint32        // as the host sees it
	// Adjust is its oom_score_adj, -1000 to 1000: whoever has 1000 goes first.
	Adjust int
	Bytes  int64 // what it had in memory, its share of common pages included
	// Cgroup is where it was and Limit the one whose limit was met, as paths from the top of the hierarchy. Limit is empty when the whole
	// machine was short. Both are empty when the kernel, which bounds its own words, left them out.
	Cgroup, Limit string
	With          bool // it had to go with another one of its cgroup (memory.oom.group)
}

// Log is a place in the kernel's log. Its methods may be called concurrently.
type Log struct {
	mu struct {
		sync.Mutex
		log    *kmsg.Log // nil: there is none
		choice choice
		kills  []Kill
	}
}

// Open begins at the oldest record that the kernel still has. Without the log there are no kills to tell of: the error is for the log of
// the caller.
func Open(path string) (*Log, error) {
	l := &Log{}
	var err error
	l.mu.log, err = kmsg.Open(path)
	return l, err
}

// again: within this time a second kill of the same number is the same process, named twice.
const again = 5 * time.Second

// Kills reads what is new and gives the kept kills.
func (l *Log) Kills() []Kill {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.log != nil {
		l.mu.log.Each(l.record) // on an error there are no new ones
	}
	return slices.Clone(l.mu.kills)
}

// record takes one record in; the lock is held.
func (l *Log) record(r kmsg.Record) {
	if r.Facility != 0 {
		return // not the kernel's words
	}
	if c, ok := chosen(r.Text); ok {
		l.mu.choice = c
		return
	}
	k, ok := killed(r.Text)
	if !ok {
		return
	}
	k.Since = r.Since
	if slices.ContainsFunc(l.mu.kills, func(o Kill) bool { return o.PID == k.PID && k.Since-o.Since < again }) {
		return // with memory.oom.group the chosen process is named a second time, among the others of its cgroup
	}
	c := l.mu.choice
	switch {
	case c.pid == k.PID:
		k.Cgroup, k.Limit = c.cgroup, c.limit
	case len(l.mu.kills) > 0:
		// The others of its cgroup are killed in the same moment as the chosen one, under the same lock.
		last := l.mu.kills[len(l.mu.kills)-1]
		k.With = last.Cgroup != "" && c.cgroup == last.Cgroup && k.Since-last.Since < 100*time.Millisecond && k.UID>>16 == last.UID>>16
		if k.With {
			k.Cgroup, k.Limit = last.Cgroup, last.Limit
		}
	}
	l.mu.kills = append(l.mu.kills, k)
	if n := len(l.mu.kills) - Keep; n > 0 {
		l.mu.kills = slices.Delete(l.mu.kills, 0, n)
	}
}
