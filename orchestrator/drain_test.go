package main

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

func (c *cluster) drain(name string, want operator.DrainHost) wire.OperationID {
	c.t.Helper()
	var a operator.Accepted
	c.ok("POST", "/api/v1/hosts/"+name+"/drain", want, &a)
	return a.Operation.ID
}

func (c *cluster) leaving(name string, want operator.DrainHost) []operator.DrainNode {
	c.t.Helper()
	var a operator.Accepted
	c.ok("POST", "/api/v1/hosts/"+name+"/drain?dry_run=true", want, &a)
	return a.Drain
}

func (c *cluster) isState(name string, want operator.HostState) {
	c.t.Helper()
	c.eventually(name+" is "+string(want), func() bool { return c.host(name).State == want })
}

// starting makes nodes that come to a host from now on stay in their start.
func starting(h *hosttest.Host) { h.Force(0, host.CtStarting, "it takes its time") }

func users(h *hosttest.Host) (ids []wire.CTID) {
	for _, c := range h.Work().Containers {
		if c.Env != "jelastic" && c.Run {
			ids = append(ids, c.CTID)
		}
	}
	return ids
}

// Each node runs elsewhere before it goes, one of a layer at a time; then the host is empty, and stays so through a restart.
func TestDrain(t *testing.T) {
	t.Parallel()
	c, h1, h2, _, on1, _ := two(t)
	if plan := c.leaving("host1", operator.DrainHost{}); len(plan) != 1 || plan[0].CTID != on1 || plan[0].Way != operator.WayReplace ||
		plan[0].HostName != "host2" || plan[0].Why == "" {
		t.Fatalf("the plan is %+v", plan)
	}
	starting(h2)
	id := c.drain("host1", operator.DrainHost{Reason: "fan fails"})
	c.isState("host1", operator.HostEvacuating)
	c.eventually("its successor is with host2", func() bool { return len(users(h2)) == 2 })
	if !slices.Equal(users(h1), []wire.CTID{on1}) {
		t.Errorf("it went before the new one runs: %v", users(h1))
	}
	if op := c.operation(id); op.State.Final() || op.Object != "hosts/host1" || !op.Cancel || len(op.Steps) != 3 {
		t.Errorf("the operation: %+v", op)
	}
	// The orchestrator restarts in the middle: it goes on.
	c.stopped()
	c.start()
	c.isState("host1", operator.HostEvacuating)
	h2.Force(0, "", "")
	if op := c.ended(id); op.State != operator.OpDone || op.Progress != 100 {
		t.Fatalf("the drain: %+v %v", op, op.Problem)
	}
	c.isState("host1", operator.HostEvacuated)
	if h := c.host("host1"); h.Reason != "no node of a user runs on it: cordoned by admin: fan fails" || h.Containers != 0 {
		t.Errorf("the host: %+v", h)
	}
	if e, _ := c.env("hello"); e.State != operator.EnvRunning || len(e.Nodes) != 2 || len(users(h1)) != 0 {
		t.Errorf("the environment: %+v; on host1 %v", e, users(h1))
	}
	var h operator.Host
	c.ok("DELETE", "/api/v1/hosts/host1/cordon", nil, &h)
	if h.State != operator.HostActive {
		t.Errorf("uncordoned it is %s", h.State)
	}
	if op := c.operation(id); op.State != operator.OpDone {
		t.Errorf("the operation that had ended is %s", op.State)
	}
}

// Nodes with volumes go to another host with them, and the drain waits for that; cancelled, it leaves them where they are.
func TestDrainMoves(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1", "host2")
	c.start()
	h1, _ := c.join("host1", 0)
	spec := hello("hello", 2)
	spec.Layers[0].Volumes = []operator.VolumeSpec{{Path: "/srv/data", DiskMiB: 64}}
	if op := c.create(spec); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	h2, _ := c.join("host2", 0)
	var copied atomic.Bool
	h2.Moves(func(p move.Part) *move.State {
		return &move.State{ID: p.ID, Phase: p.Phase, Bytes: 1 << 20, Ready: copied.Load(), Arrived: p.Phase == move.Last}
	})
	nodes := users(h1)
	c.eventually("host2 has room", func() bool {
		plan := c.leaving("host1", operator.DrainHost{})
		return len(plan) == 2 && plan[0].Way == operator.WayMove && plan[0].HostName == "host2" && plan[1].Way == operator.WayMove
	})
	id := c.drain("host1", operator.DrainHost{Reason: "fan fails"})
	c.eventually("one moves", func() bool { return part(h2, nodes[0]) != nil })
	c.eventually("the drain says so", func() bool {
		op := c.operation(id)
		return strings.Contains(op.Steps[2].Detail, "moves to host2: operation op-")
	})
	if part(h2, nodes[1]) != nil {
		t.Error("both move at once")
	}
	c.cancel(id)
	c.eventually("host2 has nothing of it", func() bool { return len(users(h2)) == 0 && part(h2, nodes[0]) == nil })
	c.eventually("both run where they were", func() bool {
		e, _ := c.env("hello")
		return e.State == operator.EnvRunning && len(users(h1)) == 2 && part(h1, nodes[0]) == nil
	})
	copied.Store(true)
	h2.Hint()
	id = c.drain("host1", operator.DrainHost{})
	if op := c.ended(id); op.State != operator.OpDone {
		t.Fatalf("the drain: %+v %v", op, op.Problem)
	}
	c.isState("host1", operator.HostEvacuated)
	if got := users(h2); !slices.Equal(got, nodes) {
		t.Errorf("host2 runs %v, want %v", got, nodes)
	}
	if e, _ := c.env("hello"); e.State != operator.EnvRunning || len(e.Nodes) != 2 {
		t.Errorf("the environment: %+v", e)
	}
}

