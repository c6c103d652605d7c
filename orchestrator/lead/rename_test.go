package lead

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/store"
)

// rename asks for another name of an environment; a refusal is an answer.
func (c *edited) rename(from, to wire.EnvName) {
	var p *operator.Problem
	switch err := c.ops.Rename(context.Background(), from, to, wire.AdminAccount, 0); {
	case errors.Is(err, errKilled):
		c.begin()
	case err != nil && !errors.As(err, &p):
		c.t.Fatal(err)
	case err == nil:
		c.renames++
	}
}

// stopsAndRenames has an environment stop, and asks for another name of it some time later, which may be another's.
func (c *edited) stopsAndRenames(name wire.EnvName) {
	c.ask(ops.Request{Kind: "env.stop", Env: name})
	for range rapid.SampledFrom([]int{0, 2, 4, 6}).Draw(c.r, "turns before it is renamed") {
		c.turn()
	}
	c.rename(name, wire.EnvName(rapid.SampledFrom([]string{"e0", "e1", "e2"}).Draw(c.r, "name")))
	if _, there := store.Envs.Get(c.memory.View(), "e2"); there && rapid.Bool().Draw(c.r, "and back") {
		c.rename("e2", name)
	}
}

// TestRenameAtAnyMoment: an environment is renamed however far it has come with stopping, and the orchestrator may end there: it is whole
// under the one name or the other, and nothing of it is left under that one.
func TestRenameAtAnyMoment(t *testing.T) {
	renamed := 0
	rapid.Check(t, func(t *rapid.T) {
		c := newEdited(t)
		c.accepted(ops.Request{Kind: "env.create", Env: "e0", Spec: &operator.EnvironmentSpec{Version: 1, Name: "e0",
			Layers: []operator.LayerSpec{
				{Name: "cp", Template: "t0", Nodes: 2, Links: []wire.LayerName{"bl"}, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 1}},
				{Name: "bl", Template: "t1:1", Nodes: 1, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 1}}}}}, 6)
		c.accepted(ops.Request{Kind: "env.stop", Env: "e0"}, rapid.IntRange(0, 6).Draw(t, "turns"))
		if rapid.Bool().Draw(t, "killed") {
			c.left = 1
		}
		c.rename("e0", "e1")
		renamed += c.renames
		name, other := wire.EnvName("e0"), wire.EnvName("e1")
		if _, there := store.Envs.Get(c.memory.View(), "e1"); there {
			name, other = other, name
		}
		for range rapid.IntRange(0, 2).Draw(t, "turns before it starts") {
			c.turn()
		}
		c.ask(ops.Request{Kind: "env.start", Env: name})
		c.rest()
		c.whole()
		v := c.memory.View()
		if _, there := store.Envs.Get(v, string(other)); there || store.EnvNames.Find(v, string(other)) != nil {
			t.Fatalf("something of it is left as %s", other)
		}
		if store.EnvNames.Find(v, string(name)) == nil || len(slices.Collect(store.NodesOf.Of(v, string(name)))) != 3 {
			t.Fatalf("it is not whole as %s", name)
		}
	})
	if !t.Failed() && renamed == 0 {
		t.Error("it was never renamed")
	}
}

// TestRenameInFirewalls: rules that name a renamed environment, its own and those of its account's others, name it as it is called then,
// also those that an edit of one brings back when it is undone.
func TestRenameInFirewalls(t *testing.T) {
	c := newEdited(t)
	for _, name := range []wire.EnvName{"e0", "e1"} {
		c.accepted(ops.Request{Kind: "env.create", Env: name, Spec: &operator.EnvironmentSpec{Version: 1, Name: name,
			Layers: []operator.LayerSpec{{Name: "cp", Template: "t0", Nodes: 1, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 1}}}}}, 6)
	}
	c.accepted(ops.Request{Kind: "env.stop", Env: "e0"}, 6)
	wall := func(name wire.EnvName, node int, peers ...string) {
		c.update(func(tx *store.Tx) {
			e, _ := store.Envs.Read(tx, string(name))
			var rules []firewall.PacketRule
			for _, p := range peers {
				rules = append(rules, firewall.PacketRule{Name: "r", Direction: firewall.In, Action: firewall.Deny, Priority: 1, Peer: p})
			}
			e.SetRules("cp", node, rules)
			store.Envs.Put(tx, string(name), e)
		})
	}
	wall("e0", 0, "cp.e0.internal", "e0.internal", "10.0.0.0/8", "e00.internal", "")
	wall("e0", 1, "node1.e0.internal", "e1.internal", "e0.e1.internal")
	wall("e1", 0, "cp.e0.internal", "jelastic.internal")
	// An edit of e1 is at work that takes its rules away; when it is undone they are as the environment is called then.
	e1, _ := store.Envs.Get(c.memory.View(), "e1")
	less := e1.Declared()
	less.Layers[0].Firewall, less.Layers[0].Env = nil, map[string]string{"A": "1"}
	c.accepted(ops.Request{Kind: "env.edit", Env: "e1", Spec: &less}, 0)
	if e1, _ = store.Envs.Get(c.memory.View(), "e1"); e1.Walls != nil {
		t.Fatalf("it has rules: %+v", e1.Walls)
	}
	if c.rename("e0", "e2"); c.renames != 1 {
		t.Fatal("it was not renamed")
	}
	if _, err := c.ops.Cancel(context.Background(), e1.Operation, "ann", wire.AdminAccount, nil); err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		of   wire.EnvName
		node int
		want []string
	}{
		{"e2", 0, []string{"cp.e2.internal", "e2.internal", "10.0.0.0/8", "e00.internal", ""}},
		{"e2", 1, []string{"node1.e2.internal", "e1.internal", "e0.e1.internal"}},
		{"e1", 0, []string{"cp.e2.internal", "jelastic.internal"}},
	} {
		e, _ := store.Envs.Get(c.memory.View(), string(w.of))
		var got []string
		for _, r := range e.Rules("cp", w.node) {
			got = append(got, r.Peer)
		}
		if !slices.Equal(got, w.want) {
			t.Errorf("%s, node %d: rules name %q, want %q", w.of, w.node, got, w.want)
		}
	}
}
