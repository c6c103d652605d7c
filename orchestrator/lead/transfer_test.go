package lead

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/sealed"
	"hardnode.dev/orchestrator/store"
)

// secrets seals what secret variables are.
var secrets = sealed.Variables{Keys: certs.Sealer(strings.Repeat("k", 32))}

// transfer has an environment offered to an account as its own, which accepts; a refusal is an answer.
func (c *edited) transfer(name wire.EnvName, to wire.Account) {
	e, there := store.Envs.Get(c.memory.View(), string(name))
	if !there || e.Account == to {
		return
	}
	c.update(func(tx *store.Tx) {
		store.Shares.Put(tx, store.ShareKey(name, to), store.Share{Env: name, Made: e.Created, Account: e.Account, With: to,
			Role: user.Owner, Created: c.now, By: "ann", Until: c.now.Add(share.OfferFor)})
	})
	var p *operator.Problem
	switch _, _, err := c.ops.Transfer(context.Background(), name, to, "eve"); {
	case errors.Is(err, errKilled):
		c.begin()
	case err != nil && !errors.As(err, &p):
		c.t.Fatal(err)
	case err == nil:
		c.given++
	}
}

// stopsAndTransfers has an environment stop, and change hands some time later.
func (c *edited) stopsAndTransfers(name wire.EnvName) {
	c.ask(ops.Request{Kind: "env.stop", Env: name})
	for range rapid.SampledFrom([]int{0, 2, 4, 6}).Draw(c.r, "turns before it changes hands") {
		c.turn()
	}
	c.transfer(name, rapid.SampledFrom([]wire.Account{"acme", "eve"}).Draw(c.r, "account"))
}

// runs tells whether a host said last that a container runs.
func (a *agent) runs(id wire.CTID) bool {
	return slices.ContainsFunc(a.rep.Containers, func(s host.ContainerStatus) bool { return s.CTID == id && s.State == host.CtRunning })
}

