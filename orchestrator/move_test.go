package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/hostapi/hosttest"
	"hardnode.dev/orchestrator/store"
)

func (c *cluster) move(id wire.CTID, want operator.MoveNode) wire.OperationID {
	c.t.Helper()
	var a operator.Accepted
	c.ok("POST", "/api/v1/nodes/"+id.String()+"/move", want, &a)
	return a.Operation.ID
}

func (c *cluster) node(id wire.CTID) (n operator.Node) {
	c.t.Helper()
	c.ok("GET", "/api/v1/nodes/"+id.String(), nil, &n)
	return n
}

// A node goes from host to host with its number and address, whoever leads meanwhile; the others are told where its address is.
func TestMove(t *testing.T) {
	t.Parallel()
	c, h1, h2, _, id, _ := two(t)
	before := c.node(id)
	var a operator.Accepted
	c.ok("POST", "/api/v1/nodes/"+id.String()+"/move?dry_run=true", operator.MoveNode{}, &a)
	if a.Move == nil || a.Move.HostName != "host2" || a.Move.Why == "" || a.Operation != nil {
		t.Fatalf("the dry run: %+v", a)
	}
	var ready, arrived atomic.Bool
	h2.Moves(func(p move.Part) *move.State {
		return &move.State{ID: p.ID, Phase: p.Phase, Bytes: 1 << 20, Ready: ready.Load(), Arrived: arrived.Load() && p.Phase == move.Last}
	})
	op := c.move(id, operator.MoveNode{Host: "host2", RateMiB: 3})
	c.eventually("both hosts are told", func() bool { return part(h1, id) != nil && part(h2, id) != nil })
	if p := part(h2, id); p.Role != move.To || p.Phase != move.Copy || p.Peer != h1.ID || p.Rate != 3<<20 || p.ID != string(op) {
		t.Errorf("host2 is told %+v", p)
	}
	if p := c.call("POST", "/api/v1/nodes/"+id.String()+"/move", operator.MoveNode{}, nil); p == nil || p.Code != operator.Conflict ||
		!strings.Contains(p.Reason, "it moves already") {
		t.Errorf("a second move: %+v", p)
	}
	restart := func() {
		c.stopped()
		c.start()
	}
	restart()
	ready.Store(true)
	h2.Hint()
	c.eventually("it is stopped", func() bool { p := part(h1, id); return p != nil && p.Phase == move.Last })
	if p := c.call("POST", "/api/v1/operations/"+string(op)+"/cancel", nil, nil); p == nil || p.Code != operator.Conflict {
		t.Errorf("cancelled in its last step: %+v", p)
	}
	restart()
	arrived.Store(true)
	h2.Hint()
	if got := c.ended(op); got.State != operator.OpDone || got.Progress != 100 {
		t.Fatalf("the move: %+v %v", got, got.Problem)
	}
	after := c.node(id)
	if after.HostName != "host2" || after.InternalIP != before.InternalIP || after.State != string(host.CtRunning) {
		t.Errorf("it was %+v, and is %+v", before, after)
	}
	c.eventually("nothing is left of it on host1", func() bool { return !slices.Contains(users(h1), id) && part(h2, id) == nil })
	c.eventually("the hosts are told where its address is", func() bool {
		return slices.ContainsFunc(h1.Peers().Hosts, func(p host.Peer) bool {
			return p.Name == "host2" && slices.Contains(p.Moved, netip.MustParsePrefix(before.InternalIP+"/32"))
		})
	})
	// Back: it has its address of its own host again.
	h1.Moves(nil)
	h2.Moves(nil)
	if got := c.ended(c.move(id, operator.MoveNode{Host: "host1"})); got.State != operator.OpDone {
		t.Fatalf("back: %+v %v", got, got.Problem)
	}
	c.eventually("its address is where it was", func() bool {
		return !slices.ContainsFunc(h1.Peers().Hosts, func(p host.Peer) bool { return len(p.Moved) > 0 })
	})
}

// A move that is cancelled while it copies, or whose host goes away, leaves the node where it is.
func TestMoveGivenUp(t *testing.T) {
	t.Parallel()
	c, h1, h2, _, id, _ := two(t)
	h2.Moves(func(p move.Part) *move.State { return &move.State{ID: p.ID, Phase: p.Phase, Error: "its disk is full"} })
	op := c.move(id, operator.MoveNode{})
	c.eventually("its error is shown", func() bool { return strings.Contains(stepOf(c.operation(op), "copy"), "its disk is full") })
	var got operator.Operation
	c.ok("POST", "/api/v1/operations/"+string(op)+"/cancel", nil, &got)
	if got.State != operator.OpCancelled {
		t.Errorf("cancelled: %+v", got)
	}
	c.eventually("host2 has nothing of it", func() bool { return !slices.Contains(users(h2), id) })
	c.eventually("host1 knows of no move", func() bool {
		return slices.ContainsFunc(h1.Work().Containers, func(ct host.Container) bool { return ct.CTID == id && ct.Move == nil && ct.Run })
	})
	if n := c.node(id); n.HostName != "host1" || n.State != string(host.CtRunning) {
		t.Errorf("the node: %+v", n)
	}
	op = c.move(id, operator.MoveNode{})
	c.eventually("host2 is told again", func() bool { return slices.Contains(users(h2), id) })
	c.ok("DELETE", "/api/v1/environments/hello", nil, nil)
	if got := c.ended(op); got.State != operator.OpFailed {
		t.Errorf("the node was deleted: %+v", got)
	}
	c.eventually("it is nowhere", func() bool { return len(users(h1))+len(users(h2)) == 0 })
}