// What no other host takes keeps the drain of the last host from beginning; stopped where it is, it is started again by uncordoning.
func TestDrainOfTheLastHost(t *testing.T) {
	t.Parallel()
	c := found(t, 1, "infra1", "host1")
	c.start()
	h1, _ := c.join("host1", 0)
	c.create(hello("hello", 2))
	p := c.call("POST", "/api/v1/hosts/host1/drain", operator.DrainHost{}, nil)
	if p == nil || p.Code != operator.Exhausted || !strings.HasPrefix(p.Reason, "2 of its 2 nodes have no other place: node 100 of "+
		"environment hello: no other host takes it: host1 is the host the node leaves") ||
		!strings.Contains(p.Next, "hnctl host drain host1 --stop") {
		t.Fatalf("refused with %+v", p)
	}
	if h := c.host("host1"); h.State != operator.HostActive || h.Cordon != nil {
		t.Fatalf("after the refusal: %+v", h)
	}
	if op := c.ended(c.drain("host1", operator.DrainHost{Stop: true})); op.State != operator.OpDone {
		t.Fatalf("the drain: %+v %v", op, op.Problem)
	}
	e, _ := c.env("hello")
	if e.State != operator.EnvDown || len(users(h1)) != 0 ||
		!strings.Contains(e.Nodes[0].Reason, "it is started again when the host is uncordoned") {
		t.Errorf("the environment: %+v", e)
	}
	// Nobody waits for it; and it does not run before its time.
	if op := c.ended(c.change("stop", "hello")); op.State != operator.OpDone {
		t.Errorf("stopped: %+v", op)
	}
	if op := c.ended(c.change("start", "hello")); op.State != operator.OpDone || len(users(h1)) != 0 {
		t.Errorf("started: %+v, on host1 %v", op, users(h1))
	}
	c.ok("DELETE", "/api/v1/hosts/host1/cordon", nil, nil)
	c.eventually("all of it runs", func() bool { e, _ := c.env("hello"); return e.State == operator.EnvRunning })
	if n := len(users(h1)); n != 2 {
		t.Errorf("%d nodes run on host1", n)
	}
}

// Cancelled, it is as before, but for what has left. By its deadline nothing is undone: it fails, and says what is left.
func TestDrainEndsEarly(t *testing.T) {
	t.Parallel()
	c, h1, h2, _, on1, _ := two(t)
	starting(h2)
	id := c.drain("host1", operator.DrainHost{})
	c.eventually("its successor is with host2", func() bool { return len(users(h2)) == 2 })
	c.cancel(id)
	c.isState("host1", operator.HostActive)
	c.eventually("the successor goes", func() bool { return len(users(h2)) == 1 })

	c.ok("PUT", "/api/v1/hosts/host1/cordon", operator.CordonHost{Reason: "before"}, nil)
	id = c.drain("host1", operator.DrainHost{})
	c.eventually("the next successor is with host2", func() bool { return len(users(h2)) == 2 })
	c.cancel(id)
	c.isState("host1", operator.HostMaintenance)
	if h := c.host("host1"); h.Cordon == nil || h.Cordon.Reason != "before" {
		t.Errorf("it was cordoned before: %+v", h)
	}
	c.eventually("the next successor goes", func() bool { return len(users(h2)) == 1 })

	id = c.drain("host1", operator.DrainHost{})
	c.eventually("one more successor is with host2", func() bool { return len(users(h2)) == 2 })
	c.settle() // and host2 has told that it is starting
	c.later(time.Hour)
	op := c.ended(id)
	if op.State != operator.OpFailed || !strings.Contains(op.Problem.Reason, "is starting: it takes its time, and takes its place") ||
		!strings.Contains(op.Problem.Next, "hnctl host uncordon host1") {
		t.Fatalf("out of time: %+v %v", op, op.Problem)
	}
	c.isState("host1", operator.HostEvacuationFailed)
	c.eventually("the successor goes, the node stays", func() bool {
		return len(users(h2)) == 1 && slices.Equal(users(h1), []wire.CTID{on1})
	})
	h2.Force(0, "", "")
	if op := c.ended(c.drain("host1", operator.DrainHost{})); op.State != operator.OpDone {
		t.Errorf("once more: %+v %v", op, op.Problem)
	}
	c.isState("host1", operator.HostEvacuated)
	for _, op := range store.Operations.All(c.o.store.View()) {
		if op.State.Final() && op.Cordon != nil {
			t.Errorf("operation %s has ended and still keeps what was before it", op.ID)
		}
	}
	id = c.drain("host2", operator.DrainHost{Stop: true})
	c.ok("DELETE", "/api/v1/hosts/host2/cordon", nil, nil)
	c.isState("host2", operator.HostActive)
	if op := c.operation(id); op.State == operator.OpCancelled && !strings.Contains(op.Problem.Reason, "uncordoned by admin") {
		t.Errorf("uncordoned: %+v", op)
	}
}

