//go:build guest

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// What a command started by exec takes with it, and what it leaves.

// alive counts the processes on this machine whose command line contains text.
func alive(text string) (n int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range dirs {
		if b, _ := os.ReadFile(f); strings.Contains(strings.ReplaceAll(string(b), "\x00", " "), text) {
			n++
		}
	}
	return n
}

// groupsOf lists what is left of commands in a container's cgroups.
func groupsOf(id wire.CTID) []string {
	var list []string
	for _, p := range []string{"*", "p/*"} {
		all, _ := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/ct/%s/%s", id, p))
		for _, d := range all {
			if st, err := os.Stat(d); err == nil && st.IsDir() && filepath.Base(d) != "p" {
				list = append(list, d)
			}
		}
	}
	return list
}

// soon waits until want holds.
func soon(t testing.TB, what string, want func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !want(); {
		if time.Now().After(end) {
			t.Errorf("20 s later: not yet so: %s", what)
			return
		}
		run.Wait(context.Background(), 50*time.Millisecond)
	}
}

// TestCommandOutOfMemory: a command that takes more memory than the container has ends alone; its client is told why.
func TestCommandOutOfMemory(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(420 + i)
		s := box(t, id, "echo ready; while :; do sleep 1; done")
		s.Profile, s.Limits.MemoryMax = p, 32<<20
		o := mustStart(t, r, s)
		waitLog(t, r, id, "ready")
		commands := [][]string{
			{"sh", "-c", "dd if=/dev/zero of=/dev/null bs=50M count=1; exit $?"},
			{"dd", "if=/dev/zero", "of=/dev/null", "bs=50M", "count=1"},
			{"tail", "/dev/zero"},
		}
		for _, argv := range commands {
			e, err := r.Exec(deadline(t), id, host.ExecSpec{Argv: argv}, command.Stdio{})
			if err != nil || e.Code != 137 {
				t.Errorf("profile %s: %q: %+v %v, want 137", p, argv, e, err)
			}
			for _, word := range []string{"out of memory: process ", " of a command used ", "MiB of 32 MiB"} {
				if !strings.Contains(e.Note, word) {
					t.Errorf("profile %s: %q: the note %q does not say %q", p, argv, e.Note, word)
				}
			}
		}
		all, err := r.Observe(deadline(t))
		if err != nil || len(all) != 1 || all[0].State != StateRunning || all[0].PID != o.PID {
			t.Errorf("profile %s: the service after its commands: %+v %v", p, all, err)
		}
		if got, code := sh(t, r, id, "cat /proc/self/oom_score_adj"); got != "1000" || code != 0 {
			t.Errorf("profile %s: a command's OOM score is raised by %q, want 1000: it goes first", p, got)
		}
		if err := r.Remove(deadline(t), id, false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSessionEndsWhole: nothing of a command goes on when its client is gone, or when it has ended itself.
func TestSessionEndsWhole(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	const family = "(sleep 7991; true) & (setsid sh -c 'sleep 7992; true' &) ; trap '' TERM HUP INT; echo up; "
	for i, p := range profiles {
		id := wire.CTID(424 + i)
		s := box(t, id, forever)
		s.Profile = p
		mustStart(t, r, s)
		soon(t, "the service and its shell run", func() bool { return alive("sleep 1000") == 2 })
		before := worldOf(t)
		for name, tty := range map[string]bool{"pipes": false, "terminal": true} {
			ctx, cancel := context.WithCancel(context.Background())
			var out watched
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				r.Exec(ctx, id, host.ExecSpec{Argv: []string{"sh", "-c", family + "while :; do sleep 7993; done"}, TTY: tty},
					command.Stdio{Out: &out})
			}()
			out.wait("up")
			soon(t, name+": all of the command runs", func() bool { return alive("sleep 799") >= 3 })
			cancel()
			<-ended
			soon(t, fmt.Sprintf("profile %s, %s: a command whose client is gone leaves no process", p, name), func() bool {
				return alive("sleep 799") == 0
			})
			before.compare(t, fmt.Sprintf("profile %s, %s: a command whose client is gone", p, name))
		}
		began := time.Now()
		e, err := r.Exec(deadline(t), id, host.ExecSpec{Argv: []string{"sh", "-c", family + "exit 6"}}, command.Stdio{})
		if err != nil || e.Code != 6 {
			t.Errorf("profile %s: a command that leaves children: %+v %v", p, e, err)
		}
		if !strings.Contains(e.Note, "left behind") {
			t.Errorf("profile %s: what is said of children left behind: %q", p, e.Note)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("profile %s: the end took %s", p, took)
		}
		if n := alive("sleep 799"); n != 0 {
			t.Errorf("profile %s: %d processes go on after their command's session", p, n)
		}
		before.compare(t, fmt.Sprintf("profile %s: a command that leaves children", p))
		if got, code := sh(t, r, id, "echo quiet; (sleep 0.1; echo late > /srv/late) > /dev/null 2>&1 & "); got != "quiet" || code != 0 {
			t.Errorf("profile %s: %q %d", p, got, code)
		}
		if got, _ := sh(t, r, id, "cat /srv/late"); got != "late" {
			t.Errorf("profile %s: a child had no time to end by itself: %q", p, got)
		}
		most := 0
		if p == host.ProfileApp {
			most = 1 // kept for the next command
		}
		if list := groupsOf(id); len(list) > most ||
			slices.ContainsFunc(list, func(d string) bool { n, err := cgroup.Populated(d); return n || err != nil }) {
			t.Errorf("profile %s: cgroups are left: %q", p, list)
		}
		if err := r.Remove(deadline(t), id, false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCommandsLimitsAreSeen: a runtime that is started by exec finds the container's limits where its own cgroup is said to be.
func TestCommandsLimitsAreSeen(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 428, forever))
	if got, _ := sh(t, r, 428,
		"cat /proc/self/cgroup; cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.max"); got != "0::/\n134217728" {
		t.Errorf("a command sees %q, want the container's cgroup as the top and its limit", got)
	}
	if got, code := sh(t, r, 428,
		"for d in /sys/fs/cgroup/.. /sys/fs/cgroup; do echo 0 > $d/cgroup.procs && echo moved; done; mkdir /sys/fs/cgroup/x"); code == 0 {
		t.Errorf("a command changes its cgroup: %q", got)
	}
}

// TestCommandAfterCommand: commands one after the other have the same cgroup, those at once have one each, and what one did is not said of
// the next.
func TestCommandAfterCommand(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 429, forever)
	s.Limits.MemoryMax = 32 << 20
	o := mustStart(t, r, s)
	soon(t, "the service and its shell run", func() bool { return alive("sleep 1000") == 2 })
	before := worldOf(t)
	do := func(argv ...string) host.Exit {
		t.Helper()
		e, err := r.Exec(deadline(t), 429, host.ExecSpec{Argv: argv}, command.Stdio{})
		if err != nil {
			t.Fatalf("%q: %v", argv, err)
		}
		return e
	}
	do("true")
	first := groupsOf(429)
	if len(first) != 1 {
		t.Fatalf("after one command there are the cgroups %q, want one for the next", first)
	}
	for range 2 {
		if e := do("dd", "if=/dev/zero", "of=/dev/null", "bs=50M", "count=1"); e.Code != 137 ||
			!strings.Contains(e.Note, "process dd of a command") {
			t.Errorf("a command that takes too much: %+v", e)
		}
		if e := do("tail", "/dev/zero"); e.Code != 137 || !strings.Contains(e.Note, "process tail of a command") {
			t.Errorf("another one: %+v", e)
		}
		if e := do("sh", "-c", "exit 3"); e.Code != 3 || e.Note != "" {
			t.Errorf("one after it: %+v", e)
		}
	}
	if now := groupsOf(429); !slices.Equal(now, first) {
		t.Errorf("commands one after the other have the cgroups %q, want %q", now, first)
	}
	var out watched
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Exec(ctx, 429, host.ExecSpec{Argv: []string{"sh", "-c", "echo up; sleep 7994"}}, command.Stdio{Out: &out})
	}()
	out.wait("up")
	do("true")
	if now := groupsOf(429); len(now) != 2 {
		t.Errorf("with a command that runs and one that has ended: %q, want two", now)
	}
	cancel()
	<-ended
	soon(t, "one cgroup is left for the next command", func() bool { return len(groupsOf(429)) == 1 })
	if e := do("sh", "-c", "exit 4"); e.Code != 4 || e.Note != "" {
		t.Errorf("after one whose client is gone: %+v", e)
	}
	// Somebody else may remove it, and the next command has one all the same.
	for _, d := range groupsOf(429) {
		if err := os.Remove(d); err != nil {
			t.Fatal(err)
		}
	}
	if e := do("sh", "-c", "exit 5"); e.Code != 5 {
		t.Errorf("after the cgroup was removed: %+v", e)
	}
	r.groups.Age(429, time.Hour)
	r.forgetSet(429)
	if _, err := r.Observe(deadline(t)); err != nil {
		t.Fatal(err)
	}
	before.compare(t, "a look long after the last command")
	do("true")
	if err := unix.Kill(o.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitState(t, r, 429, StateExited)
	for _, spec := range []host.ExecSpec{{}, {TTY: true}, {User: "www"}, {UID: 33}} {
		spec.Argv = []string{"true"}
		if e, err := r.Exec(deadline(t), 429, spec, command.Stdio{}); !errors.Is(err, ErrNotRunning) {
			t.Errorf("a command in a container that has ended, %+v: %+v %v, want ErrNotRunning", spec, e, err)
		}
	}
	if err := r.Stop(deadline(t), 429); err != nil {
		t.Fatal(err)
	}
	if n := r.groups.Count(); n != 0 {
		t.Errorf("a stopped container has %d cgroups for commands", n)
	}
}

// TestSweep: what an agent that was killed left is gone after a look of the next.
func TestSweep(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(430 + i)
		s := box(t, id, forever)
		s.Profile = p
		mustStart(t, r, s)
		soon(t, "the service and its shell run", func() bool { return alive("sleep 1000") == 2*(i+1) })
		before := worldOf(t)
		dir := filepath.Join("/sys/fs/cgroup/ct", id.String())
		if p == host.ProfileSystem {
			dir += "/p"
		}
		if err := os.Mkdir(filepath.Join(dir, "hn-exec-0123456789abcdef"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := newRuntime(t).Observe(deadline(t)); err != nil {
			t.Fatal(err)
		}
		before.compare(t, fmt.Sprintf("profile %s: a look at what an earlier agent left", p))
	}
}
