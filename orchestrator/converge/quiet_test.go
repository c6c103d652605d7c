package converge

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/converge/moving"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// quiet lets as much time pass as resolvers have that are not there, if a node waits for them.
func (w *world) quiet() {
	if slices.ContainsFunc(w.in.Nodes, func(n store.Node) bool { return n.Quiet != nil && !n.Quiet.Stopped }) {
		w.in.Now = w.in.Now.Add(moving.HoldWithin)
		w.turn("no resolver has said anything")
	}
}

// resolver gives the cluster a resolver, which is the last of its nodes.
func (w *world) resolver() {
	w.in.Nodes = append(w.in.Nodes, store.Node{CTID: 7, Env: env.System, Layer: host.ComponentResolver, Host: "h-0",
		Container: host.Container{CTID: 7, Env: env.System, Component: host.ComponentResolver, Generation: 1, Run: true,
			IPv4: netip.MustParseAddr("10.96.0.17")}})
	w.turn("a resolver")
}

// Where there is no resolver nothing comes for a node by one: it is started anew at once.
func TestQuietWithoutResolver(t *testing.T) {
	for _, resolved := range []bool{false, true} {
		w := newWorld(3)
		w.env("hello", 1, store.WantRunning)
		w.turn("create")
		if resolved {
			w.resolver()
		}
		w.hear(nil)
		l := &w.in.Envs[len(w.in.Envs)-1].Spec.Layers[0]
		w.in.Nodes[0].Made = &store.Made{Spec: *l}
		l.Env = map[string]string{"A": "1"}
		w.in.Editing = map[wire.EnvName]bool{"hello": true}
		w.turn("it is to be started anew")
		if n := w.in.Nodes[0]; (n.Container.Boot == 0) != resolved || (n.Quiet != nil && !n.Quiet.Stopped) != resolved {
			t.Errorf("a resolver is there: %v; start %d, %+v", resolved, n.Container.Boot, n.Quiet)
		}
	}
}

// A node that serves is started anew once nothing is under way to it, as the resolvers say, and the next one when it is heard of again; who
// is not to be started anew any more serves on.
func TestQuiet(t *testing.T) {
	w := newWorld(3)
	w.env("hello", 2, store.WantRunning)
	w.turn("create")
	w.resolver()
	w.hear(nil)
	boots := func() (out []int64) {
		for _, n := range w.in.Nodes[:2] {
			out = append(out, n.Container.Boot)
		}
		return out
	}
	l := &w.in.Envs[len(w.in.Envs)-1].Spec.Layers[0]
	for i := range w.in.Nodes[:2] {
		w.in.Nodes[i].Made = &store.Made{Spec: *l}
	}
	l.Env = map[string]string{"A": "1"}
	w.in.Editing = map[wire.EnvName]bool{"hello": true}
	step := func(said moving.Requests, after time.Duration) {
		t.Helper()
		w.in.Now, w.said = w.in.Now.Add(after), said
		w.turn("step")
	}
	step(moving.Requests{}, 0)
	if q := w.in.Nodes[0].Quiet; q == nil || q.Stopped || w.in.Nodes[1].Quiet != nil {
		t.Fatalf("at first: %+v, %+v", q, w.in.Nodes[1].Quiet)
	}
	for _, c := range []struct {
		what  string
		said  moving.Requests
		after time.Duration
		boots []int64
	}{
		{"they have not said so yet", moving.Requests{There: true}, 2 * time.Second, []int64{0, 0}},
		{"requests are under way", moving.Requests{There: true, Held: true, Busy: 2}, 2 * time.Second, []int64{0, 0}},
		{"none is", moving.Requests{There: true, Held: true}, 100 * time.Millisecond, []int64{1, 0}},
		{"it starts", moving.Requests{There: true, Held: true}, time.Second, []int64{1, 0}},
	} {
		if step(c.said, c.after); !slices.Equal(boots(), c.boots) {
			t.Fatalf("%s: starts are %v, want %v", c.what, boots(), c.boots)
		}
	}
	if q := w.in.Nodes[0].Quiet; q == nil || !q.Stopped || w.in.Nodes[1].Quiet != nil {
		t.Errorf("while it starts: %+v, %+v", q, w.in.Nodes[1].Quiet)
	}
	w.hear(nil)
	step(moving.Requests{There: true}, 100*time.Millisecond)
	if q := w.in.Nodes[1].Quiet; w.in.Nodes[0].Quiet != nil || q == nil || q.Stopped {
		t.Errorf("when it runs: %+v, %+v", w.in.Nodes[0].Quiet, q)
	}

	// The edit is undone: the second serves on, and the first goes back.
	l.Env, w.in.Editing = nil, nil
	step(moving.Requests{There: true}, 100*time.Millisecond)
	if q := w.in.Nodes[0].Quiet; w.in.Nodes[1].Quiet != nil || q == nil {
		t.Errorf("undone: %+v, %+v", q, w.in.Nodes[1].Quiet)
	}
	step(moving.Requests{There: true, Held: true, Busy: 1}, endWithin) // a request without end
	if !slices.Equal(boots(), []int64{2, 0}) {
		t.Errorf("undone: starts are %v", boots())
	}
	w.hear(map[wire.CTID]host.ContainerState{w.in.Nodes[0].CTID: host.CtStarting})
	step(moving.Requests{There: true, Held: true}, quietFor)
	if q := w.in.Nodes[0].Quiet; q != nil {
		t.Errorf("a resolver would not keep to it any more: %+v", q)
	}
}

// What a node was before a redeploy is kept until that can't be undone any more, and its host is told so.
func TestForget(t *testing.T) {
	w := newWorld(3)
	w.env("hello", 1, store.WantRunning)
	w.turn("create")
	w.hear(nil)
	n := &w.in.Nodes[0]
	n.Container.Generation = 3
	n.Container.Formers = []host.Former{{Generation: 2, Image: n.Container.Image}}
	n.Former = &store.Former{Until: w.in.Now.Add(time.Minute)}
	w.turn("meanwhile")
	if n := w.in.Nodes[0]; n.Former == nil || len(n.Container.Formers) != 1 {
		t.Errorf("meanwhile: %+v", n)
	}
	w.in.Now = w.in.Now.Add(time.Minute)
	w.turn("later")
	if n := w.in.Nodes[0]; n.Former != nil || n.Container.Formers != nil {
		t.Errorf("later: %+v", n)
	}
	if !strings.Contains(w.out.String(), "can't be undone any more") {
		t.Errorf("it does not say why:\n%s", w.out.String())
	}
}
