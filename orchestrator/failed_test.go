package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/store"
)

const day = 24 * time.Hour

// failedCreate makes the creation of hello fail: its nodes crash until the deadline.
func failedCreate(t *testing.T, c *cluster, query string) operator.Operation {
	t.Helper()
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments"+query, hello("hello", 2), &a)
	c.eventually("the nodes crash", func() bool { e, _ := c.env("hello"); return len(e.Nodes) == 2 && e.Nodes[0].State == "failing" })
	c.later(time.Hour)
	op := c.ended(a.Operation.ID)
	if op.State != operator.OpFailed || !strings.Contains(op.Problem.Reason, "failing: exited with code 1") {
		t.Fatalf("create: %+v", op)
	}
	return op
}

// A creation that failed stays broken, says why, can be looked into, stopped and started, takes its place, and goes after a week.
func TestFailedCreateStays(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h, _ := c.join("host1", 1<<30) // room for seven reserved cloudlets
	h.Force(0, host.CtFailing, "exited with code 1; next start in 4.3s")
	failedCreate(t, c, "")
	c.settle()
	e, _ := c.env("hello")
	if e.State != operator.EnvBroken || len(e.Nodes) != 2 || runs(h) != 2 || e.Failed == nil ||
		!strings.Contains(e.Failed.Reason, "exited with code 1") ||
		!strings.Contains(e.Reason, "hnctl env keep hello") || e.Failed.Removal.Sub(e.Failed.At) != 7*day {
		t.Fatalf("after the failure: %+v, failed %+v", e, e.Failed)
	}
	if p := c.call("POST", "/api/v1/environments", hello("more", 6), nil); p == nil || p.Code != operator.Exhausted {
		t.Errorf("what failed doesn't count: beside it there was room, %v", p)
	}
	if p := c.call("POST", "/api/v1/environments", hello("hello", 1), nil); p == nil || p.Code != operator.Conflict {
		t.Errorf("its name is free: %v", p)
	}
	if out, _ := drain(t, c.dial("100/exec?argv=echo&argv=a")); out != "echo a\n" {
		t.Errorf("a command in a failing node whose process runs: %q", out)
	}
	if out, _ := drain(t, c.dial("100/logs")); out == "" {
		t.Error("it has no logs")
	}
	stop := c.change("stop", "hello")
	h.Force(0, "", "") // after the order: nodes that run end a failure
	if op := c.ended(stop); op.State != operator.OpDone {
		t.Errorf("stop of what is broken: %+v", op)
	}
	if e, _ := c.env("hello"); e.State != operator.EnvDown || !strings.Contains(e.Reason, "its creation failed") {
		t.Errorf("stopped: %+v", e)
	}
	// A restart of the orchestrator changes nothing of it, and a day before its time it is still there.
	c.later(6*day - 2*time.Hour)
	c.stopped()
	c.start()
	must(t, c.o.ops.Step(t.Context()))
	if e, ok := c.env("hello"); !ok || e.Failed == nil {
		t.Fatalf("before its week is over: %+v", e)
	}
	c.later(day + 2*time.Hour)
	c.eventually("a week after the failure it is gone", func() bool {
		_, there := c.env("hello")
		return !there && len(h.Containers()) == 0
	})
	var l operator.List[operator.Operation]
	c.ok("GET", "/api/v1/operations?env=hello", nil, &l)
	if l.Items[0].Kind != "env.delete" || l.Items[0].By != "orchestrator" {
		t.Errorf("who removed it: %+v", l.Items[0])
	}
}

// The week ends while the orchestrator is down and the host is away: what may run for all one knows is not removed, and it does run.
func TestFailedCreateIsNotRemovedUnseen(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h, cut := c.join("host1", 0)
	h.Force(0, host.CtFailing, "exited with code 1")
	failedCreate(t, c, "")
	cut()
	c.stopped()
	c.later(8 * day)
	c.start()
	look := func(when string) {
		t.Helper()
		must(t, c.o.ops.Step(t.Context()))
		if e, there := c.env("hello"); !there || e.Failed == nil {
			t.Fatalf("%s: it is %+v", when, e)
		}
	}
	look("before the first report")
	c.eventually("host1 is UNREACHABLE", func() bool { return c.host("host1").State == operator.HostUnreachable })
	look("while its host is away")
	h.Force(0, "", "")
	c.power(h)
	c.eventually("it runs, and is no failure any more", func() bool {
		e, _ := c.env("hello")
		return e.State == operator.EnvRunning && e.Failed == nil
	})
}

// With undo, a creation that fails leaves nothing; what was asked first counts, whatever is asked again with the same key.
func TestCreateWithUndo(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h, _ := c.join("host1", 0)
	h.Force(0, host.CtFailing, "exited with code 1")
	failedCreate(t, c, "?undo=true")
	c.eventually("nothing is left", func() bool { _, there := c.env("hello"); return !there && len(h.Containers()) == 0 })
	c.ok("POST", "/api/v1/environments", hello("hello", 1), nil, "Idempotency-Key", "k")
	if p := c.call("POST", "/api/v1/environments?undo=true", hello("hello", 1), nil, "Idempotency-Key", "k"); p == nil ||
		p.Code != operator.Invalid {
		t.Errorf("the same key for another request: %v", p)
	}
}

