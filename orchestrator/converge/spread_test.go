package converge

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// crowded is a cluster of two user hosts whose environment hello has all its nodes on host2, since host1 was away for a while.
func crowded(t *testing.T, nodes int) *world {
	t.Helper()
	w := newWorld(3)
	w.turn("start")
	w.env("hello", nodes, store.WantRunning)
	w.turn("create")
	w.all(1, 2)
	if p := w.turn("both run"); len(p.Uneven) != 0 || len(p.Alarms) != 0 {
		t.Fatalf("a layer that is spread: %v %v", p.Uneven, p.Alarms)
	}
	w.lose(1)
	if p := w.turn("host1 is lost"); len(p.Uneven) != 0 {
		t.Fatalf("while there is no better place: %v", p.Uneven)
	}
	w.all(1, 2)
	w.turn("host1 is back, empty")
	w.all(1, 2)
	return w
}

func where(w *world) string {
	var out []string
	for _, n := range w.in.Nodes {
		if n.Env == env.System {
			continue
		}
		s := n.CTID.String() + "@" + string(n.Host)
		if n.Gone {
			s += " gone"
		}
		if n.Replaces != 0 {
			s += " for " + n.Replaces.String()
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func (w *world) is(t *testing.T, when, want string) {
	t.Helper()
	if got := where(w); got != want {
		t.Errorf("%s: the nodes are %s, want %s", when, got, want)
	}
}

func TestSpread(t *testing.T) {
	w := crowded(t, 2)
	w.is(t, "after the loss", "101@h-2, 102@h-2")
	p := w.turn("said, not mended")
	if why := p.Uneven["hello"]; why != "layer cp isn't spread: host host2 has 2 of its nodes, host host1 has room and none" {
		t.Errorf("it isn't said: %q", why)
	}
	if len(p.Alarms) != 1 || !strings.Contains(p.Alarms[0], "hnctl env spread hello") {
		t.Errorf("alarms: %q", p.Alarms)
	}
	w.is(t, "nobody has asked", "101@h-2, 102@h-2")
	w.in.Spreading = map[wire.EnvName]bool{"hello": true}
	w.turn("asked")
	w.is(t, "a new one first", "101@h-2, 102@h-2, 103@h-1 for 102")
	if p := w.turn("it does not run yet"); len(p.Nodes) != 0 || p.Uneven["hello"] == "" {
		t.Errorf("while the new node starts: %+v", p)
	}
	w.all(1, 2)
	if p := w.turn("it runs"); p.Uneven["hello"] == "" {
		t.Error("the operation would be over before the next plan has looked")
	}
	w.is(t, "then the old one goes", "101@h-2, 102@h-2 gone, 103@h-1")
	w.all(1, 2)
	if p := w.turn("removed"); len(p.Uneven) != 0 || len(p.Alarms) != 0 {
		t.Errorf("after the move: %v %v", p.Uneven, p.Alarms)
	}
	w.is(t, "done", "101@h-2, 103@h-1")
	w.settled(t)
}

func TestSpreadIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		want   string
	}{
		{"cancelled, or out of time", func(w *world) { w.in.Spreading = nil }, "101@h-2, 102@h-2, 103@h-1 gone for 102"},
		{"stopped", func(w *world) { w.in.Spreading = nil; w.env("hello", 2, store.WantStopped) },
			"101@h-2, 102@h-2, 103@h-1 gone for 102"},
		{"deleted", func(w *world) { w.env("hello", 2, store.WantDeleted) }, "101@h-2 gone, 102@h-2 gone, 103@h-1 gone for 102"},
		{"the host it leaves is lost", func(w *world) { w.lose(2) }, "101@h-2 gone, 102@h-2 gone, 103@h-1, 104@h-1"},
		{"the host it goes to is lost", func(w *world) { w.lose(1) }, "101@h-2, 102@h-2, 103@h-1 for 102"},
		{"both are lost", func(w *world) { w.lose(1); w.lose(2) }, "101@h-2, 102@h-2, 103@h-1 for 102"},
	} {
		w := crowded(t, 2)
		w.in.Spreading = map[wire.EnvName]bool{"hello": true}
		w.turn("asked")
		c.change(w)
		w.turn(c.name)
		w.turn(c.name + ", and again")
		w.is(t, c.name, c.want)
	}
}

// Only one node of an environment moves at a time, and only when all of its layer run; nodes with volumes stay.
func TestSpreadIsCareful(t *testing.T) {
	w := crowded(t, 4)
	w.in.Spreading = map[wire.EnvName]bool{"hello": true}
	s := w.in.Live["h-2"]
	r := *s.Report
	r.Containers = append([]host.ContainerStatus(nil), r.Containers...)
	r.Containers[0].State = host.CtFailing
	s.Report = &r
	w.in.Live["h-2"] = s
	if p := w.turn("one of them fails"); len(p.Nodes) != 0 || p.Uneven["hello"] == "" {
		t.Errorf("with a node that fails: %+v", p.Steps)
	}
	w.all(1, 2)
	if p := w.turn("all run"); len(p.Nodes) != 1 {
		t.Errorf("%d nodes move at once: %+v", len(p.Nodes), p.Steps)
	}
	w = crowded(t, 2)
	for i := range w.in.Nodes {
		w.in.Nodes[i].Container.Volumes = []host.Volume{{Name: "data", Path: "/data"}}
	}
	w.in.Spreading = map[wire.EnvName]bool{"hello": true}
	if p := Make(w.in); p.NextCTID != 0 || len(p.Uneven) != 0 {
		t.Errorf("nodes with volumes: %+v %v", p.Steps, p.Uneven)
	}
	// What can't be better is no news.
	w = crowded(t, 2)
	w.report(1, operator.HostUnreachable)
	if p := Make(w.in); len(p.Uneven) != 0 {
		t.Errorf("without another host: %v", p.Uneven)
	}
}
