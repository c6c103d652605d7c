//go:build guest

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/ceiling"
	"hardnode.dev/internal/wire/host"
)

// Limits are changed on containers that run and work: each holds within a second, and nothing is started anew.

// change sets limits and says how long that took, which is at most a second.
func change(t *testing.T, r *Runtime, id wire.CTID, what string, l host.Limits, cpu int64) error {
	t.Helper()
	began := time.Now()
	err := r.SetLimits(deadline(t), id, l, cpu)
	took := time.Since(began)
	t.Logf("%s: set in %s", what, took.Round(100*time.Microsecond))
	if slow := 10 * time.Second; took > slow { // a second on a quiet machine
		t.Errorf("%s: the change took %s", what, took)
	}
	return err
}

func TestLiveMemory(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 441, forever)
	mustStart(t, r, s)
	dir := r.cgroup(441)
	use := func() int64 { return cgroup.ReadInt(dir, "memory.current", "") }
	sh(t, r, 441, "dd if=/dev/zero of=/srv/f bs=1M count=50 conv=fsync 2>/dev/null; cat /srv/f > /dev/null")
	before := use()
	l := s.Limits
	l.MemoryHigh, l.MemoryMax = 30<<20, 32<<20
	if err := change(t, r, 441, "memory, from 128 to 32 MiB, full of page cache", l, 0); err != nil {
		t.Error(err)
	}
	t.Logf("use went from %d to %d KiB", before>>10, use()>>10)
	if got := cgroup.ReadInt(dir, "memory.max", ""); got != 32<<20 || use() > 32<<20 || before < 40<<20 {
		t.Errorf("memory.max is %d, use went from %d to %d", got, before, use())
	}
	l.MemoryHigh, l.MemoryMax = 0, 128<<20
	if err := change(t, r, 441, "memory, back to 128 MiB", l, 0); err != nil {
		t.Error(err)
	}
	if got, code := sh(t, r, 441, "dd if=/dev/zero of=/dev/shm/held bs=1M count=48 2>/dev/null; ls /dev/shm"); got != "held" {
		t.Fatalf("48 MiB that can't be reclaimed: %q %d", got, code)
	}
	l.MemoryHigh, l.MemoryMax, l.PIDs = 22<<20, 24<<20, 50
	err := change(t, r, 441, "memory, to 24 MiB below a use of 48", l, 0)
	var w limits.Waits
	if !errors.As(err, &w) || w.Wanted != 24<<20 || w.Uses < 48<<20 {
		t.Errorf("a limit below the use: %v", err)
	}
	if got := cgroup.ReadInt(dir, "memory.max", ""); got != 128<<20 {
		t.Errorf("memory.max is %d while more is used, want the one before", got)
	}
	if got := r.Told(deadline(t), 441).Memory; got != 24<<20 {
		t.Errorf("JEM is told of %d bytes of memory: its servers would never use less", got)
	}
	if got := cgroup.ReadInt(dir, "pids.max", ""); got != 50 {
		t.Errorf("pids.max is %d: what can be set waits too", got)
	}
	if n := cgroup.ReadInt(dir, "memory.events", "oom_kill"); n != 0 {
		t.Errorf("%d processes were killed", n)
	}
	all, err := r.Observe(deadline(t))
	if err != nil || len(all) != 1 || !strings.Contains(all[0].Set.Drift(l, 0), "memory.max is 134217728, wanted 25165824") {
		t.Errorf("it is not seen that the limit waits: %+v %v", all, err)
	}
	os.Remove(fmt.Sprintf("/proc/%d/root/dev/shm/held", all[0].PID))
	if err := change(t, r, 441, "memory, to 24 MiB when it is free again", l, 0); err != nil {
		t.Error(err)
	}
	if got, told := cgroup.ReadInt(dir, "memory.max", ""), r.Told(deadline(t), 441).Memory; got != 24<<20 || told != got {
		t.Errorf("memory.max is %d, JEM is told %d", got, told)
	}
}

// rate is how much of one kind a script in the container moves in a second.
func rate(t *testing.T, r *Runtime, id wire.CTID, kind, script string) float64 {
	t.Helper()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		t.Fatal(err)
	}
	began, before := time.Now(), moved(r, id, kind)
	if out, code := sh(t, r, id, script); code != 0 {
		t.Fatalf("%s: %d %s", script, code, out)
	}
	return float64(moved(r, id, kind)-before) / time.Since(began).Seconds()
}

// long is for what takes longer than a test of each change may.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/container` does it")
	}
}

// moved is what a container's cgroup counts in io.stat of one kind ("rios"), over all disks.
func moved(r *Runtime, id wire.CTID, kind string) (sum int64) {
	b, _ := os.ReadFile(filepath.Join(r.cgroup(id), "io.stat"))
	for _, f := range strings.Fields(string(b)) {
		if v, ok := strings.CutPrefix(f, kind+"="); ok {
			n, _ := strconv.ParseInt(v, 10, 64)
			sum += n
		}
	}
	return sum
}

