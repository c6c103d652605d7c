package converge

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// drain has host i drained, or not any more.
func (w *world) drain(i int, d *store.Drain) {
	w.in.Cordons = map[wire.HostID]store.Cordon{}
	if d != nil {
		w.in.Cordons[w.in.Hosts[i].ID] = store.Cordon{HostCordon: operator.HostCordon{By: "ann", Reason: "fan"}, Drain: d}
	}
}

// inhabited is a cluster of two user hosts with a layer of two nodes, 100 on host1 and 101 on host2, and 102 on host1 of another.
func inhabited(t *testing.T) *world {
	t.Helper()
	w := newWorld(3)
	w.turn("start")
	w.env("hello", 2, store.WantRunning)
	w.turn("create")
	w.env("shop", 1, store.WantRunning)
	w.turn("create another")
	w.all(1, 2)
	w.turn("all run")
	w.is(t, "at first", "100@h-1, 101@h-2, 102@h-1")
	return w
}

func (w *world) states(i int, states map[wire.CTID]host.ContainerState) {
	w.report(i, operator.HostActive)
	s := w.in.Live[w.in.Hosts[i].ID]
	r := *s.Report
	r.Containers = slices.Clone(r.Containers)
	for j, c := range r.Containers {
		if state, there := states[c.CTID]; there {
			r.Containers[j].State = state
		}
	}
	s.Report = &r
	w.in.Live[w.in.Hosts[i].ID] = s
}

func (w *world) halted() (ids []wire.CTID) {
	for _, n := range w.in.Nodes {
		if n.Halted != "" {
			ids = append(ids, n.CTID)
		}
	}
	return ids
}

func TestLeave(t *testing.T) {
	w := inhabited(t)
	w.in.Nodes[2].Container.Volumes = []host.Volume{{Name: "data", Path: "/data"}}
	w.drain(1, &store.Drain{})
	w.turn("drained")
	w.is(t, "a new one first; what has a volume waits for it", "100@h-1, 101@h-2, 102@h-1, 103@h-2 for 100")
	if p := w.turn("it does not run yet"); len(p.Nodes) != 0 || len(p.Uneven) != 0 || len(w.halted()) != 0 {
		t.Errorf("while the new node starts: %+v", p)
	}
	w.states(2, nil)
	w.turn("it runs: the old one goes, and what can't leave is stopped")
	w.is(t, "then the old one goes", "100@h-1 gone, 101@h-2, 102@h-1, 103@h-2")
	if got := w.halted(); !slices.Equal(got, []wire.CTID{102}) ||
		!strings.Contains(w.in.Nodes[2].Halted, "host host1, which is drained: it has a volume") {
		t.Errorf("stopped are %v", got)
	}
	if c := w.in.Works["h-1"].Containers; len(c) != 1 || c[0].CTID != 102 || c[0].Run {
		t.Errorf("host1 is told %+v", c)
	}
	w.all(1, 2)
	w.turn("done")
	w.settled(t)
	// It fails or ends: what is stopped stays so. Uncordoned, it runs.
	w.drain(1, &store.Drain{Failed: "out of time"})
	if p := w.turn("failed"); len(p.Nodes) != 0 || len(w.halted()) != 1 {
		t.Errorf("after it failed: %+v", p.Steps)
	}
	w.drain(1, nil)
	w.turn("uncordoned")
	if c := w.in.Works["h-1"].Containers; len(c) != 1 || !c[0].Run || len(w.halted()) != 0 {
		t.Errorf("host1 is told %+v", c)
	}
	w.settled(t)
}

// What no other host takes stays and runs, and nothing else is stopped; unless that is asked for.
func TestLeaveWithoutRoom(t *testing.T) {
	for _, stop := range []bool{false, true} {
		w := inhabited(t)
		w.in.Nodes[2].Container.Volumes = []host.Volume{{Name: "data", Path: "/data"}}
		w.report(2, operator.HostUnreachable)
		w.drain(1, &store.Drain{Stop: stop})
		p := w.turn("drained")
		want, stuck := []wire.CTID{100, 102}, ""
		if !stop {
			want, stuck = nil, "node 100 is to leave host host1, and no other host takes it: "+
				"host1 takes no new nodes: cordoned by ann: fan; host2 is UNREACHABLE"
		}
		if got := w.halted(); !slices.Equal(got, want) {
			t.Errorf("stop %v: stopped are %v, want %v", stop, got, want)
		}
		if !stop && p.Stuck["hello"] != stuck {
			t.Errorf("it is said: %q, want %q", p.Stuck["hello"], stuck)
		}
		w.settled(t)
	}
}