// Stop works on what is being made and does not come up; exec is refused only where nothing runs.
func TestStopAndExecOnWhateverRuns(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h, _ := c.join("host1", 0)
	h.Force(0, host.CtFailing, "check fails: connect to port 9000: connection refused")
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments", hello("hello", 1), &a)
	c.eventually("its check fails", func() bool { e, _ := c.env("hello"); return len(e.Nodes) == 1 && e.Nodes[0].State == "failing" })
	for _, s := range []host.ContainerState{host.CtFailing, host.CtStopping, host.CtWaiting, host.CtBroken} {
		h.Force(0, s, "why")
		c.eventually("it is "+string(s), func() bool { e, _ := c.env("hello"); return e.Nodes[0].State == string(s) })
		if out, _ := drain(t, c.dial("100/exec?argv=echo&argv=a")); out != "echo a\n" {
			t.Errorf("exec in a node that is %s and runs: %q", s, out)
		}
	}
	h.Force(0, "", "")
	id := c.change("stop", "hello")
	if op := c.ended(id); op.State != operator.OpDone {
		t.Errorf("stop of what is being made: %+v", op)
	}
	if op := c.operation(a.Operation.ID); !op.State.Final() {
		t.Errorf("the creation goes on: %+v", op)
	}
	h.Idle(true)
	c.eventually("nothing runs in it", func() bool { e, _ := c.env("hello"); return e.Nodes[0].Started.IsZero() })
	if p := c.call("GET", "/api/v1/nodes/100/exec?argv=true", nil, nil, "Upgrade", "websocket"); p == nil || p.Code != operator.Conflict ||
		!strings.Contains(p.Reason, "nothing runs in it: it is stopped") {
		t.Errorf("exec where nothing runs: %v", p)
	}
	conn := c.dial("100/logs")
	defer conn.Close(websocket.StatusNormalClosure, "")
	if out, _ := drain(t, conn); out == "" {
		t.Error("no logs of a stopped node")
	}
}

// An operation's record is not written anew each second because a back-off counts down.
func TestCountdownIsNotStored(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h, _ := c.join("host1", 0)
	h.Force(0, host.CtFailing, "exited with code 1; next start in 9s")
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments", hello("hello", 1), &a)
	detail := func() string { op := c.operation(a.Operation.ID); return op.Steps[3].Detail }
	c.eventually("the operation says why", func() bool { return strings.HasSuffix(detail(), "exited with code 1") })
	rev := store.Operations.Revision(c.o.store.View(), string(a.Operation.ID))
	for _, left := range []time.Duration{8 * time.Second, 7100 * time.Millisecond, 6 * time.Second} {
		h.Force(0, host.CtFailing, fmt.Sprintf("exited with code 1; next start in %s", left)) // as hosts of earlier releases say it
		c.eventually("the node says when it starts next", func() bool {
			e, _ := c.env("hello")
			n := e.Nodes[0]
			return n.Reason == "exited with code 1" && !n.NextStart.IsZero() && time.Until(n.NextStart) <= left
		})
		must(t, c.o.ops.Step(t.Context()))
	}
	if now := store.Operations.Revision(c.o.store.View(), string(a.Operation.ID)); now != rev {
		t.Errorf("the record was written again, at revision %d after %d: %s", now, rev, detail())
	}
	// A request that nobody may interrupt leaves the operation as it was.
	r := ops.Request{Kind: "env.start", Env: "hello", By: "x", Account: wire.AdminAccount}
	if _, err := c.o.ops.Accept(t.Context(), r); problemOf(err) == nil ||
		problemOf(err).Code != operator.Conflict {
		t.Errorf("start of what is being made: %v", err)
	}
}

// What is in the trash is erased also when its time is over while no orchestrator runs.
func TestTrashWhileAway(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	h, _ := c.join("host1", 0)
	for _, name := range []wire.EnvName{"hello", "kept"} {
		var a operator.Accepted
		c.ok("POST", "/api/v1/environments", hello(name, 1), &a)
		if op := c.ended(a.Operation.ID); op.State != operator.OpDone {
			t.Fatalf("create: %+v", op)
		}
	}
	trashed := c.change("trash", "hello")
	if op := c.ended(trashed); op.State != operator.OpDone {
		t.Fatalf("trash: %+v", op)
	}
	c.stopped()
	c.later(8 * day)
	c.start()
	c.eventually("it is erased", func() bool { _, there := c.env("hello"); return !there && runs(h) == 1 })
	if e, there := c.env("kept"); !there || e.State != operator.EnvRunning {
		t.Errorf("the other one is %+v", e)
	}
}
