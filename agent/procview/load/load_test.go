package load

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestNext(t *testing.T) {
	// A task that always runs: after a minute the first mean is 1-1/e, as the kernel's.
	m := 0.0
	for range 12 {
		m = next(m, 1, every, 0)
	}
	if want := 1 - 1/math.E; math.Abs(m-want) > 1e-9 {
		t.Errorf("after a minute %f, want %f", m, want)
	}
	if once := next(0, 1, time.Minute, 0); math.Abs(once-m) > 1e-9 {
		t.Errorf("a minute at once %f, in parts %f", once, m)
	}
	if next(2, 2, every, 1) != 2 || next(0, 0, rest, 2) != 0 {
		t.Error("a mean moves though nothing does")
	}
}

func TestState(t *testing.T) {
	for text, want := range map[string]byte{"12 (sh) S 1 2": 'S', "12 (a) R b) R 1": 'R', "7 (x)": 0, "": 0,
		"7 ()) D 1": 'D', "nonsense": 0} {
		if got := State(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestID(t *testing.T) {
	for name, want := range map[string]int64{"1": 1, "123": 123, "0": 0, "-1": 0, "01": 0, "x": 0, "": 0, "1x": 0,
		"9223372036854775807": 0} {
		if got, ok := ID(name); ok != (want > 0) || ok && int64(got) != want {
			t.Errorf("%q: %d, %v", name, got, ok)
		}
	}
}

// TestLook counts in a tree that looks like the kernel's.
func TestLook(t *testing.T) {
	cg, proc := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	used := func(usec int) { write(filepath.Join(cg, "7/cpu.stat"), fmt.Sprintf("usage_usec %d\n", usec)) }
	for pid, state := range map[int]string{11: "R", 12: "D", 13: "S", 14: "R"} {
		write(filepath.Join(proc, fmt.Sprint(pid), "stat"), fmt.Sprintf("%d (x) %s 1", pid, state))
	}
	write(filepath.Join(cg, "7/cgroup.threads"), "")
	write(filepath.Join(cg, "7/p/cgroup.threads"), "11\n12\n")
	write(filepath.Join(cg, "7/p/deep/cgroup.threads"), "13\n14\n15\n")
	tab, now := New(cg, proc), time.Now()
	tab.look(now)
	if l := tab.of(7, 5, now); l.Mean != [3]float64{} || l.Running != 0 {
		t.Errorf("it uses nothing: %+v", l)
	}
	tab, now = New(cg, proc), now.Add(every)
	used(1_000_000)
	tab.look(now)
	l := tab.of(7, 5, now)
	if l.Running != 2 || l.Blocked != 1 || l.Mean != [3]float64{3, 3, 3} || l.Tasks != 5 {
		t.Errorf("first look: %+v", l)
	}
	now = now.Add(every)
	tab.look(now) // used nothing since: nobody's state is asked for
	if l := tab.of(7, 5, now); l.Running != 0 || l.Mean[0] != next(3, 0, every, 0) || l.Mean[2] < l.Mean[0] {
		t.Errorf("idle: %+v", l)
	}
	used(2_000_000)
	now = now.Add(every)
	tab.look(now)
	if l := tab.of(7, 5, now); l.Running != 2 || l.Blocked != 1 {
		t.Errorf("at work again: %+v", l)
	}
	os.RemoveAll(filepath.Join(cg, "7"))
	now = now.Add(rest)
	tab.look(now)
	if len(tab.mu.all) != 0 {
		t.Error("one that has gone is remembered")
	}
	if l := tab.of(7, 0, now); l.Mean[0] != 0 {
		t.Errorf("unknown: %+v", l)
	}
}

// TestUnasked: the load of a container that nobody asked about is known by its processor time, and its tasks are not looked at.
func TestUnasked(t *testing.T) {
	cg, now := t.TempDir(), time.Now()
	stat := filepath.Join(cg, "7", "cpu.stat")
	used := func(d time.Duration) {
		t.Helper()
		text := fmt.Sprintf("usage_usec %d\n", d.Microseconds())
		if err := errors.Join(os.MkdirAll(filepath.Dir(stat), 0o755), os.WriteFile(stat, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	used(0)
	tab := New(cg, t.TempDir())
	looked := func() bool { tab.look(now); return tab.mu.all[7].at.Equal(now) }
	if !looked() {
		t.Fatal("the first look leaves it out")
	}
	for range 11 {
		if now = now.Add(every); looked() {
			t.Fatal("it is looked at, though nobody asked")
		}
	}
	used(110 * time.Second) // two processors for 55 seconds
	l := tab.of(7, 9, now)
	if want := next(0, 2, 55*time.Second, 0); math.Abs(l.Mean[0]-want) > 1e-6 || l.Running != 2 || l.Blocked != 0 || l.Tasks != 9 {
		t.Errorf("after 55 s: %+v, want %f and 2 running", l, want)
	}
	if now = now.Add(every); !looked() {
		t.Error("it is not looked at, though somebody asked")
	}
	now = now.Add(asked)
	tab.look(now)
	if now = now.Add(every); looked() {
		t.Error("it is still looked at, though nobody asks any more")
	}
}
