//go:build guest

package view

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/proc"
	"hardnode.dev/init/supervise"
	"hardnode.dev/internal/wire/boot"
)

// The program that answers, kept as init keeps it, is killed and stopped under readers. PROCVIEW names it where this is no guest.

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == supervise.ExecArg {
		fmt.Fprintln(os.Stderr, supervise.ExecHelper(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// world keeps the program for a container 7 of 64 MiB.
func world(t *testing.T, program string) (dir string, h *supervise.Handle) {
	t.Helper()
	tmp, err := os.MkdirTemp("/tmp", "view")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(tmp, "view")
	cg := filepath.Join(tmp, "cg/7")
	if err := os.MkdirAll(cg, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"memory.max": "67108864\n", "memory.current": "4096\n", "memory.stat": "anon 4096\n",
		"cpu.max": "max 100000\n", "memory.swap.max": "0\n", "memory.swap.current": "0\n", "cpu.stat": "usage_usec 1\n"} {
		if err := os.WriteFile(filepath.Join(cg, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := Mount(dir)
	if err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(tmp, "self") // the exec helper is run by the other user
	raw, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(self, raw, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	procs := &proc.Table{}
	s := &supervise.Supervisor{Procs: procs, Socket: filepath.Join(tmp, "notify"), Cgroup: filepath.Join(tmp, "system"), LogDir: tmp,
		Self: self, NoCgroup: true, Group: boot.NotifyGroup, Uptime: func() time.Duration { return 0 },
		Say:    func(format string, args ...any) { fmt.Printf(format+"\n", args...) },
		Output: func(_, line string) { fmt.Println("procview> " + line) }}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { s.Notifications(ctx) })
	h = s.Keep(ctx, supervise.Service{Name: "procview", Argv: []string{program, "-procview", "-cgroup", filepath.Join(tmp, "cg")},
		Watchdog: 400 * time.Millisecond, User: boot.ViewUser, Held: []*os.File{conn.Dev}, Asks: conn.Asks()})
	all.Go(func() { conn.StandIn(ctx, func() bool { return h.Status().State == supervise.Ready }) })
	t.Cleanup(func() {
		h.Stop()
		cancel()
		all.Wait()
		unix.Unmount(dir, unix.MNT_DETACH)
		conn.Dev.Close()
		os.RemoveAll(tmp)
	})
	return dir, h
}

func program() string {
	if p := os.Getenv("PROCVIEW"); p != "" {
		return p
	}
	return "/usr/lib/hardnode/console"
}

func scale() time.Duration {
	var n float64 = 1
	fmt.Sscan(os.Getenv("HARDNODE_SCALE"), &n)
	return time.Duration(max(n, 1))
}

// readers read without end, each by a descriptor that it opens anew each time, and by one that stays open.
type readers struct {
	stop             atomic.Bool
	all              sync.WaitGroup
	reads, refused   atomic.Int64
	longest, strange atomic.Pointer[string]
	most             atomic.Int64
}

func (r *readers) read(path string) {
	kept, err := os.Open(path)
	for ; errors.Is(err, unix.EIO) && !r.stop.Load(); kept, err = os.Open(path) { // nobody answers at this moment
		r.refused.Add(1)
		<-time.After(2 * time.Millisecond)
	}
	defer kept.Close()
	b := make([]byte, 8192)
	for i := 0; !r.stop.Load(); i++ {
		began := time.Now()
		f, err := kept, error(nil)
		if i%2 == 0 {
			f, err = os.Open(path)
		}
		n := 0
		if err == nil {
			n, err = f.ReadAt(b, 0)
			if i%2 == 0 {
				f.Close()
			}
		}
		took := time.Since(began)
		for old := r.most.Load(); int64(took) > old && !r.most.CompareAndSwap(old, int64(took)); old = r.most.Load() {
		}
		switch text := string(b[:n]); {
		case n > 0 && strings.HasPrefix(text, "MemTotal:          65536 kB\n"):
			r.reads.Add(1)
		case n == 0 && errors.Is(err, unix.EIO):
			r.refused.Add(1)
		default:
			said := fmt.Sprintf("%v: %.40q", err, text)
			r.strange.Store(&said)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// unasked: a program that nobody asks owes no beat, and who asks again after a while is no reason to end it. One that was stopped meanwhile
// is ended as soon as somebody asks.
func unasked(t *testing.T, path string, h *supervise.Handle) {
	pid := h.Status().PID
	for _, stopped := range []bool{false, true} {
		<-time.After(2 * time.Second) // five times what it may owe
		if stopped {
			if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		r := &readers{}
		r.all.Go(func() { r.read(path) })
		for began := time.Now(); time.Since(began) < time.Second || r.reads.Load() < 100 || stopped && h.Status().PID == pid; {
			if time.Since(began) > 30*time.Second*scale() {
				t.Fatalf("%+v, %d reads", h.Status(), r.reads.Load())
			}
			<-time.After(10 * time.Millisecond)
		}
		r.stop.Store(true)
		r.all.Wait()
		most := time.Duration(r.most.Load())
		t.Logf("asked again after a while, stopped %t: %d reads, %d refused, the longest took %s", stopped, r.reads.Load(),
			r.refused.Load(), most.Round(time.Millisecond))
		if s := r.strange.Load(); s != nil || most > time.Second*scale() || !stopped && (h.Status().PID != pid || r.refused.Load() > 0) {
			t.Errorf("the longest read took %s; %+v", most, h.Status())
		}
	}
}

// TestServerEnds: under 50 readers the program is killed, stopped and, at last, can't be started any more. Nobody waits for longer than a
// second, or reads what is not the container's.
func TestServerEnds(t *testing.T) {
	dir, h := world(t, program())
	select {
	case <-h.Ready():
	case <-time.After(20 * time.Second * scale()):
		t.Fatal("the program is not ready")
	}
	path := filepath.Join(dir, "7/meminfo")
	unasked(t, path, h)
	r := &readers{}
	for range 50 {
		r.all.Go(func() { r.read(path) })
	}
	rss, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.Status().PID))
	for line := range strings.Lines(string(rss)) {
		if name, _, _ := strings.Cut(line, ":"); slices.Contains([]string{"VmRSS", "RssAnon", "Uid", "CapEff"}, name) {
			t.Logf("program: %s", strings.TrimSpace(line))
		}
	}
	var pids []int
	for i, signal := range []unix.Signal{unix.SIGKILL, unix.SIGSTOP, unix.SIGKILL, unix.SIGSTOP, unix.SIGKILL} {
		pid := h.Status().PID
		before := r.reads.Load()
		r.most.Store(0)
		began := time.Now()
		if err := unix.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
		for h.Status().PID == pid || h.Status().State != supervise.Ready || r.reads.Load() < before+500 {
			if time.Since(began) > 30*time.Second*scale() {
				t.Fatalf("after %s: %+v, %d reads, were %d", unix.SignalName(signal), h.Status(), r.reads.Load(), before)
			}
			<-time.After(10 * time.Millisecond)
		}
		t.Logf("%d %s: another process after %s at most; the longest read took %s; %d reads, %d refused so far", i, unix.SignalName(signal),
			time.Since(began).Round(time.Millisecond), time.Duration(r.most.Load()).Round(time.Millisecond), r.reads.Load(),
			r.refused.Load())
		if most := time.Duration(r.most.Load()); most > time.Second*scale() {
			t.Errorf("a read took %s after %s", most, unix.SignalName(signal))
		}
		pids = append(pids, h.Status().PID)
	}
	slices.Sort(pids)
	if len(slices.Compact(pids)) != 5 {
		t.Errorf("processes %v: want five", pids)
	}
	r.most.Store(0)
	h.Stop() // as a program that can't be started
	before := r.refused.Load()
	for began := time.Now(); r.refused.Load() < before+100; {
		if time.Since(began) > 20*time.Second*scale() {
			t.Fatalf("without a program %d reads were refused, were %d", r.refused.Load(), before)
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Logf("none: the longest read took %s", time.Duration(r.most.Load()).Round(time.Millisecond))
	r.stop.Store(true)
	r.all.Wait()
	if most := time.Duration(r.most.Load()); most > time.Second*scale() {
		t.Errorf("a read took %s without a program", most)
	}
	if s := r.strange.Load(); s != nil {
		t.Errorf("somebody read %s", *s)
	}
}
