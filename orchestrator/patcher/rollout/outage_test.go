package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
)

func TestOutages(t *testing.T) {
	f := newFleet(1)
	h := f.hosts[0].Host
	h.Asked, h.Seen = true, noon
	at := func(sec int) time.Time { return noon.Add(time.Duration(sec) * time.Second) }
	look := func(w Watch, sec int, step, one, two string, started int) Watch {
		h.Nodes = slices.Clone(h.Nodes)
		h.Nodes[0].State, h.Nodes[1].State = one, two
		if started > 0 {
			h.Nodes[0].Started = at(started)
		}
		if one == "running" {
			h.Seen = at(sec)
		}
		return Look(w, h, step, "", at(sec))
	}
	w := Begin(h, noon)
	w = look(w, 5, stepSwitch, "running", "running", 0)
	w = look(w, 10, stepSwitch, "unknown", "unknown", 0)
	if got := Outages(w, at(20)); len(got) != 2 || got[0].Seconds != 15 || !got[0].To.IsZero() {
		t.Errorf("while it is away: %+v", got)
	}
	w = look(w, 60, stepHealth, "running", "running", 48) // the second was only out of sight
	h.Nodes[1].Gone = true
	w = look(w, 70, stepWatch, "running", "removing", 0)
	got := Outages(w, at(100))
	if len(got) != 2 || got[0].Seconds != 43 || got[0].Cause != "its host boots the release" || !got[0].To.Equal(at(48)) ||
		got[1].Seconds != 0 || !strings.HasPrefix(got[1].Cause, "replaced") || got[0].Host != "h1" || got[0].CTID != 110 {
		t.Errorf("%+v", got)
	}
	// A resolver that is patched serves all the time: one version beside the other.
	h.Nodes = slices.Clone(h.Nodes)
	h.Nodes[0].Component, h.Nodes[0].State, h.Nodes[0].Started = host.ComponentResolver, "starting", at(72)
	if got := Outages(Look(w, h, stepTry, host.ComponentResolver, at(75)), at(100)); len(got) != 2 {
		t.Errorf("of the resolver: %+v", got)
	}
	if got := Outages(Look(w, h, stepTry, "registry", at(75)), at(100)); len(got) != 3 {
		t.Errorf("of a resolver that starts while another is patched: %+v", got)
	}
	h.Nodes[0].State = "running"
	if got := Outages(Look(w, h, stepTry, "registry", at(75)), at(100)); len(got) != 2 {
		t.Errorf("of the resolver in its own place again: %+v", got)
	}
	h.Nodes[0].Component = ""
	// A node that was started anew between two looks is found by its start.
	w = look(w, 80, stepWatch, "running", "removing", 75)
	if got = Outages(w, at(100)); len(got) != 3 || got[1].Seconds != 5 || got[1].Cause != "it is not back after the boot" {
		t.Errorf("%+v", got)
	}
}
