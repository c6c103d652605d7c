//go:build guest

package container

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/run/calm"
	"hardnode.dev/internal/wire/host"
)

// TestFigures measures what tools/bench reports: starting a container from an image that is present, and running a command in one,
// beside crun in the same guest and the same moment. What runs them is where a host's services are, and containers see their own figures in
// /proc, as on a host. HARDNODE_BENCH is the number of runs.
func TestFigures(t *testing.T) {
	var n int
	if _, err := fmt.Sscan(os.Getenv("HARDNODE_BENCH"), &n); err != nil || n < 1 {
		t.Skip("HARDNODE_BENCH is not set")
	}
	asService(t)
	spawnerUp(t)
	viewUp(t)
	r := newRuntime(t)
	steps := map[string][]time.Duration{} // of each run
	last := time.Now()
	lastStep := ""
	step := func(next string) { // each step's begin is the end of the one before
		if lastStep != "" {
			steps[lastStep] = append(steps[lastStep], time.Since(last))
		}
		last, lastStep = time.Now(), next
	}
	r.fail = func(name string) error { step(name); return nil }
	bundle := crunBundle(t)
	var runs, ours, ourExec, theirs, theirExec, plain []time.Duration
	hints, stop := context.WithCancel(context.Background())
	defer stop()
	go r.Run(hints)
	hold := box(t, 900, forever)
	mustStart(t, r, hold)
	// no pipe: the container would hold it
	if err := exec.Command("crun", "run", "-d", "--bundle", bundle(forever), "held").Run(); err != nil {
		t.Fatalf("crun: %v", err)
	}
	defer exec.Command("crun", "delete", "-f", "held").Run()
	program := func(name string, args ...string) time.Duration {
		t.Helper()
		began := time.Now()
		cmd := exec.Command(name, args...)
		cmd.Stdin, cmd.Stdout = nil, io.Discard
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, errs.String())
		}
		return time.Since(began)
	}
	trueBundle := bundle("true")
	var since []string        // boot, in seconds, of each start
	for i := range warm + n { // in turn, so that all meet the same machine
		if i == warm {
			fmt.Printf("FIGURE the first start of all: %s; %d turns are left out of all else\n", runs[0].Round(100*time.Microsecond), warm)
			runs, ours, ourExec, theirs, theirExec, plain, since = nil, nil, nil, nil, nil, nil, nil
			clear(steps)
		}
		s := box(t, 901, "")
		s.Process.Argv = []string{"/bin/true"}
		lastStep = ""
		up, _ := os.ReadFile("/proc/uptime")
		seconds, _, _ := strings.Cut(string(up), " ")
		since = append(since, seconds)
		began := time.Now()
		if _, err := r.Start(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, time.Since(began))
		step("")
		waitExit(t, r)
		ours = append(ours, time.Since(began))
		if err := r.Remove(context.Background(), 901, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond) // what a start leaves to be done after it, such as the next one's namespaces, crun need not bear
		theirs = append(theirs, program("crun", "run", "--bundle", trueBundle, fmt.Sprint("b", i)))
		began = time.Now()
		if e, err := r.Exec(context.Background(), 900, host.ExecSpec{Argv: []string{"/bin/true"}}, command.Stdio{}); err != nil ||
			e.Code != 0 {
			t.Fatal(e, err)
		}
		ourExec = append(ourExec, time.Since(began))
		theirExec = append(theirExec, program("crun", "exec", "held", "/bin/true"))
		plain = append(plain, program("crun", "--version"))
	}
	for _, i := range slowest(runs, max(2, n/100)) {
		fmt.Printf("FIGURE a slow start, turn %d, %s s after boot, of %s:", i+1, since[i], runs[i].Round(100*time.Microsecond))
		for _, s := range startSteps {
			if p50, took := at(slices.Clone(steps[s.name]), 50), steps[s.name][i]; took > p50+2*time.Millisecond {
				fmt.Printf(" step %s took %s, p50 %s;", s.name, took.Round(100*time.Microsecond), p50)
			}
		}
		fmt.Println()
	}
	fmt.Printf("FIGURE a process that prints its version (crun), for what the machine itself does: p50 %s p95 %s p99 %s, p99/p50 %.1f\n",
		at(plain, 50), at(plain, 95), at(plain, 99), float64(at(plain, 99))/float64(at(plain, 50)))
	figure := func(what string, bar float64, a, b []time.Duration) {
		ratio, tail := float64(at(a, 50))/float64(at(b, 50)), float64(at(a, 99))/float64(at(a, 50))
		fmt.Printf("FIGURE %s: hardnode p50 %s p95 %s p99 %s best %s, crun p50 %s p95 %s p99 %s best %s, "+
			"hardnode/crun p50 %.3f best %.3f, own p99/p50 %.1f\n", what,
			at(a, 50), at(a, 95), at(a, 99), at(a, 0), at(b, 50), at(b, 95), at(b, 99), at(b, 0),
			ratio, float64(at(a, 0))/float64(at(b, 0)), tail)
		if bar > 0 && (ratio > bar || tail > tailBar) {
			t.Errorf("%s: %.3f × crun and a p99 of %.1f × its own p50, want at most %.2f and %v", what, ratio, tail, bar, tailBar)
		}
	}
	figure(fmt.Sprintf("start of /bin/true until it runs, beside crun run, %d runs", n), 0.25, runs, theirs)
	figure(fmt.Sprintf("start of /bin/true until its end is known, beside crun run, %d runs", n), 0, ours, theirs)
	figure(fmt.Sprintf("exec /bin/true, %d runs", n), 0.12, ourExec, theirExec)
	for _, pid := range append(waitSpares(t, world.init, 2), strconv.Itoa(forkerOf(t, world.init))) {
		b, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup")
		var rss, pss int64
		for line := range strings.Lines(string(b)) {
			fmt.Sscanf(line, "Rss: %d kB", &rss)
			fmt.Sscanf(line, "Pss: %d kB", &pss)
		}
		fmt.Printf("FIGURE a spare, and at last the forking process: RSS %d KiB, PSS %d KiB\n", rss, pss)
	}
	for _, s := range startSteps {
		fmt.Printf("FIGURE step %s: p50 %s, %.0f %% of a start\n", s.name, at(steps[s.name], 50),
			100*float64(at(steps[s.name], 50))/float64(at(runs, 50)))
	}
}

