//go:build guest

package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// endIn is what the end of a container may take here whatever it does: an emulated guest, and three times as much.
const endIn = 30 * time.Second

// TestTracedCommands: commands, threads and first processes that ask their parent to trace them, and stop. Each container with one can be
// stopped and removed, and no other waits for it.
func TestTracedCommands(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	before := worldOf(t)
	type attack struct {
		id   wire.CTID
		name string
		pid1 bool
		way  string
	}
	attacks := []attack{{441, "a command that is traced", false, "traced"}, {442, "a command that is traced and stops", false, "stopped"},
		{443, "a command with a traced thread", false, "thread"}, {444, "a traced first process", true, "traced"},
		{445, "a first process that is traced and stops", true, "stopped"}, {446, "a first process with a traced thread", true, "thread"},
		{447, "a traced first process behind the reaper", true, "traced"},
		{448, "a first process behind the reaper with a traced thread", true, "thread"}}
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for _, a := range attacks {
		s := box(t, a.id, forever)
		s.Process.Env = map[string]string{"GODEBUG": "asyncpreemptoff=1"} // else a slow machine's runtime signals it before it is ready
		if a.pid1 {
			s.Process.Argv = []string{"/bin/hostile", a.way}
			s.Process.Reaper = a.id >= 447
		}
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Fatal(err)
		}
		if a.pid1 {
			if a.way != "stopped" {
				waitLog(t, r, a.id, "ready")
			}
			continue
		}
		var out watched
		ended := make(chan host.Exit, 1)
		sessions.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			e, err := r.Exec(ctx, a.id, host.ExecSpec{Argv: []string{"/bin/hostile", a.way}}, command.Stdio{Out: &out})
			if err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
			ended <- e
		})
		if a.way != "stopped" {
			out.wait("ready")
			continue
		}
		select {
		case e := <-ended:
			if e.Code != 137 {
				t.Errorf("%s: exit code %d, want 137: it is killed, for nobody would let it go on", a.name, e.Code)
			}
		case <-time.After(endIn):
			t.Errorf("%s: its session does not end", a.name)
		}
	}
	bystander := box(t, 449, forever)
	if _, err := r.Start(deadline(t), bystander); err != nil {
		t.Fatal(err)
	}
	var ends sync.WaitGroup
	for _, a := range attacks {
		ends.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), endIn)
			defer cancel()
			if err := r.Stop(ctx, a.id); err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
			if err := r.Remove(ctx, a.id, false); err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), endIn)
	defer cancel()
	if err := r.Remove(ctx, 449, false); err != nil {
		t.Errorf("the one beside them: %v", err)
	}
	ends.Wait()
	all, err := r.Observe(deadline(t))
	if err != nil || len(all) != 0 {
		t.Errorf("left: %+v %v", all, err)
	}
	before.compare(t, "all of them")
}

func waitLog(t *testing.T, r *Runtime, id wire.CTID, want string) {
	t.Helper()
	for range 400 {
		found := false
		r.Logs(deadline(t), id, host.LogsSpec{}, func(_ bool, l []byte) error {
			found = found || string(l) == want
			return nil
		})
		if found {
			return
		}
		run.Wait(context.Background(), 50*time.Millisecond)
	}
	t.Fatalf("container %s never said %q", id, want)
}

