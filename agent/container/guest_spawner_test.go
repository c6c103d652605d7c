//go:build guest

package container

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// TestKilledSpawner: containers go on, their output too, and the successor can do everything but know an exit code.
func TestKilledSpawner(t *testing.T) {
	i := spawnerUp(t)
	r := newRuntime(t)
	for id := wire.CTID(601); id <= 603; id++ {
		mustStart(t, r, box(t, id, "n=0; while :; do echo tick $n; n=$((n+1)); sleep 0.1; done"))
	}
	before, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	forker := forkerOf(t, i)
	i.kill()
	run.Wait(context.Background(), time.Second) // the containers go on meanwhile
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", forker)); err == nil {
		t.Errorf("the forking process %d (%s) outlived its spawner", forker, exe)
	}
	i.start()
	after, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	for k := range before {
		if k >= len(after) || after[k].State != StateRunning || after[k].PID != before[k].PID ||
			!after[k].Started.Equal(before[k].Started) {
			t.Fatalf("before %+v\nafter %+v", before, after)
		}
	}
	if got, code := sh(t, r, 602, "echo in"); got != "in" || code != 0 {
		t.Errorf("exec after: %q %d", got, code)
	}
	lines := map[string]bool{}
	run.Wait(context.Background(), time.Second)
	r.Logs(deadline(t), 601, host.LogsSpec{}, func(_ bool, l []byte) error { lines[string(l)] = true; return nil })
	for n := range len(lines) {
		if !lines["tick "+strconv.Itoa(n)] {
			t.Errorf("line %d of %d is lost", n, len(lines))
		}
	}
	if len(lines) < 12 {
		t.Errorf("only %d lines: the output stopped with the old spawner", len(lines))
	}
	unix.Kill(after[1].PID, unix.SIGKILL)
	if o := waitState(t, r, 602, StateExited); o.ExitKnown {
		t.Errorf("an exit code nobody can know: %+v", o)
	}
	if err := r.Stop(deadline(t), 603); err != nil {
		t.Error(err)
	}
}

// TestSpawnerKilledInTheMiddle kills the spawner while a container's first process waits for its network: the start fails, the process
// ends by itself, and the next spawner starts the container.
func TestSpawnerKilledInTheMiddle(t *testing.T) {
	i := spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 604, forever)
	before := worldOf(t)
	before.fds = nil // the next spawner has its own
	s.Network = func(context.Context, *os.File) (func(), error) {
		if full, err := cgroup.Populated(r.cgroup(604)); err != nil || !full {
			t.Errorf("nobody waits in the cgroup: %v", err)
		}
		i.kill()
		i.start()
		return nil, nil
	}
	if _, err := r.Start(deadline(t), s); err == nil {
		t.Fatal("the start of a killed spawner succeeded")
	}
	after := worldOf(t)
	after.fds = nil
	if !reflect.DeepEqual(after, before) {
		t.Errorf("a start whose spawner was killed left something:\nbefore %v\nafter %v", before, after)
	}
	s.Network = nil
	mustStart(t, r, s)
	if got, code := sh(t, r, 604, "echo in"); got != "in" || code != 0 {
		t.Errorf("exec: %q %d", got, code)
	}
}

// forkerOf is the process that makes the clones for the spawner.
func forkerOf(t *testing.T, i *fakeInit) int {
	t.Helper()
	spawner := i.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", spawner, spawner))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range strings.Fields(string(children)) {
		exe, _ := os.Readlink("/proc/" + c + "/exe")
		if exe == "/usr/lib/hardnode/spawner" && namespace(t, "self", "user") == namespace(t, c, "user") {
			pid, _ := strconv.Atoi(c)
			return pid
		}
	}
	t.Fatalf("no forking process among the spawner's children %q", children)
	return 0
}

// TestKilledForker kills the process that makes the clones: the spawner ends with it, containers go on, and the next spawner works.
func TestKilledForker(t *testing.T) {
	i := spawnerUp(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 605, forever))
	before, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	unix.Kill(forkerOf(t, i), unix.SIGKILL)
	i.cmd.Wait()
	i.start()
	after, err := r.Observe(deadline(t))
	if err != nil || len(after) != len(before) || after[0].PID != before[0].PID || after[0].State != StateRunning {
		t.Fatalf("before %+v\nafter %+v %v", before, after, err)
	}
	if got, code := sh(t, r, 605, "echo in"); got != "in" || code != 0 {
		t.Errorf("exec: %q %d", got, code)
	}
	mustStart(t, r, box(t, 606, forever))
}

func TestOrphansAreSeenAndEnded(t *testing.T) {
	if os.Getenv("HELPER") != "" {
		run.Wait(context.Background(), time.Hour)
	}
	spawnerUp(t)
	r := newRuntime(t)
	c := exec.Command("/proc/self/exe", "-test.run=^TestOrphansAreSeenAndEnded$")
	c.Env = append(os.Environ(), "HELPER=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("/sys/fs/cgroup/ct/701", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/sys/fs/cgroup/ct/701/cgroup.procs", []byte(strconv.Itoa(c.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	go c.Wait()
	waitState(t, r, 701, StateOrphan)
	if err := r.Stop(deadline(t), 701); err != nil {
		t.Fatal(err)
	}
	if left, err := r.Observe(deadline(t)); err != nil || len(left) != 0 {
		t.Errorf("left: %+v %v", left, err)
	}
}