// carry has all hosts report what they were told, moves as done as they can be, two seconds later.
func (w *world) carry() {
	w.in.Now = w.in.Now.Add(2 * time.Second)
	for i := range w.in.Hosts {
		w.report(i, operator.HostActive)
		s := w.in.Live[w.in.Hosts[i].ID]
		s.Report.Moves = true
		for j, c := range w.in.Works[w.in.Hosts[i].ID].Containers {
			if c.Move == nil {
				continue
			}
			said := move.State{ID: c.Move.ID, Phase: c.Move.Phase, Ready: true, Arrived: c.Move.Phase == move.Last}
			if s.Report.Containers[j].Move = &said; c.Move.Still(said.Arrived) {
				s.Report.Containers[j].State = host.CtStopped
			}
		}
	}
}

// drainedWithData is a cluster of which host1 is drained, whose nodes 100 and 102 have a volume each.
func drainedWithData(t *testing.T) *world {
	t.Helper()
	w := inhabited(t)
	for _, i := range []int{0, 2} {
		w.in.Nodes[i].Container.Volumes = []host.Volume{{Name: "data", Path: "/data"}}
	}
	w.carry()
	w.drain(1, &store.Drain{Operation: "op-d"})
	return w
}

// Nodes with volumes go to another host with them, one after the other.
func TestLeaveWithData(t *testing.T) {
	w := drainedWithData(t)
	p := w.turn("drained")
	if len(p.Operations) != 1 || p.Operations[0].Kind != "node.move" || p.Operations[0].Node != 100 || p.Operations[0].From != "h-1" ||
		p.Operations[0].To != "h-2" || p.Operations[0].Account != w.in.Envs[0].Account {
		t.Fatalf("the operations are %+v", p.Operations)
	}
	moved := []wire.CTID{}
	for range 20 {
		w.carry()
		for _, op := range w.turn("a step").Operations {
			moved = append(moved, op.Node)
		}
		leaving := 0
		for _, n := range w.in.Nodes {
			if departs(&n, "h-1") {
				leaving++
			}
		}
		if leaving > 1 {
			t.Fatal("two of a host move at once")
		}
	}
	w.is(t, "in the end", "100@h-2, 101@h-2, 102@h-2")
	if !slices.Equal(moved, []wire.CTID{102}) || len(w.halted()) > 0 {
		t.Errorf("after the first moved %v; stopped are %v", moved, w.halted())
	}
	w.settled(t)
}

// Where none is to be moved they are stopped.
func TestLeaveWithoutMoves(t *testing.T) {
	w := drainedWithData(t)
	w.drain(1, &store.Drain{Operation: "op-d", NoMove: true})
	w.carry()
	if p := w.turn("drained"); len(p.Operations) != 0 || !slices.Equal(w.halted(), []wire.CTID{100, 102}) ||
		!strings.Contains(w.in.Nodes[0].Halted, "it has a volume, and is not to be moved; it is started again") {
		t.Errorf("%+v, stopped are %v: %s", p.Operations, w.halted(), w.in.Nodes[0].Halted)
	}
	w.carry()
	w.settled(t)
}

