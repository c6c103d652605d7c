package live

import (
	"reflect"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/upkeep"
)

// TestBoots: a host's boots are its own word; what it can't know, the orchestrator remembers; each is counted once.
func TestBoots(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f := NewFleet(ClocksFor(1), now, nil)
	m := Member{ID: "h-000000000001", Name: "host-1", Joined: now}
	seq := int64(0)
	report := func(boot string, boots ...upkeep.Boot) []upkeep.Boot {
		t.Helper()
		seq++
		rep := &host.Report{Boot: boot, Seq: seq, Boots: boots}
		if _, err := f.Report(m, rep, now); err != nil {
			t.Fatal(err)
		}
		return f.Snapshot()[m.ID].Report.Boots
	}
	unknown := func(id string) upkeep.Boot {
		return upkeep.Boot{ID: id, Cause: upkeep.CauseUnknown, Evidence: []string{"no disk"}}
	}
	report("a", unknown("a"))
	if got := report("b", upkeep.Boot{ID: "b", Cause: upkeep.CausePanic, Reason: "x\x1b[2J"}); len(got) != 2 || got[0].Reason != "x [2J" ||
		got[1].ID != "a" {
		t.Errorf("a panic: %+v", got)
	}
	order := func(l upkeep.Leave, boot string) {
		ordered := m
		ordered.Order = &Order{Leave: l, Boot: boot, At: now, Until: now.Add(time.Minute)}
		f.Tick(now, []Member{ordered})
	}
	order(upkeep.Leave{By: "admin", Reason: "moved"}, "b")
	for range 3 { // it goes on saying what it knows
		got := report("c", unknown("c"))
		if len(got) != 3 || got[0].Cause != upkeep.CauseOrdered || got[0].By != "admin" || got[0].Reason != "moved" ||
			got[0].What != "reboot" || got[1].ID != "b" || len(got[0].Evidence) != 2 {
			t.Fatalf("ordered here: %+v", got)
		}
	}
	if got := report("d", unknown("d")); got[0].Cause != upkeep.CauseUnknown || len(got) != 4 {
		t.Errorf("the boot after that was not ordered: %+v", got)
	}
	order(upkeep.Leave{By: "admin"}, "d")
	if got := report("e", upkeep.Boot{ID: "e", Cause: upkeep.CausePower},
		upkeep.Boot{ID: "d"}); len(got) != 2 || got[0].Cause != upkeep.CausePower {
		t.Errorf("the host knows better: %+v", got)
	}
	if got := report("f"); got != nil {
		t.Errorf("an agent of an earlier release: %+v", got)
	}
	want := map[upkeep.Cause]int{upkeep.CausePanic: 1, upkeep.CauseOrdered: 1, upkeep.CauseUnknown: 1, upkeep.CausePower: 1}
	if got := f.Boots(); !reflect.DeepEqual(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}
