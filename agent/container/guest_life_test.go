//go:build guest

package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

func TestUndoOfEveryStep(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 401, forever)
	s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 1 << 20}}
	undone := 0
	s.Network = func(ctx context.Context, ns *os.File) (func(), error) { return func() { undone++ }, nil }
	mustStart(t, r, s) // once, so that what stays for all containers is there
	if err := r.Remove(deadline(t), 401, false); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("made to fail")
	for i, step := range startSteps {
		before := worldOf(t)
		r.fail = func(name string) error {
			if name == step.name {
				return broken
			}
			return nil
		}
		_, err := r.Start(deadline(t), s)
		if !errors.Is(err, broken) {
			t.Errorf("step %s: %v", step.name, err)
		}
		before.compare(t, "a failing step "+step.name)
		if i == len(startSteps)-1 && undone != 1 {
			t.Errorf("the network was undone %d times, want once", undone)
		}
	}
	r.fail = func(string) error { return nil }
	before := worldOf(t)
	s.Process.Argv = []string{"/no/such/program"}
	if _, err := r.Start(deadline(t), s); !errors.Is(err, ErrInvalid) {
		t.Errorf("missing program: %v, want ErrInvalid", err)
	}
	s.Process = host.Process{Argv: []string{"true"}, Cwd: "/srv/one"}
	if _, err := r.Start(deadline(t), s); !errors.Is(err, ErrInvalid) {
		t.Errorf("a working directory that is a file: %v, want ErrInvalid", err)
	}
	before.compare(t, "starts of what can't be executed")
}

func TestCreateAndRemoveLeaveNothing(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 402, forever)
	s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 1 << 20}}
	before := worldOf(t)
	for range 10 {
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Fatal(err)
		}
		if err := r.Remove(deadline(t), 402, false); err != nil {
			t.Fatal(err)
		}
	}
	before.compare(t, "10 containers")
}

func TestLimits(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 403, forever)
	s.Limits = host.Limits{MemoryMin: 16 << 20, MemoryHigh: 48 << 20, MemoryMax: 64 << 20, CPUWeight: 50, PIDs: 20, DiskBytes: 16 << 20}
	s.CPUMaxMicros = 20000
	mustStart(t, r, s)
	read := func(f string) string {
		b, _ := os.ReadFile("/sys/fs/cgroup/ct/403/" + f)
		return strings.TrimSpace(string(b))
	}
	for f, want := range map[string]string{"memory.min": "16777216", "memory.high": "50331648", "memory.max": "67108864",
		"cpu.weight": "50",
		"cpu.max":    "20000 100000", "pids.max": "20", "memory.oom.group": "0", "p/memory.oom.group": "1"} {
		if got := read(f); got != want {
			t.Errorf("%s is %q, want %q", f, got, want)
		}
	}
	if got, _ := sh(t, r, 403, "dd if=/dev/zero of=/srv/big bs=1M count=40 conv=fsync 2>&1 | grep -o 'Disk quota exceeded\\|No space "+
		"left on device' | head -n 1"); got != "Disk quota exceeded" {
		t.Errorf("40 MiB into a layer of 16 MiB: %q, want EDQUOT", got)
	}
	if got, _ := sh(t, r, 403,
		"rm -f /srv/big; i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done 2>&1 | grep -c \"can't fork\""); got == "0" {
		t.Error("40 processes fit into 20")
	}
	if err := r.SetLimits(deadline(t), 403, host.Limits{MemoryMax: 32 << 20, CPUWeight: 200, PIDs: 30, DiskBytes: 8 << 20},
		50000); err != nil {
		t.Fatal(err)
	}
	if read("memory.max") != "33554432" || read("cpu.max") != "50000 100000" || read("pids.max") != "30" {
		t.Errorf("after the change: %s, %s, %s", read("memory.max"), read("cpu.max"), read("pids.max"))
	}
	all, err := r.Observe(deadline(t))
	if err != nil || len(all) != 1 || all[0].MemoryBytes == 0 || all[0].CPUMicros == 0 || all[0].DiskBytes == 0 {
		t.Errorf("observed %+v %v", all, err)
	}
}

func TestOutOfMemory(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 404, "tail /dev/zero")
	s.Limits.MemoryMax = 16 << 20
	mustStart(t, r, s)
	o := waitState(t, r, 404, StateExited)
	if !o.OOMKilled || !o.ExitKnown || o.ExitCode != 137 {
		t.Errorf("observed %+v", o)
	}
	for range 2 { // what runs again was out of memory all the same
		s.Process.Argv[2] = forever
		mustStart(t, r, s)
		o2 := waitState(t, r, 404, StateRunning)
		if o2.OOM.Kills != 0 || o2.OOM.Times != 1 || o2.OOMKilled || o2.OOM.String() != o.OOM.String() {
			t.Errorf("after the next start: %+v", o2.OOM)
		}
		if err := r.Stop(deadline(t), 404); err != nil {
			t.Fatal(err)
		}
	}
	if got := o.OOM.String(); !strings.HasPrefix(got, "out of memory: process tail used 1") || !strings.HasSuffix(got, " MiB of 16 MiB") ||
		time.Since(o.OOM.At) > time.Minute || o.OOM.At.Before(o.Started) {
		t.Errorf("what is said of it: %q, %+v", got, o.OOM)
	}
}