// The host that a node goes to dies: the node stays, runs, and goes to another one. The drained host dies: its successor takes over.
func TestDrainAndDeadHosts(t *testing.T) {
	t.Parallel()
	c := found(t, 3, "infra1", "host1", "host2", "host3")
	c.start()
	h1, cut1 := c.join("host1", 0)
	c.create(hello("hello", 1))
	h2, cut2 := c.join("host2", 0)
	starting(h2)
	id := c.drain("host1", operator.DrainHost{})
	c.eventually("its successor is with host2", func() bool { return len(users(h2)) == 1 })
	h3, _ := c.join("host3", 0)
	starting(h3)
	cut2()
	dead := func(h *hosttest.Host) host.GossipView { return host.GossipView{Host: h.ID} }
	h1.See(dead(h2))
	h3.See(dead(h2))
	c.eventually("another successor is with host3", func() bool { return len(users(h3)) == 1 })
	if len(users(h1)) != 1 {
		t.Error("the node did not stay meanwhile")
	}
	cut1()
	h3.See(dead(h1), dead(h2))
	c.eventually("the successor is the node", func() bool {
		for n := range store.NodesOf.Of(c.o.store.View(), "hello") {
			if n.Host == h3.ID && n.Replaces == 0 && !n.Gone {
				return true
			}
		}
		return false
	})
	h3.Force(0, "", "")
	if op := c.ended(id); op.State != operator.OpDone || !strings.Contains(op.Steps[2].Detail, "when the host is back") {
		t.Errorf("the drain: %+v %v", op, op.Problem)
	}
	c.eventually("host3 has told that the node runs", func() bool { e, _ := c.env("hello"); return e.State == operator.EnvRunning })
}

// Two hosts are drained at once, and one twice; an environment is worked on meanwhile, and deleted.
func TestDrainsAtOnce(t *testing.T) {
	t.Parallel()
	c := found(t, 3, "infra1", "host1", "host2", "host3")
	c.start()
	h1, _ := c.join("host1", 0)
	h2, _ := c.join("host2", 0)
	c.create(hello("hello", 2))
	c.create(hello("other", 2))
	h3, _ := c.join("host3", 0)
	starting(h3)
	one, two := c.drain("host1", operator.DrainHost{}), c.drain("host2", operator.DrainHost{})
	if p := c.call("POST", "/api/v1/hosts/host1/drain", operator.DrainHost{}, nil); p == nil || p.Code != operator.Conflict ||
		!strings.Contains(p.Next, string(one)) {
		t.Errorf("drained twice: %v", p)
	}
	c.eventually("a node of each layer is on its way", func() bool { return len(users(h3)) == 2 })
	c.settle()
	if n := len(users(h3)); n != 2 {
		t.Errorf("%d nodes are on their way at once", n)
	}
	// A stop is done where the nodes are; what came for them goes. A start brings them again.
	stop := c.change("stop", "hello")
	if op := c.ended(stop); op.State != operator.OpDone {
		t.Errorf("stopped in the middle: %+v %v", op, op.Problem)
	}
	start := c.change("start", "hello")
	del := c.change("delete", "other")
	if op := c.ended(del); op.State != operator.OpDone {
		t.Errorf("deleted in the middle: %+v %v", op, op.Problem)
	}
	h3.Force(0, "", "")
	for _, id := range []wire.OperationID{one, two, start} {
		if op := c.ended(id); op.State != operator.OpDone {
			t.Errorf("%s: %+v %v", op.Kind, op, op.Problem)
		}
	}
	c.isState("host1", operator.HostEvacuated)
	c.isState("host2", operator.HostEvacuated)
	if e, _ := c.env("hello"); e.State != operator.EnvRunning || len(users(h1))+len(users(h2)) != 0 || len(users(h3)) != 2 {
		t.Errorf("the environment: %+v", e)
	}
	if p := c.call("POST", "/api/v1/hosts/infra1/drain", operator.DrainHost{}, nil); p == nil {
		t.Error("an infra host that has not joined is drained")
	}
}

