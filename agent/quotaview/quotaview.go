// Package quotaview shows containers their disk quotas where df looks for the size of a file system: in what statfs(2) answers.
//
// Owns: the kernel's program that puts quotas into these answers, and its table.
// In: the file systems with a quota of all running containers, whole, as often as somebody looks at them.
// Out: f_blocks, f_bfree and f_bavail of statfs and fstatfs in containers; one warning if this kernel can't do that.
// Never: changes an answer outside a container or for a file system without a quota, or makes the caller wait.
package quotaview

import (
	"context"
	"log/slog"
	"sync"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/logging"
)

// Space is a file system with a quota in one container. All sizes are bytes.
type Space struct {
	Cgroup uint64 // id of the container's cgroup: its inode number
	FSID   uint64 // as statfs(2) names the file system
	Block  int64  // of the file system
	Limit  int64  // the quota; 0 is none
	Used   int64  // of it
}

// answer is what statfs says of it, in blocks; ok is false if that is the kernel's own answer. A quota has at least one block, since df
// leaves out what has none, and the free ones are whole.
func (s Space) answer() (a sys.StatfsAnswer, ok bool) {
	if s.Limit <= 0 || s.Block <= 0 {
		return a, false
	}
	left := s.Limit - min(max(s.Used, 0), s.Limit)
	return sys.StatfsAnswer{Blocks: uint64((s.Limit-1)/s.Block + 1), Free: uint64(left / s.Block)}, true
}

// answers is the table that shows all spaces.
func answers(all []Space) map[sys.StatfsKey]sys.StatfsAnswer {
	table := make(map[sys.StatfsKey]sys.StatfsAnswer, len(all))
	for _, s := range all {
		if a, ok := s.answer(); ok {
			table[sys.StatfsKey{Cgroup: s.Cgroup, FSID: s.FSID}] = a
		}
	}
	return table
}

// program is the kernel's program with its table.
type program interface {
	Set(sys.StatfsKey, sys.StatfsAnswer) error
	Drop(sys.StatfsKey) error
	Close()
}

// View is what containers are shown. Its methods may be called at once.
type View struct {
	log    *slog.Logger
	attach func() (program, error)
	look   chan struct{}

	mu struct {
		sync.Mutex
		want map[sys.StatfsKey]sys.StatfsAnswer
	}
}

// New makes a View for containers whose cgroups are level below the root of the cgroup tree (1: its children). Run carries it out.
func New(level int, log *slog.Logger) *View {
	return &View{log: logging.Or(log), look: make(chan struct{}, 1), attach: func() (program, error) { return sys.AttachStatfs(level) }}
}

// Show takes the spaces of all containers that run, in place of those that it took before.
func (v *View) Show(all []Space) {
	want := answers(all)
	v.mu.Lock()
	v.mu.want = want
	v.mu.Unlock()
	select {
	case v.look <- struct{}{}:
	default:
	}
}

func (v *View) wanted() map[sys.StatfsKey]sys.StatfsAnswer {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.want
}

// Run keeps the kernel's table as Show wants it, until ctx ends: a task. The program is loaded for the first container that has a quota;
// when Run ends, or this process does, containers get the kernel's answers again.
func (v *View) Run(ctx context.Context) error {
	t := table{has: map[sys.StatfsKey]sys.StatfsAnswer{}, log: v.log}
	for {
		select {
		case <-ctx.Done():
			if t.program != nil {
				t.program.Close()
			}
			return nil
		case <-v.look:
		}
		want := v.wanted()
		if t.program == nil {
			if len(want) == 0 {
				continue
			}
			var err error
			if t.program, err = v.attach(); err != nil {
				v.log.Warn("df in containers shows the host's disk; their quotas count all the same", logging.Err, err)
				<-ctx.Done()
				return nil
			}
		}
		t.settle(want)
	}
}

// table is the program's table as this package knows it.
type table struct {
	program program
	has     map[sys.StatfsKey]sys.StatfsAnswer
	log     *slog.Logger
	failing bool // and that was said
}

// settle changes what is not as it is wanted. What fails is tried again the next time.
func (t *table) settle(want map[sys.StatfsKey]sys.StatfsAnswer) {
	var failed error
	for k := range t.has {
		if _, ok := want[k]; ok {
			continue
		}
		if err := t.program.Drop(k); err != nil {
			failed = err
			continue
		}
		delete(t.has, k)
	}
	for k, a := range want {
		if had, ok := t.has[k]; ok && had == a {
			continue
		}
		if err := t.program.Set(k, a); err != nil {
			failed = err
			continue
		}
		t.has[k] = a
	}
	if failed != nil && !t.failing {
		t.log.Warn("df in some containers shows older figures", logging.Err, failed)
	}
	t.failing = failed != nil
}
