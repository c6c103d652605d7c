//go:build guest

package container

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// What people expect of signals and terminals, and what one container can't do to the host and its neighbours.

// TestStopSignals: the image's stop signal reaches its program, which has as long as the image says, and not longer.
func TestStopSignals(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, c := range []struct {
		name, script, signal string
		after                int
		reaper               bool
		log                  string
		least, most          time.Duration // least: it must have had that long; most is three times what it takes
	}{
		{name: "none said", script: "trap 'echo got TERM; exit 0' TERM", after: 30, log: "got TERM", most: 25 * time.Second},
		{name: "SIGQUIT", script: "trap 'echo got QUIT; exit 0' QUIT; trap 'echo got TERM' TERM", signal: "SIGQUIT", after: 30,
			log: "got QUIT", most: 25 * time.Second},
		{name: "behind the reaper", script: "trap 'echo got INT; exit 0' INT", signal: "SIGINT", after: 30, reaper: true, log: "got INT",
			most: 25 * time.Second},
		{name: "takes its time", script: "trap 'echo begun; sleep 2; echo clean; exit 0' TERM", after: 60, log: "clean",
			least: 2 * time.Second, most: 50 * time.Second},
		{name: "does not listen", script: "trap 'echo no' TERM", after: 3, log: "no", least: 3 * time.Second, most: 20 * time.Second},
	} {
		id := wire.CTID(470 + i)
		s := box(t, id, c.script+"; echo ready; while :; do sleep 0.1; done")
		s.Process.StopWith, s.Process.StopAfter, s.Process.Reaper = c.signal, c.after, c.reaper
		mustStart(t, r, s)
		waitLog(t, r, id, "ready")
		began := time.Now()
		if err := r.Stop(deadline(t), id); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		took := time.Since(began)
		if took < c.least || took > c.most {
			t.Errorf("%s: the stop took %s, want %s to %s", c.name, took, c.least, c.most)
		}
		if n, err := cgroup.Populated(r.cgroup(id)); err != nil || n {
			t.Errorf("%s: stopped, and something runs: %v", c.name, err)
		}
		waitLog(t, r, id, c.log)
	}
}

// TestControlKeys: what is typed at a terminal reaches what runs there in the foreground, and a new size is told.
func TestControlKeys(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 476, forever))
	var out watched
	in, feed := io.Pipe()
	resize := make(chan [2]uint16, 1)
	ended := make(chan host.Exit, 1)
	go func() {
		e, err := r.Exec(deadline(t), 476, host.ExecSpec{Argv: []string{"sh"}, TTY: true, Rows: 24, Cols: 80},
			command.Stdio{In: in, Out: &out, Resize: resize})
		if err != nil {
			t.Error(err)
		}
		ended <- e
	}()
	say := func(text, wait string) {
		t.Helper()
		io.WriteString(feed, text)
		if out.wait(wait); !strings.Contains(out.String(), wait) {
			t.Fatalf("after %q: no %q in %q", text, wait, out.String())
		}
	}
	say("echo ON; sleep 5555\n", "\nON")
	soon(t, "the program in the foreground runs", func() bool { return alive("sleep 5555") == 1 })
	say("\x03", "^C")
	say("echo code=$?\n", "code=130")
	if alive("sleep 5555") != 0 {
		t.Error("Ctrl-C did not end the program in the foreground")
	}
	say("cat > /dev/null; echo EOF=$?\n", "cat > /dev/null")
	say("\x04", "EOF=0")
	say("sh -c 'trap \"stty size; echo WINCHED\" WINCH; echo WAITING; while :; do sleep 0.1; done'\n", "\nWAITING")
	resize <- [2]uint16{41, 143}
	out.wait("\nWINCHED")
	if !strings.Contains(out.String(), "41 143\r\nWINCHED") {
		t.Errorf("a new size is not told: %q", out.String())
	}
	say("\x03", "^C")
	say("exit 5\n", "exit 5")
	select {
	case e := <-ended:
		if e.Code != 5 {
			t.Errorf("the shell ended with %+v", e)
		}
	case <-time.After(20 * time.Second):
		t.Error("the shell does not end")
	}
}

// well checks that the host goes on: it starts another container, and a command there answers.
func well(t *testing.T, r *Runtime, id wire.CTID, beside string) {
	t.Helper()
	began := time.Now()
	mustStart(t, r, box(t, id, forever))
	if got, code := sh(t, r, id, "echo well"); got != "well" || code != 0 {
		t.Errorf("beside %s: %q %d", beside, got, code)
	}
	took := time.Since(began)
	if err := r.Remove(deadline(t), id, false); err != nil {
		t.Errorf("beside %s: %v", beside, err)
	}
	t.Logf("beside %s: start and command %s, with the end %s", beside, took.Round(time.Millisecond),
		time.Since(began).Round(time.Millisecond))
}

