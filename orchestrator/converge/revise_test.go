package converge

import (
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