// TestOutOfMemoryByProfile: a program of several processes ends as a whole when the kernel kills one of them for memory; of a system only
// that one ends, and PID 1 goes on.
func TestOutOfMemoryByProfile(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	const script = "n=1234; sleep $n & sleep $n & tail /dev/zero; echo tail ended with $?; wait"
	for _, c := range []struct {
		id      wire.CTID
		profile host.Profile
		whole   bool
	}{{410, host.ProfileApp, true}, {411, host.ProfileSystem, false}} {
		t.Run(string(c.profile), func(t *testing.T) {
			s := box(t, c.id, script)
			s.Profile, s.Limits.MemoryMax = c.profile, 16<<20
			first := mustStart(t, r, s)
			var o Observed
			soon(t, "the kernel has killed", func() bool {
				all, err := r.Observe(deadline(t))
				if err != nil || len(all) != 1 {
					t.Fatalf("%+v %v", all, err)
				}
				o = all[0]
				return o.OOM.Process != "" && (o.State == StateExited) == c.whole
			})
			if got := o.OOM.String(); !strings.HasPrefix(got, "out of memory: process tail used 1") ||
				!strings.HasSuffix(got, " MiB of 16 MiB") || o.OOM.Times != 1 || o.OOMKilled != c.whole {
				t.Errorf("what is said of it: %q, %+v", got, o)
			}
			if c.whole {
				if !o.ExitKnown || o.ExitCode != 137 || alive("sleep 1234") != 0 {
					t.Errorf("%d processes are left of %+v", alive("sleep 1234"), o)
				}
				return
			}
			waitLog(t, r, c.id, "tail ended with 137")
			if o.State != StateRunning || o.PID != first.PID || o.OOM.Kills != 1 || alive("sleep 1234") != 2 {
				t.Errorf("%d processes are left of %+v", alive("sleep 1234"), o)
			}
		})
	}
}

func waitState(t testing.TB, r *Runtime, id wire.CTID, want State) Observed {
	t.Helper()
	var last []Observed
	for range 400 {
		all, err := r.Observe(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			if o.CTID == id && o.State == want {
				return o
			}
		}
		last = all
		run.Wait(context.Background(), 50*time.Millisecond)
	}
	t.Fatalf("container %s never was %s: %+v", id, want, last)
	return Observed{}
}

func TestExitsAndRestarts(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	ctx, cancel := context.WithCancel(context.Background())
	var task sync.WaitGroup
	task.Go(func() { r.Run(ctx) })
	defer task.Wait()
	defer cancel()
	run.Wait(ctx, 200*time.Millisecond)
	s := box(t, 405, "sleep 1; exit 3")
	mustStart(t, r, s)
	select {
	case e := <-r.Exits():
		if e.CTID != 405 {
			t.Errorf("hint %+v", e)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no hint came")
	}
	if o := waitState(t, r, 405, StateExited); o.ExitCode != 3 || !o.ExitKnown || o.Restarts != 0 {
		t.Errorf("observed %+v", o)
	}
	s.Process.Argv[2] = forever
	if o := mustStart(t, r, s); o.Restarts != 1 {
		t.Errorf("after a second start: %d restarts, want 1", o.Restarts)
	}
	if err := r.Stop(deadline(t), 405); err != nil {
		t.Fatal(err)
	}
	s.Generation = 2
	if o := mustStart(t, r, s); o.Restarts != 0 || o.Generation != 2 || len(o.Leftovers) != 0 {
		t.Errorf("a new generation: %+v", o)
	}
}

func TestReaper(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 406, "trap 'echo bye; exit 9' TERM; (sleep 0.2 &) ; while :; do sleep 1 & wait $!; done")
	s.Process.Reaper, s.Process.StopAfter = true, 10
	mustStart(t, r, s)
	run.Wait(context.Background(), time.Second)
	if got, _ := sh(t, r, 406, "cat /proc/1/comm; ps -o stat,args | grep -c '^Z' "); got != "reaper\n0" {
		t.Errorf("PID 1 and zombies: %q", got)
	}
	if got, _ := sh(t, r, 406, "readlink /proc/1/exe || echo hidden"); got != "hidden" {
		t.Errorf("the reaper's program is seen: %q", got)
	}
	began := time.Now()
	if err := r.Stop(deadline(t), 406); err != nil || time.Since(began) > 8*time.Second {
		t.Errorf("stop took %v: %v", time.Since(began), err)
	}
	var log []string
	r.Logs(deadline(t), 406, host.LogsSpec{Tail: 1}, func(_ bool, l []byte) error { log = append(log, string(l)); return nil })
	if !slices.Equal(log, []string{"bye"}) {
		t.Errorf("log %q", log)
	}
}

