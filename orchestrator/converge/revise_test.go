package converge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// A node that was started anew a moment ago, and has not come up yet, holds the next one's restart up, though it is only resized now.
func TestRevisedWhileItStarts(t *testing.T) {
	for _, ago := range []time.Duration{time.Second, time.Hour} {
		w := newWorld(3)
		w.env("hello", 2, store.WantRunning)
		w.turn("create")
		w.hear(map[wire.CTID]host.ContainerState{100: host.CtStarting})
		l := &w.in.Envs[len(w.in.Envs)-1].Spec.Layers[0]
		for i := range w.in.Nodes {
			w.in.Nodes[i].Made = &store.Made{Spec: *l, At: w.in.Now.Add(-ago)}
			w.in.Nodes[i].HTTP = 0 // nothing comes for it by resolvers
		}
		w.in.Nodes[1].Made.Spec.Env = map[string]string{"A": "1"} // it is undone only now
		l.Cloudlets.Dynamic++
		w.in.Editing = map[wire.EnvName]bool{"hello": true}
		w.turn("edit")
		first, second := w.in.Nodes[0].Container, w.in.Nodes[1].Container
		if first.Limits.MemoryMax != int64(l.Cloudlets.Dynamic)*wire.CloudletBytes || first.Boot != 0 {
			t.Fatalf("the first node is not resized: %+v", first)
		}
		if held := second.Boot == 0; held != (ago == time.Second) {
			t.Errorf("the first was started %s ago: the second is held up: %v\n%s", ago, held, w.out.String())
		}
	}
}

// An edit starts layers anew in the order that they start in, each once those before it run again; what is changed live waits for nobody.
// A layer that the edit adds comes before those that start after it, and an undo has the same order but waits for nobody for ever.
func TestRevisedInTurn(t *testing.T) {
	begin := func() *world {
		w := newWorld(3)
		w.chain(1, 1)
		for range 4 {
			w.turn("start")
			w.hear(nil)
		}
		for i := range w.in.Nodes {
			w.in.Nodes[i].Made = &store.Made{Spec: *layerOf(*w.hello(), w.in.Nodes[i].Layer)}
		}
		w.in.Editing = map[wire.EnvName]bool{"hello": true}
		return w
	}
	restarted := func(w *world) string {
		before := map[wire.CTID]int64{}
		for _, n := range w.in.Nodes {
			before[n.CTID] = n.Container.Boot
		}
		w.turn("edit")
		w.quiet()
		var out []string
		for _, n := range w.in.Nodes {
			if boot, there := before[n.CTID]; !there || boot != n.Container.Boot {
				out = append(out, string(n.Layer))
			}
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	expect := func(w *world, title string, wants ...string) {
		t.Helper()
		for i, want := range wants {
			if got := restarted(w); got != want {
				t.Fatalf("%s: in turn %d started anew are %q, want %q\n%s", title, i, got, want, w.out.String())
			}
			if want != "" {
				w.hear(nil)
			}
		}
	}
	w := begin()
	for i := range w.hello().Spec.Layers {
		w.hello().Spec.Layers[i].Env = map[string]string{"A": "1"}
	}
	expect(w, "all", "sqldb")
	w.hear(map[wire.CTID]host.ContainerState{w.of("sqldb").CTID: host.CtStarting})
	expect(w, "the database starts", "")
	w.hear(nil)
	expect(w, "it runs", "cp", "bl", "")

	w = begin()
	w.hello().Spec.Layers[0].Env, w.hello().Spec.Layers[2].Env = map[string]string{"A": "1"}, map[string]string{"A": "1"}
	w.hello().Spec.Layers[1].Cloudlets.Dynamic++
	expect(w, "the one between is resized", "sqldb", "bl", "")
	if got := w.of("cp").Container.Limits.MemoryMax; got != 2*wire.CloudletBytes {
		t.Errorf("it has %d bytes", got)
	}

	w = begin()
	more := w.hello().Spec.Layers[2]
	more.Name = "cache"
	w.hello().Spec.Layers = append(w.hello().Spec.Layers, more)
	w.hello().Spec.Layers[1].Env, w.hello().Spec.Layers[1].After = map[string]string{"A": "1"}, []wire.LayerName{"sqldb", "cache"}
	expect(w, "one is added", "cache", "cp", "")

	// It is undone while the database does not come up: the balancer is held for as long as that may yet come, and not longer.
	w = begin()
	w.hello().Spec.Layers[0].Env, w.hello().Spec.Layers[2].Env = map[string]string{"A": "1"}, map[string]string{"A": "1"}
	expect(w, "before it is undone", "sqldb", "bl")
	w.hello().Spec.Layers[0].Env, w.hello().Spec.Layers[2].Env, w.in.Editing = nil, nil, nil
	sick := map[wire.CTID]host.ContainerState{w.of("sqldb").CTID: host.CtFailing}
	w.hear(sick)
	expect(w, "undone", "sqldb")
	w.hear(sick)
	expect(w, "it fails", "")
	w.in.Now = w.in.Now.Add(w.in.Clocks.Change)
	w.hear(sick)
	expect(w, "for long", "bl", "")
	w.hear(nil)
	w.settled(t)
}

// Who waits has its time from the end of that on.
func TestRevisedAfterItWaited(t *testing.T) {
	w := newWorld(3)
	w.chain(1, 1)
	w.turn("start")
	w.hear(map[wire.CTID]host.ContainerState{w.of("sqldb").CTID: host.CtStarting})
	w.turn("wait")
	for i := range w.in.Nodes {
		w.in.Nodes[i].Made = &store.Made{Spec: *layerOf(*w.hello(), w.in.Nodes[i].Layer), At: w.in.Now}
	}
	w.in.Editing = map[wire.EnvName]bool{"hello": true}
	w.in.Now = w.in.Now.Add(time.Hour)
	w.hear(nil)
	w.turn("the database runs")
	if n := w.of("cp"); n.Waits != "" || !n.Made.At.Equal(w.in.Now) {
		t.Errorf("it waits: %q, and its time is from %s on, want %s", n.Waits, n.Made.At, w.in.Now)
	}
}
