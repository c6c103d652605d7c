package converge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// chain makes an environment whose layers bl, cp and sqldb start in the reverse order of its file; a node takes so many cloudlets.
func (w *world) chain(nodes, cloudlets int) {
	w.env("hello", nodes, store.WantRunning)
	e := &w.in.Envs[len(w.in.Envs)-1]
	l := e.Spec.Layers[0]
	l.Cloudlets = wire.Cloudlets{Reserved: cloudlets, Dynamic: cloudlets}
	e.Spec.Layers = nil
	for i, name := range []wire.LayerName{"bl", "cp", "sqldb"} {
		l.Name, l.After = name, nil
		if i < 2 {
			l.After = []wire.LayerName{[]wire.LayerName{"cp", "sqldb"}[i]}
		}
		e.Spec.Layers = append(e.Spec.Layers, l)
	}
}

// hello is its record.
func (w *world) hello() *store.Environment { return &w.in.Envs[len(w.in.Envs)-1] }

// hear has all hosts say that their containers are as told; those of odd are in another state.
func (w *world) hear(odd map[wire.CTID]host.ContainerState) {
	for i := range w.in.Hosts {
		w.report(i, operator.HostActive)
		s := w.in.Live[w.in.Hosts[i].ID]
		for j, c := range w.in.Works[w.in.Hosts[i].ID].Containers {
			if !c.Run {
				s.Report.Containers[j].State = host.CtStopped
			}
			if state, is := odd[c.CTID]; is {
				s.Report.Containers[j].State = state
			}
			s.Report.Containers[j].Boot = c.Boot
		}
	}
}

// told are the layers whose nodes all are told to run.
func (w *world) told() string {
	run, all := map[wire.LayerName]int{}, map[wire.LayerName]int{}
	for _, work := range w.in.Works {
		for _, c := range work.Containers {
			if c.Env == "hello" {
				all[c.Layer]++
				if c.Run {
					run[c.Layer]++
				}
			}
		}
	}
	var out []string
	for l, n := range all {
		switch run[l] {
		case n:
			out = append(out, string(l))
		case 0:
		default:
			out = append(out, fmt.Sprintf("%s(%d/%d)", l, run[l], n))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (w *world) expect(t *testing.T, title, want string) {
	t.Helper()
	w.turn(title)
	if got := w.told(); got != want {
		t.Fatalf("%s: told to run are %q, want %q\n%s", title, got, want, w.out.String())
	}
}

func (w *world) of(layer wire.LayerName) store.Node {
	for _, n := range w.in.Nodes {
		if n.Layer == layer && !n.Gone {
			return n
		}
	}
	return store.Node{}
}

// Layers start one after the other and stop the other way round; what runs goes on when a layer before it is sick.
func TestTurns(t *testing.T) {
	w := newWorld(3)
	w.chain(2, 1)
	w.expect(t, "created", "sqldb")
	w.settled(t)
	db := w.of("sqldb").CTID
	if why := w.of("bl").Waits; why != "it starts once layer cp runs" {
		t.Errorf("the balancer waits: %q", why)
	}
	w.hear(map[wire.CTID]host.ContainerState{db: host.CtStarting})
	w.expect(t, "one of two databases runs", "sqldb")
	w.hear(nil)
	w.expect(t, "both do", "cp sqldb")
	w.hear(nil)
	w.expect(t, "and cp", "bl cp sqldb")
	w.settled(t)
	w.hear(map[wire.CTID]host.ContainerState{db: host.CtFailing})
	w.expect(t, "a database fails", "bl cp sqldb")
	w.settled(t)

	w.hear(nil)
	w.hello().Want = store.WantStopped
	w.in.Stopping = map[wire.EnvName]bool{"hello": true}
	w.expect(t, "stopped", "cp sqldb")
	w.expect(t, "nobody has stopped yet", "cp sqldb")
	w.settled(t)
	w.hear(map[wire.CTID]host.ContainerState{w.of("bl").CTID: host.CtStopping})
	w.expect(t, "a balancer is still at it", "cp sqldb")
	w.hear(nil)
	w.expect(t, "no more", "sqldb")
	w.hear(nil)
	w.expect(t, "cp has stopped", "")
	w.hear(nil)
	w.expect(t, "all have", "")
	w.in.Stopping = nil
	w.expect(t, "the operation has ended", "")
	w.settled(t)

	w.hello().Want = store.WantRunning
	w.expect(t, "started", "sqldb")
	w.hear(nil)
	w.expect(t, "the databases run", "cp sqldb")
	w.hello().Want = store.WantStopped
	w.in.Stopping = map[wire.EnvName]bool{"hello": true}
	w.expect(t, "stopped before all run: the balancers never began", "sqldb")
}

// A stop's order ends with its operation, and nobody waits for a host that does not answer; a layer that is deleted goes at once.
func TestTurnsEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world, *store.Environment)
		want   string
	}{
		{"the operation is at work", func(*world, *store.Environment) {}, "cp sqldb"},
		{"it has ended", func(w *world, _ *store.Environment) { w.in.Stopping = nil }, ""},
		{"it is deleted instead", func(w *world, e *store.Environment) { e.Want, w.in.Stopping = store.WantDeleted, nil }, ""},
		{"its account is suspended instead", func(w *world, e *store.Environment) {
			e.Want, e.Held, w.in.Stopping = store.WantRunning, "suspended", nil
		}, ""},
		{"the balancer's host is silent", func(w *world, _ *store.Environment) {
			for i, h := range w.in.Hosts {
				if h.ID == w.of("bl").Host {
					w.report(i, operator.HostUnreachable)
				}
			}
		}, "sqldb"},
	} {
		w := newWorld(4)
		w.chain(1, 4)
		for range 4 {
			w.turn("start")
			w.hear(nil)
		}
		if got := w.told(); got != "bl cp sqldb" {
			t.Fatalf("%s: told to run are %q", c.name, got)
		}
		on := w.of("bl").Host
		if on == w.of("cp").Host || on == w.of("sqldb").Host {
			t.Fatalf("%s: the balancer has no host of its own", c.name)
		}
		w.hello().Want = store.WantStopped
		w.in.Stopping = map[wire.EnvName]bool{"hello": true}
		c.change(w, w.hello())
		w.expect(t, c.name, c.want)
	}
}