func TestTerminal(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 407, forever))
	var out watched
	in, feed := io.Pipe()
	resize := make(chan [2]uint16, 1)
	go func() {
		io.WriteString(feed, "stty size; tty; id -u; echo $TERM; echo DONE\n")
		out.wait("\nDONE")
		resize <- [2]uint16{50, 132}
		run.Wait(context.Background(), 500*time.Millisecond)
		io.WriteString(feed, "stty size; exit 5\n")
	}()
	e, err := r.Exec(deadline(t), 407, host.ExecSpec{Argv: []string{"sh"}, TTY: true, Rows: 24, Cols: 80, UID: 33, GID: 33},
		command.Stdio{In: in, Out: &out, Resize: resize})
	if err != nil || e.Code != 5 {
		t.Errorf("session: %+v %v", e, err)
	}
	for _, want := range []string{"24 80", "/dev/pts/0", "33", "50 132", "xterm-256color"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in %q", want, out.String())
		}
	}
}

// watched is output a test waits for.
type watched struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func (w *watched) wait(text string) {
	for range 200 {
		if strings.Contains(w.String(), text) {
			return
		}
		run.Wait(context.Background(), 50*time.Millisecond)
	}
}

// TestTwoFilesOneInode: cp, mv and tar take two files with one (device, inode) for the same.
func TestTwoFilesOneInode(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 408, forever))
	got, _ := sh(t, r, 408, "i=0; while [ $i -lt 200 ]; do echo $i > /srv/n$i; i=$((i+1)); done; cp -r /bin/busybox /srv/copy; cp "+
		"/srv/one /srv/two && cat /srv/two; find / -xdev -type f -links 1 | xargs stat -c '%d %i' | sort | uniq -d | wc -l")
	if got != "one\n0" {
		t.Errorf("got %q, want no two files with one device and inode", got)
	}
}

func TestNetworkIsCalledWithTheNamespace(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 409, forever)
	var inode uint64
	s.Network = func(_ context.Context, ns *os.File) (func(), error) {
		var st unix.Stat_t
		err := unix.Fstat(int(ns.Fd()), &st)
		inode = st.Ino
		return nil, err
	}
	mustStart(t, r, s)
	f, err := r.Netns(409)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Ino != inode {
		t.Errorf("namespace %d, want %d: %v", st.Ino, inode, err)
	}
}

// TestKilledClient kills an agent with SIGKILL while it starts containers; the next one knows them all and can work with them.
func TestKilledClient(t *testing.T) {
	if os.Getenv("HELPER") != "" {
		r := newRuntime(t)
		for id := wire.CTID(501); id <= 520; id++ {
			if _, err := r.Start(deadline(t), box(t, id, forever)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("STARTED", id)
		}
		r.Exec(deadline(t), 501, host.ExecSpec{Argv: []string{"sh", "-c", "(setsid sleep 777 &) ; sleep 777 | cat"}}, command.Stdio{})
		return
	}
	spawnerUp(t)
	image(t, "box")
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilledClient$", "-test.v")
	cmd.Env = append(os.Environ(), "HELPER=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	var seen strings.Builder
	for !strings.Contains(seen.String(), "STARTED 520") {
		n, err := out.Read(b)
		seen.Write(b[:n])
		if err != nil {
			break
		}
	}
	run.Wait(context.Background(), 500*time.Millisecond) // the session runs
	cmd.Process.Kill()
	cmd.Wait()
	r := newRuntime(t)
	all, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, o := range all {
		if o.State == StateRunning && o.Generation == 1 && o.Spec.Hostname == "node"+o.CTID.String() && o.UIDBase == uint32(o.CTID)*65536 {
			running++
		}
	}
	if running != 20 {
		t.Errorf("%d of 20 containers are known: %s", running, seen.String())
	}
	soon(t, "nothing of the dead client's session goes on", func() bool { return alive("sleep 777") == 0 })
	soon(t, "nothing is left of the dead client's session in the container's cgroups", func() bool {
		if _, err := r.Observe(deadline(t)); err != nil {
			t.Error(err)
		}
		r.forgetSet(501) // look again, not later
		return len(groupsOf(501)) == 0
	})
	var wait sync.WaitGroup
	for _, o := range all {
		wait.Go(func() {
			if err := r.Remove(deadline(t), o.CTID, false); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if left, err := r.Observe(deadline(t)); err != nil || len(left) != 0 {
		t.Errorf("left: %+v %v", left, err)
	}
}
