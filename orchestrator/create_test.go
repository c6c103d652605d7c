package main

import (
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
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

// The main line: create → hosts get Work → they report it running → the operation is done; stop, start, delete; nothing is left.
func TestLifeOfAnEnvironment(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1", "host2")
	c.start()
	c.join("infra1", 0)
	h1, _ := c.join("host1", 0)
	h2, _ := c.join("host2", 0)

	op := c.create(hello("hello", 2))
	if op.State != operator.OpDone || op.Progress != 100 || len(op.Steps) != 4 {
		t.Fatalf("create ended as %+v", op)
	}
	e, _ := c.env("hello")
	if e.State != operator.EnvRunning || e.Domain != "hello.demo.test" || len(e.Nodes) != 2 || e.Nodes[0].Host == e.Nodes[1].Host {
		t.Errorf("environment: %+v", e)
	}
	if n := e.Nodes[0]; n.CTID != 100 || n.InternalIP != "10.96.1.10" || n.Placed == "" {
		t.Errorf("first node: %+v", n)
	}
	if w := h1.Work().Containers; len(w) != 1 || !w[0].Run || w[0].Limits.MemoryMax != 512<<20 || w[0].Limits.MemoryMin != 128<<20 || w[0].Limits.CPUMHz != 1600 || w[0].Hostname != "node100" {
		t.Errorf("work of host1: %+v", w)
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
		return len(p.Hosts) == 3 && names["node100.hello.internal"] == 2 && names["cp.hello.internal"] == 4 && names["resolver.jelastic.internal"] == 1
	})
	for _, step := range []struct {
		method, path string
		want         operator.EnvironmentState
	}{
		{"POST", "/api/v1/environments/hello/stop", operator.EnvDown},
		{"POST", "/api/v1/environments/hello/start", operator.EnvRunning},
	} {
		var a operator.Accepted
		c.ok(step.method, step.path, nil, &a)
		if op := c.ended(a.Operation.ID); op.State != operator.OpDone {
			t.Fatalf("%s: %+v", step.path, op)
		}
		if e, _ := c.env("hello"); e.State != step.want {
			t.Errorf("after %s the environment is %s (%s), want %s", step.path, e.State, e.Reason, step.want)
		}
	}
	var a operator.Accepted
	c.ok("DELETE", "/api/v1/environments/hello", nil, &a)
	if op := c.ended(a.Operation.ID); op.State != operator.OpDone {
		t.Fatalf("delete: %+v", op)
	}
	if _, there := c.env("hello"); there {
		t.Error("the environment is still there")
	}
	var nodes operator.List[operator.Node]
	c.ok("GET", "/api/v1/nodes?env=hello", nil, &nodes)
	if len(nodes.Items) != 0 || len(h1.Work().Containers) != 0 || len(h2.Work().Containers) != 0 {
		t.Errorf("left over: %+v, %v, %v", nodes.Items, h1.Containers(), h2.Containers())
	}
	// The next one gets fresh numbers and addresses.
	if op := c.create(hello("again", 1)); op.State != operator.OpDone {
		t.Fatalf("create again: %+v", op)
	}
	if e, _ := c.env("again"); e.Nodes[0].CTID != 102 || e.Nodes[0].InternalIP != "10.96.1.11" {
		t.Errorf("second environment's node: %+v", e.Nodes[0])
	}
	// The platform itself.
	j, _ := c.env("jelastic")
	if j.State != operator.EnvRunning || len(j.Nodes) != 2 || j.Nodes[0].ExternalIP != "192.0.2.7" || j.Nodes[0].InternalIP != "10.96.0.13" {
		t.Errorf("jelastic: %+v", j)
	}
}
