package main

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/store"
)

// change asks for a change of an environment and gives its operation.
func (c *cluster) change(verb, name string) wire.OperationID {
	c.t.Helper()
	method, path := "POST", "/api/v1/environments/"+name+"/"+verb
	if verb == "delete" {
		method, path = "DELETE", "/api/v1/environments/"+name
	}
	var a operator.Accepted
	c.ok(method, path, nil, &a)
	return a.Operation.ID
}

func (c *cluster) cancel(id wire.OperationID) operator.Operation {
	c.t.Helper()
	var op operator.Operation
	c.ok("POST", "/api/v1/operations/"+string(id)+"/cancel", nil, &op)
	return op
}

// runs tells how many containers of the host's work shall run.
func runs(h *hosttest.Host) (n int) {
	for _, c := range h.Work().Containers {
		if c.Run {
			n++
		}
	}
	return n
}

// two is a cluster of two hosts with the environment hello, a node on each.
func two(t *testing.T) (c *cluster, h1, h2 *hosttest.Host, cut1 func(), on1, on2 wire.CTID) {
	t.Helper()
	c = found(t, 2, "infra1", "host1", "host2")
	c.start()
	h1, cut1 = c.join("host1", 0)
	h2, _ = c.join("host2", 0)
	if op := c.create(hello("hello", 2)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	return c, h1, h2, cut1, h1.Containers()[0], h2.Containers()[0]
}

// What fails or is cancelled restores what was before it, and nothing when it changed nothing; a stop is never undone by its deadline.
func TestUndoRestoresWhatWas(t *testing.T) {
	t.Parallel()
	c, h1, h2, _, on1, _ := two(t)
	state := func(what string, want operator.EnvironmentState) {
		t.Helper()
		c.eventually(what+": the environment is "+string(want), func() bool { e, _ := c.env("hello"); return e.State == want })
	}
	ends := func(what string, id wire.OperationID, want operator.OperationState) operator.Operation {
		t.Helper()
		op := c.ended(id)
		if op.State != want {
			t.Fatalf("%s: ended as %+v, want %s", what, op, want)
		}
		return op
	}

	h1.Force(on1, host.CtFailing, "exited with code 1")
	state("one node crashes again and again", operator.EnvBroken)
	id := c.change("start", "hello")
	c.later(time.Hour)
	ends("start of what runs already, with one node that crashes", id, operator.OpFailed)
	c.settle()
	if runs(h1) != 1 || runs(h2) != 1 {
		t.Fatalf("a start that failed and had changed nothing stopped %d of 2 nodes", 2-runs(h1)-runs(h2))
	}
	id = c.change("start", "hello")
	c.cancel(id)
	c.settle()
	if runs(h1) != 1 || runs(h2) != 1 {
		t.Errorf("a start that was cancelled and had changed nothing stopped %d of 2 nodes", 2-runs(h1)-runs(h2))
	}

	h1.Force(on1, host.CtStopping, "")
	id = c.change("stop", "hello")
	c.eventually("host2's node is stopped", func() bool { return runs(h2) == 0 })
	c.later(time.Hour)
	if op := ends("stop, with a node that does not end", id, operator.OpFailed); !strings.Contains(op.Problem.Reason,
		"node "+on1.String()+" on host1 is stopping") {
		t.Errorf("the problem doesn't name the node: %v", op.Problem)
	}
	c.settle()
	if runs(h1)+runs(h2) != 0 {
		t.Errorf("a stop that was not done in time started everything again")
	}
	h1.Force(on1, "", "")
	state("it ended after all", operator.EnvDown)

	h1.Force(on1, host.CtFailing, "exited with code 1")
	id = c.change("start", "hello")
	c.eventually("host2's node is started", func() bool { return runs(h2) == 1 })
	c.later(time.Hour)
	ends("start, with a node that crashes", id, operator.OpFailed)
	c.eventually("it is stopped as before", func() bool { return runs(h1)+runs(h2) == 0 })
	h1.Force(on1, "", "")
	state("stopped again", operator.EnvDown)
	ends("start", c.change("start", "hello"), operator.OpDone)

	h1.Force(on1, host.CtStopping, "")
	id = c.change("stop", "hello")
	c.eventually("host2's node is stopped", func() bool { return runs(h2) == 0 })
	c.cancel(id)
	c.eventually("a cancelled stop starts again what ran", func() bool { return runs(h1) == 1 && runs(h2) == 1 })
	h1.Force(on1, "", "")
	state("it runs again", operator.EnvRunning)
	for _, op := range store.Operations.All(c.o.store.View()) {
		if op.State.Final() && op.Before != nil {
			t.Errorf("operation %s has ended and still keeps what was before it", op.ID)
		}
	}
}

// A node of a host that doesn't answer is stopped when the host is back: nobody waits for that, and nothing is undone.
func TestStopWithDeadHost(t *testing.T) {
	t.Parallel()
	c, h1, h2, cut1, on1, _ := two(t)
	cut1()
	c.eventually("host1 is UNREACHABLE", func() bool { return c.host("host1").State == operator.HostUnreachable })
	op := c.ended(c.change("stop", "hello"))
	if op.State != operator.OpDone || !strings.Contains(op.Steps[1].Detail, "node "+on1.String()+" is stopped when host1 is back") {
		t.Fatalf("stop: %+v", op)
	}
	if runs(h2) != 0 {
		t.Error("the node on the host that answers was not stopped")
	}
	if e, _ := c.env("hello"); e.State != operator.EnvUnknown || len(e.Nodes) != 2 {
		t.Errorf("the environment: %+v", e)
	}
	c.power(h1)
	c.eventually("it is stopped, now that host1 is back", func() bool {
		e, _ := c.env("hello")
		return e.State == operator.EnvDown && runs(h1) == 0
	})
}

// Two that ask for the same at the same moment: one is accepted, the other told of it. Neither saw the other when it began, and what they
// want is wanted already.
func TestOneOperationAtATime(t *testing.T) {
	t.Parallel()
	c, h1, _, _, on1, _ := two(t)
	h1.Force(on1, host.CtFailing, "exited with code 1")
	c.eventually("the node is known to fail, so that a start has something to wait for", func() bool {
		e, _ := c.env("hello")
		return slices.ContainsFunc(e.Nodes, func(n operator.Node) bool { return n.CTID == on1 && n.State == "failing" })
	})
	var inner operator.Operation
	by := func(who string) ops.Request {
		return ops.Request{Kind: "env.start", Env: "hello", By: who, Account: wire.AdminAccount}
	}
	within := sync.OnceFunc(func() {
		var err error
		if inner, err = c.o.ops.Accept(t.Context(), by("second")); err != nil {
			t.Errorf("the one that committed first: %v", err)
		}
	})
	first := by("first")
	first.Also = func(*store.Tx, store.Operation) { within() }
	_, err := c.o.ops.Accept(t.Context(), first)
	if p := problemOf(err); p == nil || p.Code != operator.Conflict || !strings.Contains(p.Reason, string(inner.ID)) {
		t.Errorf("the second start at the same moment: got %v, want a conflict that names operation %s", err, inner.ID)
	}
	h1.Force(on1, "", "")
	if op := c.ended(inner.ID); op.State != operator.OpDone {
		t.Errorf("the one start: %+v", op)
	}
	// Many at once.
	var wg sync.WaitGroup
	got := make([]error, 8)
	for i := range got {
		wg.Go(func() {
			_, got[i] = c.o.ops.Accept(t.Context(), ops.Request{Kind: "env.stop", Env: "hello", By: "many", Account: wire.AdminAccount})
		})
	}
	wg.Wait()
	accepted := 0
	for _, err := range got {
		if err == nil {
			accepted++
		} else if p := problemOf(err); p == nil || p.Code != operator.Conflict {
			t.Errorf("refused with %v, want a conflict", err)
		}
	}
	if accepted == 0 {
		t.Error("none of eight was accepted")
	}
	held := 0
	for _, op := range store.Operations.All(c.o.store.View()) {
		if !op.State.Final() {
			held++
		}
	}
	if held > 1 {
		t.Errorf("%d operations are at work on one environment", held)
	}
}

// A container that can't end holds nobody but itself: what else is removed from its host is removed, what is started runs.
func TestStuckContainerHoldsNobody(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h, _ := c.join("host1", 0)
	for _, name := range []wire.EnvName{"stuck", "other"} {
		if op := c.create(hello(name, 1)); op.State != operator.OpDone {
			t.Fatalf("create %s: %+v", name, op)
		}
	}
	e, _ := c.env("stuck")
	h.Stick(e.Nodes[0].CTID)
	id := c.change("delete", "stuck")
	c.eventually("the host has been told", func() bool { return len(h.Containers()) == 1 })
	if op := c.ended(c.change("delete", "other")); op.State != operator.OpDone {
		t.Fatalf("deletion beside a stuck container: %+v", op)
	}
	if op := c.create(hello("new", 1)); op.State != operator.OpDone {
		t.Fatalf("create beside a stuck container: %+v", op)
	}
	op := c.operation(id)
	if op.State.Final() || !strings.Contains(op.Steps[1].Detail, "node 100 on host1") ||
		!strings.Contains(op.Steps[1].Detail, "does not end") {
		t.Errorf("the deletion that is stuck doesn't say in what: %+v", op)
	}
	// Out of time, it goes on all the same; who asks again may watch again.
	c.later(time.Hour)
	if op := c.ended(id); op.State != operator.OpFailed || !strings.Contains(op.Problem.Next, "watch it again: hnctl env delete stuck") {
		t.Errorf("out of time: %+v, %v", op, op.Problem)
	}
	again := c.change("delete", "stuck")
	if p := c.call("DELETE", "/api/v1/environments/stuck", nil, nil); p == nil || p.Code != operator.Conflict ||
		!strings.Contains(p.Reason, string(again)) {
		t.Errorf("while that one is watched: %v", p)
	}
	if p := c.call("POST", "/api/v1/environments/stuck/start", nil, nil); p == nil || p.Code != operator.Conflict ||
		!strings.Contains(p.Reason, "being deleted") {
		t.Errorf("start of what is being deleted: %v", p)
	}
	h.Stick(0)
	if op := c.ended(again); op.State != operator.OpDone {
		t.Errorf("when it ended at last: %+v", op)
	}
}