// One whose move is given up is not moved again by the same drain: it is stopped when the others have left. A drain that ends takes the
// moves along that have only begun.
func TestLeaveGivenUp(t *testing.T) {
	w := drainedWithData(t)
	w.resolver()
	w.turn("drained")
	w.in.Nodes[0].Moving.Why = "its disk is full"
	for range 20 {
		w.carry()
		w.turn("a step")
	}
	w.is(t, "the other one has left", "100@h-1, 101@h-2, 102@h-2")
	if got := w.halted(); !slices.Equal(got, []wire.CTID{100}) ||
		!strings.Contains(w.in.Nodes[0].Halted, "it has a volume, and its move to another host was given up") {
		t.Errorf("stopped are %v: %s", got, w.in.Nodes[0].Halted)
	}
	w.drain(1, &store.Drain{Operation: "op-e"})
	w.in.Nodes[0].Halted = ""
	w.carry()
	if p := w.turn("drained again"); len(p.Operations) != 1 || p.Operations[0].Node != 100 {
		t.Errorf("another drain does not try again: %+v", p.Operations)
	}
	w.drain(1, nil)
	for range 3 {
		w.carry()
		w.turn("uncordoned")
	}
	w.is(t, "it stays", "100@h-1, 101@h-2, 102@h-2")
	if n := w.in.Nodes[0]; n.Moving != nil || n.Halted != "" {
		t.Errorf("after the drain ended: %+v, stopped %q", n.Moving, n.Halted)
	}
	w.settled(t)
}

// Nobody waits for a node that can't run; two nodes of a layer leave one after the other; a stop ends what is under way.
func TestLeaveTakesTurns(t *testing.T) {
	w := inhabited(t)
	w.states(1, map[wire.CTID]host.ContainerState{102: host.CtFailing})
	w.drain(1, &store.Drain{})
	w.turn("drained")
	w.is(t, "with one that fails", "100@h-1, 101@h-2, 102@h-1 gone, 103@h-2 for 100, 104@h-2")
	w = newWorld(2)
	w.turn("start")
	w.env("hello", 2, store.WantRunning)
	w.turn("create")
	w.all(1)
	w.in.Hosts = append(w.in.Hosts, store.Host{ID: "h-2", Name: "host2", Role: host.RoleUser, Number: 2, Order: 2,
		Block4: netip.MustParsePrefix("10.96.2.0/24")})
	w.report(2, operator.HostActive)
	w.drain(1, &store.Drain{})
	w.turn("drained")
	w.is(t, "one of a layer at a time", "100@h-1, 101@h-1, 102@h-2 for 100")
	w.env("hello", 2, store.WantStopped)
	w.turn("stopped")
	w.is(t, "stopped in the middle", "100@h-1, 101@h-1, 102@h-2 gone for 100")
	w.all(1, 2)
	w.turn("removed")
	w.settled(t)
}

// What is said beforehand is what is done, and changes nothing.
func TestLeaving(t *testing.T) {
	w := inhabited(t)
	w.in.Nodes[2].Container.Volumes = []host.Volume{{Name: "data", Path: "/data"}}
	x := w.in.index()
	x.Plan(t0)
	x.Looked()
	ways := func(stop bool) string {
		var out []string
		for _, n := range x.Leaving("h-1", stop, false) {
			out = append(out, strings.TrimSpace(n.CTID.String()+" "+n.Way+" "+n.HostName))
			if n.Why == "" {
				t.Errorf("node %d: %s without a reason", n.CTID, n.Way)
			}
		}
		return strings.Join(out, ", ")
	}
	if got := ways(false); got != "100 replace host2, 102 stop" {
		t.Errorf("they would leave like this: %s", got)
	}
	x.setCordon("h-2", &store.Cordon{})
	if got := ways(false); got != "100 stuck, 102 stop" {
		t.Errorf("without another host: %s", got)
	}
	if got := ways(true); got != "100 stop, 102 stop" {
		t.Errorf("without another host, to be stopped: %s", got)
	}
	w.carry()
	x = w.in.index()
	x.Plan(t0)
	x.Looked()
	if got := ways(false); got != "100 replace host2, 102 move host2" {
		t.Errorf("where nodes move: %s", got)
	}
	if got := x.Leaving("h-1", false, true)[1]; got.Way != operator.WayStop || got.Why != "it has a volume, and is not to be moved" {
		t.Errorf("not to be moved: %+v", got)
	}
	x.setCordon("h-2", &store.Cordon{})
	if got := ways(false); got != "100 stuck, 102 stop" {
		t.Errorf("where nodes move, without another host: %s", got)
	}
	if p := x.Plan(t0); !p.Empty() {
		t.Errorf("asking changed something: %+v", p.Steps)
	}
	if got := x.Leaving("h-9", false, false); got != nil {
		t.Errorf("of a host that is not there: %+v", got)
	}
}