// A host that reboots by order is waited for until it is expected back, also by an orchestrator that starts meanwhile; then it is lost like
// any other, and that is an alarm. Once it is back the order is over.
func TestOrderedReboot(t *testing.T) {
	t.Parallel()
	c, h1, h2, cut1, on1, _ := two(t)
	c.ok("POST", "/api/v1/hosts/host1/reboot", operator.LeaveHost{Reason: "new fan", WithinSec: 3600}, nil)
	cut1()
	h2.See(host.GossipView{Host: h1.ID})
	rebooting := func() bool {
		h := c.host("host1")
		return h.State == operator.HostUnreachable && strings.HasPrefix(h.Reason, "rebooting, ordered by admin from 127.0.0.1 (new fan), "+
			"back expected within 1h0m0s, until") && strings.Contains(h.Reason, "its nodes stay until")
	}
	c.eventually("it is said", rebooting)
	c.stopped()
	c.start()
	c.eventually("it is said by the next orchestrator", rebooting)
	alarms := func() string {
		var in operator.Cluster
		c.ok("GET", "/api/v1/cluster", nil, &in)
		return strings.Join(in.Alarms, "; ")
	}
	if got := alarms(); got != "" {
		t.Errorf("alarms: %s", got)
	}
	_, err := c.o.store.Update(t.Context(), func(tx *store.Tx) error {
		l, _ := store.Leaves.Read(tx, string(h1.ID))
		l.Until = time.Now().Add(-time.Second)
		store.Leaves.Put(tx, string(h1.ID), l)
		return nil
	})
	must(t, err)
	c.eventually("its node is made anew elsewhere", func() bool {
		for n := range store.NodesOf.Of(c.o.store.View(), "hello") {
			if n.CTID == on1 && n.Gone && n.ReplacedBy != 0 {
				return true
			}
		}
		return false
	})
	if got := alarms(); !strings.Contains(got, "host host1 was ordered to reboot by admin from 127.0.0.1, and is not back") {
		t.Errorf("alarms: %q", got)
	}
	c.power(h1)
	c.eventually("it is back, and the order is over", func() bool {
		h := c.host("host1")
		return h.State == operator.HostActive && h.Leaving == nil && !strings.Contains(alarms(), "reboot")
	})
}

// A host that says that it leaves its machine, which nobody ordered here, is waited for as one that was ordered to: it boots its other
// slot, or goes back. An order that was given here stays as it is, and one that switches itself off is not waited for.
func TestHostLeavesByItself(t *testing.T) {
	t.Parallel()
	c, h1, h2, cut1, on1, on2 := two(t)
	h1.Leave(&upkeep.Leave{By: "an order", Reason: "release 1.1.0"})
	h2.Leave(&upkeep.Leave{PowerOff: true, Reason: "power button"})
	noted := func(h *hosttest.Host) (l store.Leave) {
		c.eventually("it is noted that "+h.Name+" leaves", func() (there bool) {
			l, there = store.Leaves.Get(c.o.store.View(), string(h.ID))
			return there
		})
		return l
	}
	l := noted(h1)
	if l.By != "an order" || l.Reason != "release 1.1.0" || l.Boot != h1.Report().Boot || l.Until.Sub(l.At) < live.ClocksFor(1).Reboot {
		t.Errorf("host1: %+v", l)
	}
	if l := noted(h2); l.By != "the host itself" || !l.PowerOff || !l.Until.IsZero() {
		t.Errorf("host2: %+v", l)
	}
	h2.Leave(nil)
	h1.Leave(&upkeep.Leave{Reason: "other words"})
	cut1()
	h2.See(host.GossipView{Host: h1.ID})
	c.eventually("it is waited for", func() bool {
		h := c.host("host1")
		return h.State == operator.HostUnreachable &&
			strings.HasPrefix(h.Reason, "rebooting, ordered by an order (release 1.1.0), back ") &&
			strings.Contains(h.Reason, "its nodes stay until")
	})
	if again, _ := store.Leaves.Get(c.o.store.View(), string(h1.ID)); again != l {
		t.Errorf("noted again: %+v, before %+v", again, l)
	}
	h1.Leave(nil)
	c.power(h1)
	c.eventually("it is back, with its node, and the order is over", func() bool {
		h := c.host("host1")
		return h.State == operator.HostActive && h.Leaving == nil && slices.Contains(h1.Containers(), on1)
	})
	if !slices.Contains(h2.Containers(), on2) || len(h2.Containers()) != 1 {
		t.Errorf("host2 has %v", h2.Containers())
	}
}