// TestForkBomb: it fills its own container only, and that can be stopped.
func TestForkBomb(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for i, p := range profiles {
		id := wire.CTID(480 + i)
		s := box(t, id, forever)
		s.Profile = p
		mustStart(t, r, s)
		var bombs [2]chan struct{}
		ctx, cancel := context.WithCancel(context.Background())
		for k := range bombs {
			bombs[k] = make(chan struct{})
			go func() {
				defer close(bombs[k])
				r.Exec(ctx, id,
					host.ExecSpec{Argv: []string{"sh", "-c", "b() { b | b & }; trap '' TERM HUP INT; b; while :; do b; sleep 0.1; done"}},
					command.Stdio{})
			}()
		}
		full := func() int64 { return cgroup.ReadInt(r.cgroup(id), "pids.events", "max") }
		soon(t, "the bomb meets its limit", func() bool { return full() > 0 })
		if n := cgroup.ReadInt(r.cgroup(id), "pids.current", ""); n > 64 {
			t.Errorf("profile %s: %d processes, at most 64 are allowed", p, n)
		}
		if _, err := r.Exec(deadline(t), id, host.ExecSpec{Argv: []string{"true"}}, command.Stdio{}); err != nil &&
			!strings.Contains(err.Error(), "it has as many processes as it may have, 64") {
			t.Errorf("profile %s: what is said of a command for which there is no room: %v", p, err)
		}
		well(t, r, 484, "a fork bomb")
		if i == 0 {
			cancel() // the clients go, and the bombs with them
			for _, b := range bombs {
				<-b
			}
			soon(t, "the bombs end with their sessions", func() bool { return cgroup.ReadInt(r.cgroup(id), "pids.current", "") <= 3 })
		}
		if err := r.Stop(deadline(t), id); err != nil {
			t.Errorf("profile %s: stop of a fork bomb: %v", p, err)
		}
		cancel()
	}
}

// TestLogFlood: a container that writes as fast as it can fills neither the disk nor the host's time.
func TestLogFlood(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 485, "while :; do yes 0123456789012345678901234567890123456789; done"))
	waitLog(t, r, 485, "0123456789012345678901234567890123456789")
	well(t, r, 486, "a log flood")
	run.Wait(context.Background(), 3*time.Second)
	var size int64
	files, _ := filepath.Glob(filepath.Join(r.LogDir(485), "*"))
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			size += st.Size()
		}
	}
	if size > 3<<20 {
		t.Errorf("the log has %d bytes on disk, want at most two files of 1 MiB", size)
	}
	lines, last := 0, ""
	if err := r.Logs(deadline(t), 485, host.LogsSpec{},
		func(_ bool, l []byte) error { lines++; last = string(l); return nil }); err != nil || lines == 0 {
		t.Errorf("%d lines, the last %q: %v", lines, last, err)
	}
	if err := r.Stop(deadline(t), 485); err != nil {
		t.Errorf("stop of a log flood: %v", err)
	}
}

// TestDiskFull: a full container disk is its own; what it deletes it can write again; its stop works.
func TestDiskFull(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 487, forever)
	s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 16 << 20}}
	mustStart(t, r, s)
	for _, dir := range []string{"/srv", "/var/data"} {
		if got, code := sh(t, r, 487, "dd if=/dev/zero of="+dir+"/big bs=1M count=100 conv=fsync 2>&1"); code == 0 ||
			!strings.Contains(got, "quota") && !strings.Contains(got, "space") {
			t.Errorf("100 MiB in %s: %d %s", dir, code, got)
		}
	}
	well(t, r, 488, "a full disk")
	if got, code := sh(t, r, 487, "rm /srv/big /var/data/big && sync && dd if=/dev/urandom of=/srv/again bs=1M count=8 conv=fsync "+
		"2>/dev/null && wc -c < /srv/again"); got != fmt.Sprint(8<<20) {
		t.Errorf("after deleting: %d %s", code, got)
	}
}

// TestCPUQuota measures a container with a ceiling beside one without, both as busy as can be on one processor.
func TestCPUQuota(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	const busy = "while :; do :; done"
	s := box(t, 489, busy)
	s.CPUMaxMicros = 20000
	mustStart(t, r, s)
	mustStart(t, r, box(t, 490, busy))
	used := func(id wire.CTID) time.Duration {
		return time.Duration(cgroup.ReadInt(r.cgroup(id), "cpu.stat", "usage_usec")) * time.Microsecond
	}
	began, a, b := time.Now(), used(489), used(490)
	run.Wait(context.Background(), 5*time.Second)
	took := time.Since(began)
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / took.Seconds() }
	limited, free := share(used(489)-a), share(used(490)-b)
	t.Logf("of one processor in %s: %.1f %% with a ceiling of 20 %%, %.1f %% beside it without", took.Round(time.Millisecond),
		limited, free)
	if limited > 30 {
		t.Errorf("a container with a ceiling of 20 %% of one processor used %.1f %%", limited)
	}
	if free < 2*limited || limited == 0 {
		t.Errorf("its neighbour got %.1f %%, it %.1f %%", free, limited)
	}
	well(t, r, 491, "two busy containers")
}