// TestOneBadContainer: what can't be seen of one container is said of that one, and a container of which only half is there can be removed.
func TestOneBadContainer(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	before := worldOf(t)
	for _, id := range []wire.CTID{451, 452} {
		if _, err := r.Start(deadline(t), box(t, id, forever)); err != nil {
			t.Fatal(err)
		}
	}
	// Where a volume should be there is a file; half of a layer is left; one has nothing but its directory, one nothing but cgroups.
	if err := os.WriteFile("/data/ct/451/vol-data", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	home, err := sys.OpenDir("/data/ct/451")
	if err != nil {
		t.Fatal(err)
	}
	err = btrfs.CreateSubvolume(home, "new-layer-2")
	home.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"/data/ct/453/new-vol-x", "/sys/fs/cgroup/ct/454/p"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.Observe(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	got := map[wire.CTID]Observed{}
	for _, o := range all {
		got[o.CTID] = o
	}
	if o := got[451]; o.State != StateRunning || !strings.Contains(o.Trouble, "vol-data") {
		t.Errorf("the bad one: %+v, want it running, with its trouble", o)
	}
	if o := got[452]; o.State != StateRunning || o.Trouble != "" {
		t.Errorf("the one beside it: %+v, want it whole", o)
	}
	if len(got) != 4 {
		t.Errorf("observed %+v, want four", all)
	}
	for _, id := range []wire.CTID{451, 452, 453, 454} {
		if err := r.Remove(deadline(t), id, false); err != nil {
			t.Error(err)
		}
	}
	if all, err := r.Observe(deadline(t)); err != nil || len(all) != 0 {
		t.Errorf("left: %+v %v", all, err)
	}
	before.compare(t, "removal")
}

// TestLookingBesideRemovals: quota files and cgroups go while they are looked at.
func TestLookingBesideRemovals(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	ctx, cancel := context.WithCancel(context.Background())
	var looks sync.WaitGroup
	looks.Go(func() {
		for ctx.Err() == nil {
			all, err := r.Observe(deadline(t))
			if err != nil {
				t.Error(err)
				return
			}
			for _, o := range all {
				if o.Trouble != "" {
					t.Errorf("container %s: %s", o.CTID, o.Trouble)
					return
				}
			}
		}
	})
	for i := range 20 {
		s := box(t, wire.CTID(460+i%3), forever)
		s.Volumes = []host.Volume{{Name: "data", Path: "/var/data", Bytes: 1 << 20}}
		if _, err := r.Start(deadline(t), s); err != nil {
			t.Fatal(err)
		}
		if err := r.Remove(deadline(t), s.CTID, false); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	looks.Wait()
}

// TestLimitsAreTheKernels: a new agent knows the limits a container has, not those it was started with.
func TestLimitsAreTheKernels(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 465, forever)
	mustStart(t, r, s)
	see := func(r *Runtime) limits.Set {
		t.Helper()
		all, err := r.Observe(deadline(t))
		if err != nil || len(all) != 1 {
			t.Fatalf("observed %+v %v", all, err)
		}
		return all[0].Set
	}
	if d := see(r).Drift(s.Limits, 0); d != "" {
		t.Errorf("after the start: %s", d)
	}
	more := host.Limits{MemoryMin: 8<<20 + 1, MemoryHigh: 90 << 20, MemoryMax: 96 << 20, CPUWeight: 333, PIDs: 99, DiskBytes: 32 << 20}
	if err := r.SetLimits(deadline(t), 465, more, 25001); err != nil {
		t.Fatal(err)
	}
	later := newRuntime(t)
	for name, r := range map[string]*Runtime{"this agent": r, "the next": later} {
		if d := see(r).Drift(more, 25001); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if d := see(r).Drift(s.Limits, 0); !strings.Contains(d, "memory.max is 100663296, wanted 134217728") ||
			!strings.Contains(d, "disk quota is 33554432, wanted 67108864") {
			t.Errorf("%s: against what it was started with: %q", name, d)
		}
	}
	if err := os.WriteFile("/sys/fs/cgroup/ct/465/pids.max", []byte("max"), 0); err != nil {
		t.Fatal(err)
	}
	later = newRuntime(t)
	if d := see(later).Drift(more, 25001); d != "pids.max is max, wanted 99" {
		t.Errorf("set behind its back: %q", d)
	}
	if err := later.SetLimits(deadline(t), 465, more, 25001); err != nil {
		t.Fatal(err)
	}
	if d := see(later).Drift(more, 25001); d != "" {
		t.Errorf("mended: %s", d)
	}
	none := host.Limits{}
	if err := r.SetLimits(deadline(t), 465, none, 0); err != nil {
		t.Fatal(err)
	}
	if d := see(r).Drift(none, 0); d != "" {
		t.Errorf("without limits: %s", d)
	}
	if o, err := r.Observe(deadline(t)); err != nil || o[0].UIDBase != s.UIDBase ||
		cgroup.Range(filepath.Join("/sys/fs/cgroup/ct", fmt.Sprint(465))) != s.UIDBase {
		t.Errorf("the range its cgroup shows: %+v %v, want %d", o, err, s.UIDBase)
	}
}

// TestNoSubvolumesInside: a subvolume that a container made in its volume would have no quota, and the volume could not be deleted.
func TestNoSubvolumesInside(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	for id, p := range map[wire.CTID]host.Profile{395: host.ProfileApp, 396: host.ProfileSystem} {
		s := box(t, id, forever)
		s.Profile = p
		s.Volumes = []host.Volume{{Name: "data", Path: "/srv", Bytes: 8 << 20}}
		mustStart(t, r, s)
		if out, code := sh(t, r, id, "/bin/hostile subvolume /srv"); code != 0 || out != "unharmed" {
			t.Errorf("profile %s: %d %s", p, code, out)
		}
		if out, _ := sh(t, r, id, "ls /srv | grep sub; echo x > /srv/x && cat /srv/x"); out != "x" {
			t.Errorf("profile %s: in the volume is %s", p, out)
		}
	}
}