// tailBar is how many times its median the 99th percentile of starts, and of commands, may be.
const tailBar = 3.0

// warm is how many turns go before those that count, ours and crun's: an emulator translates each program's code when it first runs.
const warm = 5

// slowest are the places of the count longest.
func slowest(list []time.Duration, count int) (places []int) {
	for i := range list {
		places = append(places, i)
	}
	slices.SortFunc(places, func(a, b int) int { return cmp.Compare(list[b], list[a]) })
	return places[:min(count, len(places))]
}

// asService puts this process, and what it starts, where init has the services of a host: together they get ten times the share of the CPU
// that all containers get. So does crun, which is started from here, beside its containers. Its threads are as calm as the agent's.
func asService(t *testing.T) {
	t.Helper()
	if err := calm.Watcher(); err != nil {
		t.Fatal(err)
	}
	dir := cgroup.Root + "/system"
	if err := os.MkdirAll(dir+"/agent", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, w := range [][2]string{{cgroup.Root + "/cgroup.subtree_control", "+cpu"}, {dir + "/cpu.weight", "1000"},
		{dir + "/agent/cgroup.procs", strconv.Itoa(os.Getpid())}} {
		if err := os.WriteFile(w[0], []byte(w[1]), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func at(d []time.Duration, percent int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, len(d)*percent/100)].Round(100 * time.Microsecond)
}

// waitExit waits for the end of container 901 as the agent would, by the spawner's hint.
func waitExit(t *testing.T, r *Runtime) {
	t.Helper()
	for {
		all, err := r.known.All(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if all[901].PID == 0 {
			return
		}
		select {
		case <-r.Exits():
		case <-time.After(10 * time.Second):
			t.Fatal("no hint of the container's end within 10 s")
		}
	}
}

// crunBundle gives OCI bundles with the same image as root (read-only, as crun has no layers of its own), the same kinds of namespaces
// but the user's, and limits.
func crunBundle(t *testing.T) func(script string) string {
	t.Helper()
	file, _ := image(t, "box")
	root := "/run/crunroot"
	os.MkdirAll(root, 0o755)
	tree, err := sys.NewMount("erofs", sys.ReadOnly, [2]string{"source", file}, [2]string{"ro", ""})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if err := sys.Attach(tree, root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Detach(root) })
	return func(script string) string {
		dir := t.TempDir()
		argv := []string{"/bin/sh", "-c", script}
		if script == "true" {
			argv = []string{"/bin/true"}
		}
		type m = map[string]any
		config := m{"ociVersion": "1.0.2",
			"process": m{"user": m{"uid": 0, "gid": 0}, "args": argv, "env": []string{"PATH=/bin"}, "cwd": "/", "noNewPrivileges": true},
			"root":    m{"path": root, "readonly": true}, "hostname": "c",
			"mounts": []m{{"destination": "/proc", "type": "proc", "source": "proc"},
				{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755", "size=64k"}},
				{"destination": "/dev/pts", "type": "devpts", "source": "devpts",
					"options": []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
				{"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
				{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": []string{"nosuid", "noexec", "nodev", "ro"}}},
			"linux": m{"cgroupsPath": "/crun/" + filepath.Base(dir),
				"resources": m{"memory": m{"limit": 128 << 20}, "pids": m{"limit": 64}},
				"namespaces": []m{{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
					{"type": "cgroup"}},
				"maskedPaths":   []string{"/proc/kcore", "/proc/keys", "/proc/timer_list"},
				"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}
		b, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
}
