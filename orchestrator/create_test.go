package main

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// accounts checks that all that people and hosts are shown says whose it is.
func (c *cluster) accounts(works ...host.Work) {
	c.t.Helper()
	for _, path := range []string{"environments", "nodes", "operations", "templates", "tokens", "audit"} {
		var l operator.List[map[string]any]
		c.ok("GET", "/api/v1/"+path, nil, &l)
		if len(l.Items) == 0 {
			c.t.Errorf("%s: there are none to look at", path)
		}
		for i, item := range l.Items {
			if item["account"] != string(wire.AdminAccount) {
				c.t.Errorf("%s[%d] is %v's, want admin's: %v", path, i, item["account"], item)
			}
		}
	}
	for _, w := range works {
		if len(w.Containers) == 0 {
			c.t.Error("no containers to look at")
		}
		for _, ct := range w.Containers {
			if ct.Account != wire.AdminAccount {
				c.t.Errorf("container %d of a host's Work is %q's, want admin's", ct.CTID, ct.Account)
			}
		}
	}
}

// Hosts know each other and the names of all nodes, and all that is shown says whose it is. What else becomes of an environment is
// testdata/stories/life.txtar.
func TestNamesReachHosts(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1", "host2")
	c.start()
	c.join("infra1", 0)
	h1, _ := c.join("host1", 0)
	h2, _ := c.join("host2", 0)

	if op := c.create(hello("hello", 2)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	var made operator.MadeToken
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "ci", Scopes: []string{"read"}}, &made)
	c.accounts(h1.Work(), h2.Work())
	c.eventually("peers know both hosts and the names", func() bool {
		p := h2.Peers()
		names := map[string]int{}
		for _, n := range p.Names {
			names[n.Name] = len(n.Addrs)
		}
		return len(p.Hosts) == 3 && names["node100.hello.internal"] == 2 && names["cp.hello.internal"] == 4 &&
			names["resolver.jelastic.internal"] == 1
	})
}

// An account that may not see an environment neither edits it nor learns what it is: its name is taken, and that is all.
func TestEditOfOthers(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	if op := c.create(hello("hello", 1)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	acme := c.tokenOf("acme")
	c.as(acme, func() {
		for _, query := range []string{"", "?dry_run=true", "?remove_data=true"} {
			status, text := c.ask("PUT", "/api/v1/environments/hello"+query, asked{body: hello("hello", 2)})
			if status != 409 || !strings.Contains(text, "the name is taken") || strings.Contains(text, "node") {
				t.Errorf("%q: %d %s", query, status, text)
			}
		}
	})
	if e, _ := store.Envs.Get(c.o.store.View(), "hello"); e.Spec.Layers[0].Nodes != 1 {
		t.Errorf("it is edited: %+v", e.Spec)
	}
}