func stepOf(op operator.Operation, name string) string {
	for _, s := range op.Steps {
		if s.Name == name {
			return s.Detail
		}
	}
	return ""
}

// withData is a cluster with a node on host1 that has a volume, and an empty host2.
func withData(t *testing.T) (c *cluster, h1, h2 *hosttest.Host, cut1 func(), id wire.CTID) {
	t.Helper()
	c = found(t, 2, "infra1", "host1", "host2")
	c.start()
	h1, cut1 = c.join("host1", 0)
	spec := hello("hello", 1)
	spec.Layers[0].Volumes = []operator.VolumeSpec{{Path: "/srv/data", DiskMiB: 64}}
	if op := c.create(spec); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	h2, _ = c.join("host2", 0)
	return c, h1, h2, cut1, users(h1)[0]
}

// The orchestrator ends at each step of a move, and another one goes on: the node runs on one host, and never on two.
func TestMoveOverRestarts(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"copy", "hold", "last", "clean"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			c, h1, h2, _, id := withData(t)
			var ready, arrived atomic.Bool
			ready.Store(step != "copy")
			arrived.Store(step != "last")
			h2.Moves(func(p move.Part) *move.State {
				return &move.State{ID: p.ID, Phase: p.Phase, Bytes: 1 << 20, Ready: ready.Load(),
					Arrived: arrived.Load() && p.Phase == move.Last}
			})
			if step == "clean" {
				h1.Stick(id)
			}
			op := c.move(id, operator.MoveNode{})
			c.eventually("it is at "+step, func() bool {
				n, _ := store.Nodes.Get(c.o.store.View(), id.String())
				switch step {
				case "copy":
					return part(h1, id) != nil && part(h2, id) != nil
				case "hold":
					return n.Moving == nil || n.Moving.Step != store.MoveCopy || !n.Moving.Held.IsZero()
				case "last":
					p := part(h2, id)
					return p != nil && p.Phase == move.Last
				}
				return n.Moving != nil && n.Moving.Step == store.MoveClean
			})
			c.stopped()
			c.start()
			ready.Store(true)
			arrived.Store(true)
			h1.Stick(0)
			h1.Hint()
			h2.Hint()
			if got := c.ended(op); got.State != operator.OpDone {
				t.Fatalf("the move: %+v %v", got, got.Problem)
			}
			c.eventually("it runs on host2, and host1 has nothing of it", func() bool {
				n := c.node(id)
				return n.HostName == "host2" && n.State == string(host.CtRunning) && len(users(h1)) == 0 && part(h2, id) == nil
			})
		})
	}
}

// The host that a node leaves is gone after it was stopped there, before all of it has come: the move ends and says what to do, nothing is
// left on the other host, and when the host is back the node runs there.
func TestMoveSourceLost(t *testing.T) {
	t.Parallel()
	c, h1, h2, cut1, id := withData(t)
	h2.Moves(func(p move.Part) *move.State {
		if p.Phase == move.Last {
			return &move.State{ID: p.ID, Phase: p.Phase, Error: "host1 does not answer"}
		}
		return &move.State{ID: p.ID, Phase: p.Phase, Ready: true}
	})
	op := c.move(id, operator.MoveNode{})
	c.eventually("it is stopped", func() bool { p := part(h1, id); return p != nil && p.Phase == move.Last })
	cut1()
	h2.See(host.GossipView{Host: h1.ID})
	got := c.ended(op)
	if got.State != operator.OpFailed || !strings.Contains(got.Problem.Reason, "host host1 is lost, on which it was stopped") ||
		!strings.Contains(got.Problem.Next, "hnctl host remove host1") {
		t.Fatalf("the move: %+v %v", got, got.Problem)
	}
	c.eventually("host2 has nothing of it", func() bool { return len(users(h2)) == 0 && part(h2, id) == nil })
	if n := c.node(id); n.HostName != "host1" {
		t.Errorf("the node is on %s", n.HostName)
	}
	h2.See()
	c.power(h1)
	c.eventually("it runs where its data is", func() bool {
		n := c.node(id)
		return n.HostName == "host1" && n.State == string(host.CtRunning) && part(h1, id) == nil
	})
}

// What is copied is shown while it is copied, and gives the move its time anew: however much there is, it ends only when nothing comes.
func TestMoveProgress(t *testing.T) {
	t.Parallel()
	c, _, h2, _, id := withData(t)
	var bytes atomic.Int64
	h2.Moves(func(p move.Part) *move.State {
		return &move.State{ID: p.ID, Phase: p.Phase, Bytes: bytes.Load(), Of: 9 << 20}
	})
	op := c.move(id, operator.MoveNode{})
	for mib := int64(1); mib <= 3; mib++ {
		before := c.operation(op).Deadline
		c.later(time.Minute)
		bytes.Store(mib << 20)
		h2.Hint()
		c.eventually("what is copied is shown", func() bool {
			now := c.operation(op)
			return strings.Contains(stepOf(now, "copy"), fmt.Sprintf("copied %d of about 9 MiB", mib)) && now.Deadline.After(before)
		})
	}
	c.cancel(op)
}
