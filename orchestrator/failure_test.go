package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/hostapi/hosttest"
)

// The orchestrator dies in the middle of a create and comes back: same state, and the operation goes on to its end.
func TestRestartResumes(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1", "host2")
	c.start()
	h1, _ := c.join("host1", 0)
	h2, _ := c.join("host2", 0)
	if op := c.create(hello("before", 2)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	before, _ := c.env("before")
	h1.Force(0, host.CtStarting, "its check has not passed yet")
	h2.Force(0, host.CtStarting, "its check has not passed yet")
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments", hello("during", 2), &a, "Idempotency-Key", "k1")
	c.eventually("the work is with the hosts", func() bool { return len(h1.Containers()) == 2 && len(h2.Containers()) == 2 })
	peers := h1.Peers().Revision

	c.stopped()
	c.start()
	if op := c.operation(a.Operation.ID); op.State.Final() {
		t.Fatalf("after the restart the operation is %+v", op)
	}
	c.eventually("it has its whole time again", func() bool { return c.operation(a.Operation.ID).Deadline.After(a.Operation.Deadline) })
	// The same request with the same key is the same operation; with another body it is refused.
	var again operator.Accepted
	c.ok("POST", "/api/v1/environments", hello("during", 2), &again, "Idempotency-Key", "k1")
	if again.Operation.ID != a.Operation.ID {
		t.Errorf("the repeated request made operation %s, want %s", again.Operation.ID, a.Operation.ID)
	}
	if p := c.call("POST", "/api/v1/environments", hello("other", 2), nil, "Idempotency-Key", "k1"); p == nil ||
		p.Code != operator.Invalid {
		t.Errorf("the same key for another request: %v", p)
	}
	h1.Force(0, "", "")
	h2.Force(0, "", "")
	if op := c.ended(a.Operation.ID); op.State != operator.OpDone {
		t.Errorf("the resumed operation ended as %+v", op)
	}
	after, _ := c.env("before")
	if after.State != operator.EnvRunning || len(after.Nodes) != 2 || after.Nodes[0].CTID != before.Nodes[0].CTID ||
		after.Nodes[0].InternalIP != before.Nodes[0].InternalIP || after.Revision != before.Revision {
		t.Errorf("the environment changed over the restart:\n%+v\n%+v", before, after)
	}
	if h1.Peers().Revision < peers {
		t.Errorf("peers went back from %d to %d", peers, h1.Peers().Revision)
	}
}

// A host loses its power: it is UNREACHABLE within five seconds. One host's word replaces nothing; when the others agree its node is
// replaced, and the old one goes when it is back.
func TestDeadHost(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1", "host2")
	c.start()
	infra, _ := c.join("infra1", 0)
	h1, cut := c.join("host1", 0)
	h2, _ := c.join("host2", 0)
	if op := c.create(hello("hello", 2)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	e, _ := c.env("hello")
	old := e.Nodes[0]
	if old.Host != h1.ID {
		old = e.Nodes[1]
	}
	cut()
	began := time.Now()
	h2.See(host.GossipView{Host: h1.ID, Alive: false})
	c.eventually("host1 is UNREACHABLE", func() bool { return c.host("host1").State == operator.HostUnreachable })
	if took := time.Since(began); took > 20*time.Second { // some 4 s where there is nothing else to do
		t.Errorf("UNREACHABLE took %s", took)
	}
	for clocks := c.o.fleet.Clocks(); time.Since(began) < clocks.Agreed+time.Second && run.Wait(t.Context(), 100*time.Millisecond); {
		if e, _ := c.env("hello"); len(e.Nodes) != 2 {
			t.Fatalf("%s after the cut, on the word of one of two hosts, hello has the nodes %+v", time.Since(began), e.Nodes)
		}
	}
	if r := c.host("host1").Reason; !strings.Contains(r, "1 of 2 other hosts call it dead") {
		t.Errorf("why host1's nodes stay isn't said: %q", r)
	}
	infra.See(host.GossipView{Host: h1.ID, Alive: false})
	c.eventually("the resolver has lost the backend and has the new one", func() bool {
		doc, _ := c.o.routes.Get()
		return len(doc.Sites) == 1 && len(doc.Sites[0].Backends) == 2 && doc.Sites[0].Backends[0].Host == h2.ID &&
			doc.Sites[0].Backends[1].Host == h2.ID
	})
	c.eventually("the environment runs again", func() bool { e, _ = c.env("hello"); return e.State == operator.EnvRunning })
	var gone, made operator.Node
	for _, n := range e.Nodes {
		switch {
		case n.CTID == old.CTID:
			gone = n
		case n.CTID > 101:
			made = n
		}
	}
	if !gone.Gone || gone.State != "unknown" || !strings.Contains(gone.Reason, "replaced by node "+made.CTID.String()) {
		t.Errorf("the old node: %+v", gone)
	}
	if made.CTID != 102 || made.Host != h2.ID || !strings.Contains(made.Placed, "replaces node") {
		t.Errorf("the new node: %+v", made)
	}
	var l operator.List[operator.Operation]
	c.eventually("the replacement's operation is done", func() bool {
		l = operator.List[operator.Operation]{}
		c.ok("GET", "/api/v1/operations?env=hello", nil, &l)
		return len(l.Items) == 2 && l.Items[0].Kind == "node.replace" && l.Items[0].State == operator.OpDone
	})
	h1.Force(0, "", "")
	c.power(h1)
	c.eventually("host1 is back and has removed the old node", func() bool {
		e, _ := c.env("hello")
		return c.host("host1").State == operator.HostActive && len(e.Nodes) == 2 && len(h1.Containers()) == 0
	})
	// Both nodes are on one host now: it is said, and mended when somebody asks, a new node first.
	c.eventually("it is said that hello isn't spread", func() bool {
		e, _ := c.env("hello")
		var cl operator.Cluster
		c.ok("GET", "/api/v1/cluster", nil, &cl)
		return strings.Contains(e.Spread, "host2 has 2 of its nodes") &&
			slices.ContainsFunc(cl.Alarms, func(a string) bool { return strings.Contains(a, "hnctl env spread hello") })
	})
	h1.Force(0, host.CtStarting, "its check has not passed yet")
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments/hello/spread", nil, &a)
	c.eventually("the new node starts beside the old ones", func() bool { return len(h1.Containers()) == 1 })
	if e, _ := c.env("hello"); len(e.Nodes) != 3 || e.State != operator.EnvRunning {
		t.Errorf("while the new node starts hello is %s with %+v", e.State, e.Nodes)
	}
	if p := c.call("POST", "/api/v1/environments/hello/start", nil, nil); p == nil || p.Code != operator.Conflict {
		t.Errorf("a start while it is spread: %+v", p)
	}
	h1.Force(0, "", "")
	if op := c.ended(a.Operation.ID); op.State != operator.OpDone {
		t.Errorf("spread ended as %+v", op)
	}
	c.eventually("hello has one node on each host", func() bool {
		e, _ := c.env("hello")
		return len(e.Nodes) == 2 && e.Nodes[0].Host != e.Nodes[1].Host && e.Spread == "" && e.State == operator.EnvRunning
	})
	c.ok("POST", "/api/v1/environments/hello/stop", nil, &a)
	if op := c.ended(a.Operation.ID); op.State != operator.OpDone {
		t.Errorf("stop ended as %+v", op)
	}
	if p := c.call("POST", "/api/v1/environments/hello/spread", nil, nil); p == nil || p.Code != operator.Conflict {
		t.Errorf("spreading what is stopped: %+v", p)
	}
}

// A host that is off for good is removed: what it ran is made anew, and its certificate opens nothing any more. A new one joins later.
func TestRemoveHost(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("infra1", 0)
	h1, cut := c.join("host1", 0)
	if op := c.create(hello("hello", 1)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	for name, code := range map[string]operator.Code{"host1": operator.Conflict, "infra1": operator.Denied, "nobody": operator.NotFound} {
		if p := c.call("DELETE", "/api/v1/hosts/"+name, nil, nil); p == nil || p.Code != code {
			t.Errorf("remove %s: %+v, want %s", name, p, code)
		}
	}
	cut()
	c.eventually("host1 is UNREACHABLE", func() bool { return c.host("host1").State == operator.HostUnreachable })
	if doc, _ := c.o.routes.Get(); len(doc.Sites) != 1 || len(doc.Sites[0].Backends) != 1 {
		t.Errorf("a host that only doesn't report may serve all the same; the resolver has %+v", doc.Sites)
	}
	if e, _ := c.env("hello"); !strings.Contains(e.Reason, "no other host takes it") && e.State != operator.EnvUnknown {
		t.Errorf("with no host left the environment is %s: %s", e.State, e.Reason)
	}
	c.ok("DELETE", "/api/v1/hosts/host1", nil, nil)
	if p := problemOf(h1.Call(t.Context(), "GET", host.PathAssigned, nil, nil)); p == nil || p.Code != operator.Denied {
		t.Errorf("the removed host asked for its work and got %v", p)
	}
	var tok operator.JoinToken
	c.ok("POST", "/api/v1/join-tokens", operator.NewJoinToken{Name: "host2", Role: "user"}, &tok)
	c.tokens["host2"] = wireToken(tok.Text)
	h2, _ := c.join("host2", 0)
	c.eventually("hello runs on host2", func() bool {
		e, _ := c.env("hello")
		return e.State == operator.EnvRunning && len(e.Nodes) == 1 && e.Nodes[0].Host == h2.ID && e.Nodes[0].InternalIP == "10.96.2.10"
	})
}

// What a host waits for when it is removed ends at once: it gets no other word of the cluster, not even that it is gone from it.
func TestRemovedHostIsCutOff(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("infra1", 0)
	h1, _ := c.join("host1", 0)
	c.create(hello("hello", 1))
	c.settle()
	conn := c.dial("100/exec?argv=cat")
	h1.Mute(true)
	c.eventually("host1 is UNREACHABLE", func() bool { return c.host("host1").State == operator.HostUnreachable })
	type answer struct {
		what string
		doc  host.Assignment
		err  error
	}
	const longest = 50 * time.Second
	answers := make(chan answer, 2)
	ctx, cancel := context.WithTimeout(t.Context(), longest+10*time.Second)
	defer cancel()
	began := time.Now()
	var removing atomic.Bool
	go func() {
		a := answer{what: "assignment"}
		for a.err == nil && (a.doc == (host.Assignment{}) || !removing.Load()) { // what came before is nothing to this test
			a.doc = host.Assignment{}
			a.err = h1.Call(ctx, "GET", hosttest.Asks(h1.Known(), longest), nil, &a.doc)
		}
		answers <- a
	}()
	go func() {
		a := answer{what: "sessions"}
		a.err = h1.Call(ctx, "GET", fmt.Sprintf("%s?wait=%s", host.PathSessions, longest), nil, &host.SessionRequest{})
		answers <- a
	}()
	c.eventually("both calls are held, beside the hosts' own two and the session", func() bool { return c.o.hosts.Held() >= 5 })
	removing.Store(true)
	c.ok("DELETE", "/api/v1/hosts/host1", nil, nil)
	for range 2 {
		a := <-answers
		if p := problemOf(a.err); p == nil || p.Code != operator.Denied || a.doc != (host.Assignment{}) ||
			time.Since(began) > longest-10*time.Second {
			t.Errorf("the held call for %s of the removed host ended after %s with %v, %+v", a.what, time.Since(began), a.err, a.doc)
		}
	}
	if _, exit := drain(t, conn); exit.Error == "" {
		t.Errorf("an open session of the removed host: %+v", exit)
	}
}

// A host with the pin of another cluster trusts nobody here.
func TestWrongPin(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	_, err := hosttest.Join(t.Context(),
		hosttest.Options{Addr: c.hostAddr, Pin: "sha256:" + strings.Repeat("0", 64), Token: c.tokens["infra1"]})
	if err == nil || !strings.Contains(err.Error(), "check CA pin") {
		t.Errorf("wrong pin: %v", err)
	}
}

// The gossip key is replaced while everything runs: every host is told each step, and who asked is on record. A host that was removed
// while it waited for its next assignment does not get the new key.
func TestRotateGossipKey(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1", "host2")
	c.start()
	c.join("infra1", 0)
	h1, _ := c.join("host1", 0)
	h2, cut := c.join("host2", 0)
	c.eventually("the hosts have the first key", func() bool { return len(h1.Peers().Gossip.Use) == 32 })
	first := h1.Peers().Gossip.Use
	c.settle() // else the poll is answered with work that host2 has not fetched yet
	cut()
	c.eventually("host2 is away", func() bool { return c.host("host2").State == operator.HostUnreachable })
	held := make(chan error, 1)
	go func() {
		var a host.Assignment
		known := h1.Known() // the newest
		known.Work = h2.Work().Revision
		err := h2.Call(context.Background(), "GET", hosttest.Asks(known, time.Minute), nil, &a)
		if err == nil && (a.Peers != nil || a.PeersChange != nil) {
			err = fmt.Errorf("it got the peers %+v", a)
		}
		held <- err
	}()
	run.Wait(t.Context(), 300*time.Millisecond) // the poll is on its way; if it is not, it is refused all the same
	c.ok("DELETE", "/api/v1/hosts/host2", nil, nil)
	c.ok("POST", "/api/v1/cluster/rotate-gossip-key", nil, nil)
	if p := c.call("POST", "/api/v1/cluster/rotate-gossip-key", nil, nil); p != nil && p.Code != operator.Conflict {
		t.Errorf("a second one at once: %+v", p)
	}
	c.eventually("the rotation is done", func() bool {
		var cl operator.Cluster
		c.ok("GET", "/api/v1/cluster", nil, &cl)
		return strings.HasPrefix(cl.GossipKey, "rotated by ")
	})
	c.eventually("host1 has the new key alone", func() bool {
		k := h1.Peers().Gossip
		return string(k.Use) != string(first) && len(k.Use) == 32 && len(k.Accept) == 0
	})
	select {
	case err := <-held:
		if p := problemOf(err); p == nil || p.Code != operator.Denied {
			t.Errorf("the poll of the removed host ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the poll of the removed host is still held")
	}
	var l operator.List[operator.Audit]
	c.ok("GET", "/api/v1/audit", nil, &l)
	if !slices.ContainsFunc(l.Items, func(a operator.Audit) bool { return a.What == "cluster.rotate-gossip-key" }) {
		t.Errorf("no record of the rotation: %+v", l.Items)
	}
}
