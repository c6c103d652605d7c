//go:build guest

package container

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/container/cgroup"
	"hardnode.dev/agent/container/command"
	"hardnode.dev/internal/disk/zram"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/ceiling"
	"hardnode.dev/internal/wire/host"
)

// swapOn gives the guest the swap that init gives a host.
func swapOn(t *testing.T) {
	t.Helper()
	device, err := zram.Swap(512<<20, 256<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		path, _ := unix.BytePtrFromString(device)
		if _, _, errno := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(path)), 0, 0); errno != 0 {
			t.Errorf("swapoff: %v", errno)
		}
	})
}

// held is what hold says when it had what it asked for.
const held = "1+0 records out"

// hold is a command that has so many bytes in memory at once. The kernel writes them in one call: a program that reaches its limit step by
// step may have to read its own text again and again before it does.
func hold(bytes int) string {
	return "dd if=/dev/urandom of=/dev/null count=1 bs=" + strconv.Itoa(bytes) + " 2>&1"
}

// TestSwap: a container may have more than its memory by the half of it, compressed, unless its limits say that nothing is swapped out.
func TestSwap(t *testing.T) {
	spawnerUp(t)
	swapOn(t)
	r := newRuntime(t)
	s := box(t, 495, forever)
	s.Limits.MemoryMax = 24 << 20
	mustStart(t, r, s)
	const more = 28 << 20
	if got, code := sh(t, r, 495, hold(more)); code != 0 || !strings.Contains(got, held) {
		t.Errorf("28 MiB in a container of 24 MiB: %d %s", code, got)
	}
	l := s.Limits
	l.Ceilings.Swap = ceiling.NoSwap
	if err := r.SetLimits(deadline(t), 495, l, 0); err != nil {
		t.Fatal(err)
	}
	if got, code := sh(t, r, 495, hold(more)); code == 0 || strings.Contains(got, held) {
		t.Errorf("28 MiB in a container of 24 MiB of which nothing is swapped out: %d %s", code, got)
	}
}

// answers asks a container's web server n times, so long apart, and returns how long each answer took.
func answers(t *testing.T, r *Runtime, id wire.CTID, n int, apart time.Duration) []time.Duration {
	t.Helper()
	ns, err := r.Netns(id)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	var list []time.Duration
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with its network namespace
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		for range n {
			began := time.Now()
			if err := answer(); err != nil {
				done <- err
				return
			}
			list = append(list, time.Since(began))
			run.Wait(t.Context(), apart)
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return list
}

// answer asks once.
func answer() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte("GET /page HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	var b [4096]byte
	all := 0
	for {
		n, err := unix.Read(fd, b[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if all += n; n == 0 {
			break
		}
	}
	if all < 1000 {
		return errors.New("no page")
	}
	return nil
}

// TestNeighbours: what a container answers takes as long beside one that uses all it may of memory, processes, disk or log as it does
// alone: while that one is frozen. Both are measured in turn, because what else this machine does changes.
func TestNeighbours(t *testing.T) {
	long(t)
	spawnerUp(t)
	swapOn(t)
	r := newRuntime(t)
	mustStart(t, r, box(t, 496, "head -c 2000 /dev/zero > /srv/page; exec httpd -f -p 127.0.0.1:8080 -h /srv"))
	soon(t, "the web server answers", func() bool {
		_, code := sh(t, r, 496, "wget -q -O /dev/null http://127.0.0.1:8080/page")
		return code == 0
	})
	for _, bomb := range []struct {
		what, script string
		swap         int64
	}{
		{"a memory bomb", "head -c 400000000 /dev/zero | tail -c 400000000 > /dev/null", 0},
		{"a memory bomb without swap", "head -c 400000000 /dev/zero | tail -c 400000000 > /dev/null", ceiling.NoSwap},
		{"a fork bomb", "b() { b | b & }; b; sleep 1", 0},
		{"one that fills its disk", "dd if=/dev/zero of=/srv/big bs=1M count=100 conv=fsync; rm /srv/big", 0},
		{"a log flood", "yes 0123456789012345678901234567890123456789 > /proc/1/fd/1", 0},
	} {
		t.Run(bomb.what, func(t *testing.T) { beside(t, r, 496, bomb.script, bomb.swap) })
	}
}

// beside measures a container's answers beside another that goes through a script again and again.
func beside(t *testing.T, r *Runtime, id wire.CTID, script string, swap int64) {
	t.Helper()
	const turns, times, apart = 5, 50, 20 * time.Millisecond
	s := box(t, 497, forever)
	s.CPUMaxMicros = 30000 // two cloudlets of a processor of 2.6 GHz
	s.Limits.Ceilings.Swap = swap
	if _, err := r.Start(deadline(t), s); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var bombs sync.WaitGroup
	bombs.Go(func() {
		for ctx.Err() == nil {
			r.Exec(ctx, 497, host.ExecSpec{Argv: []string{"sh", "-c", script}}, command.Stdio{})
			run.Wait(ctx, 10*time.Millisecond)
		}
	})
	run.Wait(t.Context(), 2*time.Second)
	var took [2][]time.Duration // alone, and beside it
	for range turns {
		for i, frozen := range []string{"1", "0"} {
			if err := cgroup.Write(filepath.Join(r.cgroup(497), "cgroup.freeze"), frozen); err != nil {
				t.Fatal(err)
			}
			run.Wait(t.Context(), 200*time.Millisecond)
			took[i] = append(took[i], answers(t, r, id, times, apart)...)
		}
	}
	stop()
	bombs.Wait()
	if err := r.Remove(deadline(t), 497, false); err != nil {
		t.Error(err)
	}
	of := func(i, percent int) float64 {
		slices.Sort(took[i])
		return float64(took[i][len(took[i])*percent/100]) / float64(time.Millisecond)
	}
	p50, p99 := of(1, 50)/of(0, 50), of(1, 99)/of(0, 99)
	t.Logf("FIGURE p50 %.2f × (%.1f ms, alone %.1f; bar 1.15), p99 %.2f × (%.1f ms, alone %.1f; bar 2)", p50, of(1, 50), of(0, 50), p99,
		of(1, 99), of(0, 99))
	if p50 > 3 || p99 > 6 { // three times the bars: this guest has one emulated processor
		t.Errorf("answers take %.1f times as long, p99 %.1f times", p50, p99)
	}
}
