//go:build guest

package container

import (
	"context"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/meter"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/usage"
)

func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// taken is the memory that can't be had any more, and what of it is the spawner's own and this agent's, in bytes.
func taken(t *testing.T) (all, ours int64) {
	t.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		t.Fatal(err)
	}
	number := func(path, name string) int64 {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				return n << 10
			}
		}
		t.Fatalf("no %s in %s", name, path)
		return 0
	}
	for _, p := range []string{"self", strconv.Itoa(world.init.cmd.Process.Pid)} {
		ours += number("/proc/"+p+"/status", "RssAnon")
	}
	return number("/proc/meminfo", "MemTotal") - number("/proc/meminfo", "MemAvailable"), ours
}

// TestMeter: what a container uses of the real kernel is in its minute's record, its peak too, and what 300 idle ones cost to count.
func TestMeter(t *testing.T) {
	long(t)
	spawnerUp(t)
	r := newRuntime(t)
	const idle = 300
	all, ours := taken(t)
	for i := range idle {
		s := box(t, wire.CTID(2000+i), "")
		s.Process.Argv = []string{"sleep", "100000"}
		mustStart(t, r, s)
	}
	for i := range idle {
		if got, code := sh(t, r, wire.CTID(2000+i), "echo here"); got != "here" || code != 0 {
			t.Errorf("a command in container %d: %q %d", 2000+i, got, code)
		}
	}
	nowAll, nowOurs := taken(t)
	each := func(bytes int64) float64 { return float64(bytes) / idle / (1 << 20) }
	t.Logf("FIGURE each of %d idle containers takes %.2f MiB in all (bar 0.9), %.3f of it in the host's programs (bar 0.1)", idle,
		each(nowAll-all), each(nowOurs-ours))
	if each(nowAll-all) > 0.9 || each(nowOurs-ours) > 0.1 {
		t.Errorf("an idle container takes %.2f MiB, %.3f of it in the host's programs; want 0.9 and 0.1 at most",
			each(nowAll-all), each(nowOurs-ours))
	}
	mustStart(t, r, box(t, 449, forever))
	m := meter.New(meter.Options{Dir: "/data/usage", Cgroup: r.opts.Cgroup, Boot: "boot"})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	run.Wait(t.Context(), 7*time.Second)
	sh(t, r, 449, "dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; rm /dev/shm/x; dd if=/dev/zero of=/srv/f bs=1M count=8 "+
		"conv=fsync 2>/dev/null")
	share := func(what string, d time.Duration, f func()) {
		before, began := cpuTime(), time.Now()
		for time.Since(began) < d {
			f()
			run.Wait(t.Context(), 10*time.Second) // as agent/apply does where looking takes long
		}
		t.Logf("%s %d idle containers takes %.2f %% of this processor", what, idle,
			100*float64(cpuTime()-before)/float64(time.Since(began)))
	}
	look := func() {
		before, began := cpuTime(), time.Now()
		if _, err := r.Observe(deadline(t)); err != nil {
			t.Fatal(err)
		}
		t.Logf("a look at all of them takes %s, %s of it processor time", time.Since(began).Round(time.Millisecond),
			(cpuTime() - before).Round(time.Millisecond))
	}
	share("counting", 30*time.Second, func() {})
	share("counting and beginning to look at", 70*time.Second, look)
	share("counting and looking at", time.Minute, look)
	var a usage.Answer
	soon(t, "the first minute's record is there", func() (ok bool) {
		var err error
		a, err = m.Answer(t.Context(), usage.Ask{Step: usage.Minute})
		return err == nil && len(a.Records) > 0
	})
	stop()
	<-done
	a.Records = slices.DeleteFunc(a.Records, func(r usage.Record) bool { return r.Revision != a.Records[0].Revision })
	if len(a.Records) != idle+1 {
		t.Errorf("%d records of %d containers", len(a.Records), idle+1)
	}
	for _, rec := range a.Records {
		if rec.CTID != 449 {
			continue
		}
		t.Logf("it used %+v", rec)
		if rec.MemoryPeak < 40<<20 || rec.Written < 8<<20 || rec.CPUMicros == 0 || rec.Seconds < 30 || rec.MemoryMean > rec.MemoryPeak {
			t.Errorf("the record %+v", rec)
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd")
	t.Logf("%d descriptors are open", len(fds))
}