// TestLiveIO: what a container reads and writes in a second follows its limits, and what goes on meanwhile does too.
func TestLiveIO(t *testing.T) {
	long(t)
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 442, forever)
	mustStart(t, r, s)
	const mib = 1 << 20
	write := "dd if=/dev/zero of=/srv/w bs=256k count=%d conv=fsync 2>/dev/null"
	read := "dd if=/srv/r of=/dev/null bs=256k 2>/dev/null"
	sh(t, r, 442, "dd if=/dev/urandom of=/srv/r bs=1M count=8 conv=fsync 2>/dev/null")
	l := s.Limits
	for _, c := range []struct {
		what   string
		with   ceiling.Ceilings
		kind   string // of io.stat
		most   float64
		script string
	}{
		{"writes of 2 MiB/s", ceiling.Ceilings{WriteBytes: 2 * mib}, "wbytes", 2 * mib, fmt.Sprintf(write, 24)},
		{"reads of 2 MiB/s", ceiling.Ceilings{ReadBytes: 2 * mib}, "rbytes", 2 * mib, read},
		{"8 reads/s", ceiling.Ceilings{ReadOps: 8}, "rios", 8, read},
		{"8 writes/s", ceiling.Ceilings{WriteOps: 8}, "wios", 8,
			"for i in 1 2 3 4; do dd if=/dev/zero of=/srv/o bs=4k count=1 conv=fsync 2>/dev/null; done"},
	} {
		l.Ceilings = ceiling.Ceilings{}
		if err := r.SetLimits(deadline(t), 442, l, 0); err != nil {
			t.Fatal(err)
		}
		free := rate(t, r, 442, c.kind, c.script)
		l.Ceilings = c.with
		if err := change(t, r, 442, c.what, l, 0); err != nil {
			t.Fatal(err)
		}
		limited := rate(t, r, 442, c.kind, c.script)
		t.Logf("%s: %s a second: %.0f, without the limit %.0f", c.what, c.kind, limited, free)
		if limited > 1.3*c.most || limited < 0.3*c.most || free < 2*limited {
			t.Errorf("%s: %s a second are %.0f, without the limit %.0f", c.what, c.kind, limited, free)
		}
		all, err := r.Observe(deadline(t))
		if err != nil || all[0].Set.Drift(l, 0) != "" {
			t.Errorf("%s: drift %q %v", c.what, all[0].Set.Drift(l, 0), err)
		}
	}
	// What is slowed down now goes on at once when the limit goes.
	l.Ceilings = ceiling.Ceilings{WriteBytes: mib / 4}
	if err := r.SetLimits(deadline(t), 442, l, 0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan time.Time)
	began := time.Now()
	go func() {
		sh(t, r, 442, fmt.Sprintf(write, 32))
		ended <- time.Now()
	}()
	soon(t, "the writer waits for its turn", func() bool {
		return time.Since(began) > 2*time.Second
	})
	l.Ceilings = ceiling.Ceilings{}
	slow := time.Now()
	if err := change(t, r, 442, "no limit of writes any more", l, 0); err != nil {
		t.Fatal(err)
	}
	took := (<-ended).Sub(slow)
	t.Logf("8 MiB at 256 KiB/s, which are 32 s: after %s without the limit the rest had come", took.Round(time.Millisecond))
	if took < 0 || took > 15*time.Second {
		t.Errorf("what was slowed down took %s more without a limit", took)
	}
}

// TestLiveRest: CPU, tasks and disk.
func TestLiveRest(t *testing.T) {
	long(t)
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 443, "while :; do :; done")
	mustStart(t, r, s)
	l := s.Limits
	if err := change(t, r, 443, "CPU, to a tenth of one", l, 10000); err != nil {
		t.Fatal(err)
	}
	used := func() int64 { return cgroup.ReadInt(r.cgroup(443), "cpu.stat", "usage_usec") }
	before, began := used(), time.Now()
	soon(t, "two seconds pass", func() bool { return time.Since(began) > 2*time.Second })
	share := float64(used()-before) / float64(time.Since(began).Microseconds())
	t.Logf("it uses %.1f %% of a CPU", 100*share)
	if share > 0.15 {
		t.Errorf("with a tenth of a CPU it uses %.1f %%", 100*share)
	}
	l.PIDs, l.DiskBytes = 8, 32<<20
	if err := change(t, r, 443, "8 tasks and 32 MiB of disk", l, 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := sh(t, r, 443, "i=0; while [ $i -lt 20 ]; do sleep 5 & i=$((i+1)); done 2>&1 | grep -c \"can't fork\""); got == "0" {
		t.Error("20 processes fit into 8")
	}
	got, code := sh(t, r, 443, "dd if=/dev/zero of=/srv/big bs=1M count=40 conv=fsync 2>&1")
	if code == 0 || !strings.Contains(got, "quota") {
		t.Errorf("40 MiB into 32: %d %s", code, got)
	}
}