// A restart goes through the layers in the order that they start in, whatever the file's order is.
func TestRestartInTurn(t *testing.T) {
	w := newWorld(3)
	w.chain(1, 1)
	for range 4 {
		w.turn("start")
		w.hear(nil)
	}
	w.hello().Restart = &store.Restart{Operation: "op-1"}
	for _, want := range []string{"sqldb", "cp", "bl"} {
		before := map[wire.LayerName]int64{}
		for _, n := range w.in.Nodes {
			before[n.Layer] = int64(n.Container.Boot)
		}
		w.turn("restart")
		w.quiet()
		var got []string
		for _, n := range w.in.Nodes {
			if int64(n.Container.Boot) != before[n.Layer] {
				got = append(got, string(n.Layer))
			}
		}
		if strings.Join(got, " ") != want {
			t.Fatalf("restarted are %v, want %s\n%s", got, want, w.out.String())
		}
		w.hear(nil)
	}
}

// Who takes the place of a node that runs does not wait for layers that are sick now; who takes that of one that waits does.
func TestTurnsBeside(t *testing.T) {
	for _, waits := range []bool{false, true} {
		w := newWorld(4)
		w.chain(1, 1)
		for range 4 {
			w.turn("start")
			w.hear(nil)
		}
		old := w.of("bl")
		odd := map[wire.CTID]host.ContainerState{w.of("cp").CTID: host.CtFailing}
		if waits {
			w.hello().Want = store.WantStopped
			for range 2 {
				w.turn("stop")
				w.hear(nil)
			}
			w.hello().Want = store.WantRunning
			w.turn("start")
			old = w.of("bl")
			odd = nil
		}
		w.hear(odd)
		if (old.Waits != "") != waits {
			t.Fatalf("the balancer waits: %q, want %v", old.Waits, waits)
		}
		next := old
		next.CTID, next.Replaces, next.Waits, next.Container.CTID = w.in.NextCTID, old.CTID, "", w.in.NextCTID
		next.Container.IPv4 = next.Container.IPv4.Next().Next().Next().Next()
		w.in.NextCTID++
		w.in.Nodes = append(w.in.Nodes, next)
		w.in.Spreading = map[wire.EnvName]bool{"hello": true}
		w.turn("a successor comes")
		run := false
		for _, work := range w.in.Works {
			for _, c := range work.Containers {
				run = run || c.CTID == next.CTID && c.Run
			}
		}
		if run == waits {
			t.Errorf("its successor is told to run: %v\n%s", run, w.out.String())
		}
	}
}

// A node whose host is lost is made anew and runs at once, whatever has become of the layers before it: they had their turn. One that was
// still waiting goes on to wait.
func TestTurnsOfTheLost(t *testing.T) {
	for _, waits := range []bool{false, true} {
		w := newWorld(4)
		w.chain(1, 3)
		for range 4 {
			w.turn("start")
			if waits {
				break
			}
			w.hear(nil)
		}
		w.hear(map[wire.CTID]host.ContainerState{w.of("sqldb").CTID: host.CtFailing})
		lost := w.of("cp")
		for i, h := range w.in.Hosts {
			if h.ID == lost.Host {
				if h.ID == w.of("sqldb").Host {
					t.Fatal("both are on one host")
				}
				w.lose(i)
			}
		}
		w.turn("lost")
		next := w.of("cp")
		if next.CTID == lost.CTID {
			t.Fatalf("nobody takes its place\n%s", w.out.String())
		}
		if w.runs(next.CTID) == waits || (next.Waits != "") != waits {
			t.Errorf("its successor is told to run: %v, and waits: %q; the lost one waited: %v\n%s", w.runs(next.CTID), next.Waits, waits,
				w.out.String())
		}
	}
}

