package progress

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

func TestRefusal(t *testing.T) {
	running, stopped := &store.Environment{Want: store.WantRunning}, &store.Environment{Want: store.WantStopped}
	going, system := &store.Environment{Want: store.WantDeleted}, &store.Environment{Want: store.WantRunning, System: true}
	trash := &store.Environment{Want: store.WantStopped, Trash: &store.Trash{Until: t0}}
	started := &store.Environment{Want: store.WantRunning, Trash: &store.Trash{Until: t0}} // by an orchestrator that knows no trash
	erased := &store.Environment{Want: store.WantDeleted, Trash: &store.Trash{Until: t0}}
	for _, c := range []struct {
		kind  string
		env   *store.Environment
		match wire.Revision
		want  string // part of the reason; "" is accepted
	}{
		{"env.create", nil, 0, ""},
		{"env.create", running, 0, "the name is taken"},
		{"env.start", nil, 0, "no such environment"},
		{"env.start", stopped, 0, ""},
		{"env.stop", system, 0, "the platform itself"},
		{"env.start", going, 0, "being deleted"},
		{"env.delete", going, 0, ""},
		{"env.spread", stopped, 0, "not to run"},
		{"env.spread", running, 0, ""},
		{Trash, running, 0, ""},
		{Trash, trash, 0, "it is in the trash, until 2"},
		{Restore, trash, 0, ""},
		{Restore, trash, 6, "it has revision 7 now"},
		{Restore, running, 0, "it is not in the trash"},
		{Restore, started, 0, "it is not in the trash"},
		{Restore, erased, 0, "being deleted"},
		{"env.create", trash, 0, "an environment in the trash"},
		{"env.create", started, 0, "the name is taken"},
		{"env.delete", trash, 0, ""},
		{"env.start", trash, 0, "it is in the trash, until 2"},
		{Edit, trash, 0, "it is in the trash, until 2"},
		{"node.change", trash, 0, "it is in the trash, until 2"},
		{Edit, started, 0, ""},
		{"env.stop", running, 7, ""},
		{"env.stop", running, 6, "it has revision 7 now, If-Match says 6"},
	} {
		p := Refusal(c.kind, "hello", c.env, 7, c.match)
		if (p == nil) != (c.want == "") || p != nil && (!strings.Contains(p.Reason, c.want) || p.Object != "environments/hello") {
			t.Errorf("%s: %v, want %q", c.kind, p, c.want)
		}
	}
}

func TestInterrupt(t *testing.T) {
	by := operation("env.stop")
	by.ID, by.Created = "op-2", t0.Add(time.Minute)
	start := operation("env.start")
	start.Before = &store.Earlier{}
	ended, p := kinds["env.stop"].Interrupt(start, by)
	if p != nil || ended.State != operator.OpCancelled || ended.Before != nil || ended.Updated != by.Created ||
		ended.Problem.Next != "see operation op-2" {
		t.Errorf("got %+v, %v", ended, p)
	}
	if start.State != operator.OpPending || start.Steps[1].State != operator.OpPending {
		t.Errorf("it changed its input: %+v", start)
	}
	if _, p := kinds["env.start"].Interrupt(operation("env.spread"), by); p == nil || !strings.Contains(p.Next, "hnctl op watch op-1") {
		t.Errorf("a start interrupted a spread: %v", p)
	}
}

// What a failed creation left is mended when all of it has run for a while, and broken only when every node was looked at.
func TestFailedCreation(t *testing.T) {
	state := func(s ...string) (f env.Facts) {
		f.Want = "running"
		for i, s := range s {
			f.Nodes = append(f.Nodes, env.NodeState{CTID: wire.CTID(101 + i), State: s})
		}
		return f
	}
	since := func(d ...time.Duration) (out []Node) {
		for _, d := range d {
			out = append(out, Node{Node: operator.Node{State: "running", Started: t0.Add(-d)}})
		}
		return out
	}
	for _, c := range []struct {
		name           string
		f              env.Facts
		nodes          []Node
		mended, broken bool
	}{
		{"all run, long enough", state("running", "running"), since(lasting, time.Hour), true, false},
		{"one began a moment ago", state("running", "running"), since(lasting-time.Second, time.Hour), false, false},
		{"one fails", state("running", "failing"), since(time.Hour, time.Hour), false, true},
		{"one's host does not answer", state("failing", env.Unknown), since(time.Hour, time.Hour), false, false},
	} {
		if m, b := Mended(c.f, c.nodes, t0), SeenBroken(c.f); m != c.mended || b != c.broken {
			t.Errorf("%s: mended %v, broken %v; want %v, %v", c.name, m, b, c.mended, c.broken)
		}
	}
}
