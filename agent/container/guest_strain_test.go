//go:build guest

package container

import (
	"slices"
	"testing"

	"hardnode.dev/internal/wire/strain"
)

// TestStrain: what a container lacks, and what its limits did to it, is in what is observed of it, which reports carry: it is held back by
// its CPU ceiling, waits for the processor, and runs out of memory. That goes on counting when it is started again.
func TestStrain(t *testing.T) {
	spawnerUp(t)
	r := newRuntime(t)
	s := box(t, 498, "while :; do :; done")
	s.CPUMaxMicros, s.Limits.MemoryMax = 50000, 16<<20
	mustStart(t, r, s)
	seen := func() strain.Strain {
		all, err := r.Observe(deadline(t))
		i := slices.IndexFunc(all, func(o Observed) bool { return o.CTID == 498 })
		if err != nil || i < 0 {
			t.Fatalf("observed %+v %v", all, err)
		}
		return all[i].Strain
	}
	var first strain.Strain
	soon(t, "its CPU ceiling holds it back", func() bool { first = seen(); return first.ThrottledMs > 0 })
	soon(t, "a part of the last minute it waited for the processor", func() bool {
		r.forgetSet(498) // else it is looked at every 30 seconds
		return seen().CPU > 0
	})
	if got, code := sh(t, r, 498, "tail /dev/zero"); code != 137 {
		t.Errorf("a command that has more than all memory: %d %q", code, got)
	}
	soon(t, "the kill is counted", func() bool { return seen().Kills > 0 })
	first = seen()
	t.Logf("it lacks %+v", first)
	if now, err := r.Sample(deadline(t), 498); err != nil || now.Strain.Kills != first.Kills || now.Strain.CPU == 0 ||
		now.Strain.ThrottledMs < first.ThrottledMs {
		t.Errorf("what it uses now: %+v %v", now, err)
	}
	if err := r.Stop(deadline(t), 498); err != nil {
		t.Fatal(err)
	}
	if got := seen(); got.Kills != first.Kills || got.ThrottledMs < first.ThrottledMs || got.CPU != 0 {
		t.Errorf("when it is stopped: %+v", got)
	}
	s.Process.Argv[2] = "tail /dev/zero"
	mustStart(t, r, s)
	soon(t, "the second kill is counted too", func() bool { return seen().Kills > first.Kills })
}