// runs tells whether a host is told to run a node.
func (w *world) runs(id wire.CTID) bool {
	for _, work := range w.in.Works {
		for _, c := range work.Containers {
			if c.CTID == id && c.Run {
				return true
			}
		}
	}
	return false
}

// What runs is not stopped for a note that an orchestrator which knew no order left as it was.
func TestTurnsOldNote(t *testing.T) {
	w := newWorld(3)
	w.chain(1, 1)
	for range 4 {
		w.turn("start")
		w.hear(nil)
	}
	for i := range w.in.Nodes {
		if w.in.Nodes[i].Layer == "cp" {
			w.in.Nodes[i].Waits = "it starts once layer sqldb runs: node 1 does not yet" // as it was said then
		}
	}
	w.hear(map[wire.CTID]host.ContainerState{w.of("sqldb").CTID: host.CtFailing})
	w.expect(t, "upgraded", "bl cp sqldb")
	if why := w.of("cp").Waits; why != "" {
		t.Errorf("it waits: %q", why)
	}
}

// A restart begins with what does not run, also beside a node whose host has not answered what it was told last; one that waits for its
// turn is not started anew, and holds nobody up.
func TestRestartBeginsWithTheSick(t *testing.T) {
	w := newWorld(3)
	w.chain(2, 1)
	w.turn("start")
	w.hear(nil)
	w.turn("start")
	w.hear(nil)
	w.turn("start")
	var dbs []store.Node
	for _, n := range w.in.Nodes {
		if n.Layer == "sqldb" {
			dbs = append(dbs, n)
		}
	}
	w.hear(map[wire.CTID]host.ContainerState{dbs[1].CTID: host.CtFailing})
	for i := range w.in.Nodes {
		if n := &w.in.Nodes[i]; n.CTID == dbs[0].CTID {
			n.Assigned += 100 // its host has not answered
		}
	}
	w.hello().Restart = &store.Restart{Operation: "op-1", RestartEnvironment: operator.RestartEnvironment{Layer: "sqldb"}}
	w.turn("restart")
	var got []wire.CTID
	for _, n := range w.in.Nodes {
		if n.Container.Boot > 0 {
			got = append(got, n.CTID)
		}
	}
	if !slices.Equal(got, []wire.CTID{dbs[1].CTID}) {
		t.Errorf("started anew are %v, want the sick one, %d\n%s", got, dbs[1].CTID, w.out.String())
	}

	w = newWorld(3)
	w.chain(2, 1)
	w.turn("start")
	w.hear(map[wire.CTID]host.ContainerState{w.of("sqldb").CTID: host.CtStarting})
	w.turn("one database does not run yet")
	if w.of("cp").Waits == "" {
		t.Fatal("cp does not wait")
	}
	w.hello().Restart = &store.Restart{Operation: "op-2"}
	w.turn("restart")
	for _, n := range w.in.Nodes {
		if n.Waits != "" && n.Container.Boot > 0 {
			t.Errorf("node %d waits for its turn and is started anew", n.CTID)
		}
	}
	if w.of("sqldb").Container.Boot != 1 {
		t.Errorf("the database is not started anew\n%s", w.out.String())
	}
}

// A node that waits for its turn leaves a host that is drained at once: nobody is to wait for what does not run.
func TestTurnsDrained(t *testing.T) {
	w := newWorld(4)
	w.chain(1, 3)
	w.turn("start")
	w.hear(map[wire.CTID]host.ContainerState{w.of("sqldb").CTID: host.CtFailing})
	old := w.of("cp")
	for i, h := range w.in.Hosts {
		if h.ID == old.Host {
			w.drain(i, &store.Drain{Operation: "op-9"})
		}
	}
	w.turn("drained")
	next := w.of("cp")
	if next.CTID == old.CTID || next.Host == old.Host || next.Waits == "" || w.runs(next.CTID) {
		t.Errorf("in its place: node %d on %s, waits: %q\n%s", next.CTID, next.Host, next.Waits, w.out.String())
	}
	for _, n := range w.in.Nodes {
		if n.CTID == old.CTID && !n.Gone {
			t.Errorf("it is still on the drained host\n%s", w.out.String())
		}
	}
}