// TestTransferAtAnyMoment: an environment changes hands however far it has come with stopping, and the orchestrator may end there: it is
// wholly the one account's or the other's, starts with its secret variables, and none that still runs changes hands.
func TestTransferAtAnyMoment(t *testing.T) {
	given := 0
	rapid.Check(t, func(t *rapid.T) {
		c := newEdited(t)
		value := secret.Text("hunter2")
		spec, err := secrets.Seal("acme", operator.EnvironmentSpec{Version: 1, Name: "e0", Layers: []operator.LayerSpec{
			{Name: "cp", Template: "t0", Nodes: 2, Links: []wire.LayerName{"bl"}, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 1},
				Secrets: []operator.SecretSpec{{Name: "PASSWORD", Value: &value}}},
			{Name: "bl", Template: "t1:1", Nodes: 1, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 1}}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.accepted(ops.Request{Kind: "env.create", Env: "e0", Spec: &spec}, 6)
		c.update(func(tx *store.Tx) {
			e, _ := store.Envs.Read(tx, "e0")
			e.Group = "inner"
			store.Envs.Put(tx, "e0", e)
			store.Shares.Put(tx, store.ShareKey("e0", "dan"), store.Share{Env: "e0", Made: e.Created, Account: "acme", With: "dan",
				Role: user.Viewer, Created: c.now, Since: c.now})
		})
		if rapid.IntRange(0, 3).Draw(t, "stopped") > 0 {
			c.accepted(ops.Request{Kind: "env.stop", Env: "e0"}, rapid.IntRange(0, 6).Draw(t, "turns"))
		}
		if rapid.Bool().Draw(t, "killed") {
			c.left = 1
		}
		c.transfer("e0", "eve")
		e, _ := store.Envs.Get(c.memory.View(), "e0")
		for n := range store.NodesOf.Of(c.memory.View(), "e0") {
			if c.given > 0 && c.agents[n.Host].runs(n.CTID) {
				t.Fatalf("it changed hands while node %d runs", n.CTID)
			}
		}
		for range rapid.IntRange(0, 2).Draw(t, "turns before it starts") {
			c.turn()
		}
		given += c.given
		c.ask(ops.Request{Kind: "env.start", Env: "e0"})
		c.rest()
		c.whole()
		v := c.memory.View()
		_, shared := store.Shares.Get(v, store.ShareKey("e0", "dan"))
		is := e.Account == "eve"
		if is != (c.given > 0) || is == shared || is != (e.Group == "") || !is && e.Account != "acme" {
			t.Fatalf("it is account %s's, of group %q, shared: %v; it changed hands %d times", e.Account, e.Group, shared, c.given)
		}
		seen := 0
		for _, w := range store.Works.Refs(v) {
			opened, err := secrets.Open(w)
			if err != nil {
				t.Fatal(err)
			}
			for _, ct := range opened.Containers {
				if ct.Process.Env["PASSWORD"] == "hunter2" {
					seen++
				}
			}
		}
		if nodes := slices.Collect(store.NodesOf.Of(v, "e0")); seen != 2 || len(nodes) != 3 {
			t.Fatalf("%d of its nodes have the secret variable, of %d", seen, len(nodes))
		}
	})
	if !t.Failed() && given == 0 {
		t.Error("it never changed hands")
	}
}

// TestTransferOfWhatIsOneAccounts: what no other account could use is named, all of it: templates that its account pushed, by name and in
// nodes, and other environments in rules of firewalls.
func TestTransferOfWhatIsOneAccounts(t *testing.T) {
	c := newEdited(t)
	c.accepted(ops.Request{Kind: "env.create", Env: "e0", Spec: &operator.EnvironmentSpec{Version: 1, Name: "e0",
		Layers: []operator.LayerSpec{{Name: "cp", Template: "t0", Nodes: 1, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 1}},
			{Name: "bl", Template: "t1:1", Nodes: 1, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 1}}}}}, 6)
	c.accepted(ops.Request{Kind: "env.stop", Env: "e0"}, 6)
	said := func() (text string) {
		c.update(func(tx *store.Tx) {
			e, _ := store.Envs.Read(tx, "e0")
			if err := c.ops.Transferable(tx, e); err != nil {
				text = err.Error()
			}
		})
		return text
	}
	if text := said(); text != "" {
		t.Fatalf("at rest: %s", text)
	}
	change := func(name wire.TemplateName, of wire.Account) {
		c.update(func(tx *store.Tx) {
			tm, _ := store.Templates.Read(tx, store.TemplateKey(name))
			tm.Account = of
			store.Templates.Put(tx, store.TemplateKey(name), tm)
		})
	}
	wall := func(peers ...string) {
		c.update(func(tx *store.Tx) {
			e, _ := store.Envs.Read(tx, "e0")
			var rules []firewall.PacketRule
			for _, p := range peers {
				rules = append(rules, firewall.PacketRule{Name: "of", Direction: firewall.In, Action: firewall.Allow, Priority: 1, Peer: p})
			}
			e.SetRules("cp", 0, rules)
			store.Envs.Put(tx, "e0", e)
		})
	}
	for _, peers := range [][]string{{"e0.internal"}, {"cp.e0.internal", "10.1.0.0/16"}, {"jelastic.internal"}, {""}} {
		if wall(peers...); said() != "" {
			t.Errorf("%q: %s", peers, said())
		}
	}
	change("t1:1", "acme")
	wall("e1.internal", "node7.e2.internal")
	for _, want := range []string{"layer bl is made of template t1:1, which account acme pushed", "names environment e1 (e1.internal)",
		"names environment e2 (node7.e2.internal)"} {
		if text := said(); !strings.Contains(text, want) {
			t.Errorf("want %q in %s", want, text)
		}
	}
	// Its layer is made of the cluster's by now, the node is not yet.
	c.update(func(tx *store.Tx) {
		e, _ := store.Envs.Read(tx, "e0")
		e.Spec.Layers = slices.Clone(e.Spec.Layers)
		e.Spec.Layers[1].Template = "t2"
		store.Envs.Put(tx, "e0", e)
	})
	wall()
	if text := said(); !strings.Contains(text, "it is made of template t1:1, which account acme pushed") {
		t.Errorf("of a node: %s", text)
	}
	if c.transfer("e0", "eve"); c.given != 0 {
		t.Error("it changed hands all the same")
	}
}
