package lead

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/store"
)

// TestEditTakesItsTurns: each node of an edit has its whole time from the moment on in which it is its turn, however long those before it
// took; they are restarted in the order that their layers start in.
func TestEditTakesItsTurns(t *testing.T) {
	c := newEdited(t)
	layer := func(name wire.LayerName, nodes int, variable string, after ...wire.LayerName) operator.LayerSpec {
		return operator.LayerSpec{Name: name, Template: "t0", Nodes: nodes, Env: map[string]string{"A": variable}, After: after,
			Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 1}}
	}
	spec := func(layers ...operator.LayerSpec) *operator.EnvironmentSpec {
		return &operator.EnvironmentSpec{Version: 1, Name: "e0", Layers: layers}
	}
	c.accepted(ops.Request{Kind: "env.create", Env: "e0", Spec: spec(layer("bl", 1, "1", "sqldb"), layer("sqldb", 3, "1"))}, 12)
	began := c.now
	c.accepted(ops.Request{Kind: "env.edit", Env: "e0",
		Spec: spec(layer("bl", 1, "2", "sqldb"), layer("sqldb", 3, "2"), layer("cp", 1, "1", "sqldb"))}, 0)
	seen, order := map[string]bool{}, []string{}
	for op := (store.Operation{}); !op.State.Final(); {
		c.turn()
		slow := false
		for n := range store.NodesOf.Of(c.memory.View(), "e0") {
			w, _ := store.Works.Get(c.memory.View(), string(n.Host))
			at := slices.IndexFunc(w.Containers, func(ct host.Container) bool { return ct.CTID == n.CTID })
			key := fmt.Sprintf("%s%d", n.Layer, n.Index)
			if at < 0 || !w.Containers[at].Run || w.Containers[at].Boot == 0 && n.Layer != "cp" || seen[key] {
				continue
			}
			seen[key], slow = true, true
			order = append(order, string(n.Layer))
			c.agents[n.Host].states[n.CTID] = host.CtStarting
		}
		for range 15 {
			if slow { // nearly as long as a node has
				c.pass(10 * time.Second)
				if err := c.ops.Step(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, a := range c.agents {
			clear(a.states)
		}
		e, _ := store.Envs.Get(c.memory.View(), "e0")
		if op, _ = store.Operations.Get(c.memory.View(), string(e.Operation)); op.State.Final() && op.State != operator.OpDone {
			t.Fatalf("after %s it is %s: %+v\nin order %v", c.now.Sub(began), op.State, op.Problem, order)
		}
	}
	if got := strings.Join(order, " "); got != "sqldb sqldb sqldb bl cp" && got != "sqldb sqldb sqldb cp bl" {
		t.Errorf("started are %s", got)
	}
}
