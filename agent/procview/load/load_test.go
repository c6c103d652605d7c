package load

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestNext(t *testing.T) {
	// A task that always runs: after a minute the first mean is 1-1/e, as the kernel's.
	m := 0.0
	for range 12 {
		m = next(m, 1, 0)
	}
	if want := 1 - 1/math.E; math.Abs(m-want) > 1e-9 {
		t.Errorf("after a minute %f, want %f", m, want)
	}
	if next(2, 2, 1) != 2 || next(0, 0, 2) != 0 {
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
	tab := New(cg, proc)
	used(1_000_000)
	tab.look()
	if l := tab.Of(7, 5); l.Running != 2 || l.Blocked != 1 || l.Mean != [3]float64{3, 3, 3} || l.Tasks != 5 {
		t.Errorf("first look: %+v", l)
	}
	tab.look() // used nothing since: nobody's state is asked for
	if l := tab.Of(7, 5); l.Running != 0 || l.Mean[0] >= 3 || l.Mean[0] < 2 || l.Mean[2] < l.Mean[0] {
		t.Errorf("idle: %+v", l)
	}
	os.RemoveAll(filepath.Join(cg, "7"))
	tab.look()
	if len(tab.mu.all) != 0 {
		t.Error("one that has gone is remembered")
	}
	if l := tab.Of(7, 0); l.Mean[0] != 0 {
		t.Errorf("unknown: %+v", l)
	}
}
