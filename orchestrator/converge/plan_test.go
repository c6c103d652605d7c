package converge

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/converge/moving"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

var update = flag.Bool("update", false, "write testdata anew")

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is a cluster as values: plans are carried out on it and hosts report what they were told.
type world struct {
	said moving.Requests // of the nodes whose requests resolvers hold
	in   Input
	out  strings.Builder
}

func newWorld(hosts int) *world {
	w := &world{in: Input{Now: t0, NextCTID: 100, Works: map[wire.HostID]host.Work{}, Cursors: map[wire.HostID]int{}, Live: live.Snapshot{},
		Clocks:  live.ClocksFor(1),
		License: entitle.License{Hosts: 100, State: license.StateActive},
		Cluster: store.Cluster{ID: "cl-0123456789abcdef", Domain: "demo.test", Range4: netip.MustParsePrefix("10.96.0.0/12"),
			FirstWork: 3},
		Templates: env.Templates{"nginx:1": {Image: host.Image{Name: "nginx:1", Digest: "sha256:n"},
			Process: host.Process{Argv: []string{"nginx"}}, HTTPPort: 80, Profile: host.ProfileApp}}}}
	for i := range hosts {
		h := store.Host{ID: wire.HostID(fmt.Sprintf("h-%d", i)), Name: fmt.Sprintf("host%d", i), Role: host.RoleUser, Number: i,
			Order: int64(i), Block4: netip.MustParsePrefix(fmt.Sprintf("10.96.%d.0/24", i))}
		if i == 0 {
			h.Role, h.Name = host.RoleInfra, "infra"
		}
		w.in.Hosts = append(w.in.Hosts, h)
		w.report(i, operator.HostActive)
	}
	return w
}

func (w *world) status(id wire.HostID) live.Status { return w.in.Live[id] }

// report makes host i say that it runs exactly what it was told.
func (w *world) report(i int, s operator.HostState) {
	id := w.in.Hosts[i].ID
	st := w.in.Live[id]
	if s != operator.HostActive {
		st.State = live.State{State: s, Reason: "no report for 3.5s", Since: w.in.Now}
		st.Loss = live.Loss{Why: "1 of 2 other hosts call it dead"}
		w.in.Live[id] = st
		return
	}
	work := w.in.Works[id]
	r := &host.Report{Boot: "b", MeshKey: fmt.Sprintf("key%d", i), Underlay: netip.MustParseAddr(fmt.Sprintf("10.77.0.%d", 10+i)),
		Work: work.Revision, Seen: work.Revision, Capacity: host.Capacity{MemoryBytes: 1 << 30}}
	for _, c := range work.Containers {
		r.Containers = append(r.Containers, host.ContainerStatus{CTID: c.CTID, Generation: c.Generation, State: host.CtRunning})
	}
	w.in.Live[id] = live.Status{State: live.State{State: s, Since: t0}, Report: r}
}

// lose makes the other hosts agree that host i is gone.
func (w *world) lose(i int) {
	w.report(i, operator.HostUnreachable)
	st := w.in.Live[w.in.Hosts[i].ID]
	st.Loss = live.Loss{Lost: true, Why: "2 of 2 other hosts call it dead"}
	w.in.Live[w.in.Hosts[i].ID] = st
}

func (w *world) env(name wire.EnvName, nodes int, want store.Want) {
	spec := operator.EnvironmentSpec{Version: 1, Name: name,
		Layers: []operator.LayerSpec{{Name: "cp", Template: "nginx", Nodes: nodes, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}}}}
	for i := range w.in.Envs {
		if w.in.Envs[i].Spec.Name == name {
			w.in.Envs[i].Spec, w.in.Envs[i].Want = spec, want
			return
		}
	}
	w.in.Envs = append(w.in.Envs, store.Environment{Spec: spec, Want: want})
}

// turn makes a plan, writes its steps down and carries it out.
func (w *world) turn(title string) Plan {
	x := w.in.index()
	for id := range x.Held() {
		x.Said(id, w.said.There, w.said.Held, w.said.Busy)
	}
	p := x.Plan(w.in.Now)
	fmt.Fprintf(&w.out, "== %s\n", title)
	for _, s := range p.Steps {
		fmt.Fprintf(&w.out, "%s %s %s: %s\n", s.What, s.Env, s.Host, s.Reason)
	}
	for _, op := range p.Operations {
		fmt.Fprintf(&w.out, "operation %s of node %d by node %d\n", op.Kind, op.Old, op.Node)
	}
	for name, why := range p.Stuck {
		fmt.Fprintf(&w.out, "stuck %s: %s\n", name, why)
	}
	for _, a := range p.Alarms {
		fmt.Fprintf(&w.out, "alarm %s\n", a)
	}
	var nodes []store.Node
	for _, n := range w.in.Nodes {
		if u, ok := p.Nodes[n.CTID]; ok {
			n = u
			delete(p.Nodes, n.CTID)
		}
		keep := true
		for _, id := range p.DeleteNodes {
			keep = keep && id != n.CTID
		}
		if keep {
			nodes = append(nodes, n)
		}
	}
	for id := wire.CTID(1); id < max(p.NextCTID, 100); id++ {
		if n, ok := p.Nodes[id]; ok {
			nodes = append(nodes, n)
		}
	}
	w.in.Nodes = nodes
	var envs []store.Environment
	for _, e := range w.in.Envs {
		gone := false
		for _, name := range p.DeleteEnvs {
			gone = gone || name == e.Spec.Name
		}
		if !gone {
			envs = append(envs, e)
		}
	}
	w.in.Envs = envs
	for id, doc := range p.Works {
		w.in.Works[id] = doc
	}
	for id, last := range p.Cursors {
		w.in.Cursors[id] = last
	}
	for _, id := range p.DeleteWorks {
		delete(w.in.Works, id)
		delete(w.in.Cursors, id)
	}
	w.in.Hosts = slices.Clone(w.in.Hosts)
	for i, h := range w.in.Hosts {
		w.in.Hosts[i].More = slices.Concat(h.More, p.More[h.ID])
	}
	w.in.NextBlock = max(w.in.NextBlock, p.NextBlock)
	if p.Peers != nil {
		w.in.Peers = *p.Peers
	}
	if p.Peers != nil || len(p.Names) > 0 {
		w.in.Published = max(w.in.Published, w.in.Peers.Revision-1) + 1
	}
	w.in.Names = maps.Clone(w.in.Names)
	if w.in.Names == nil {
		w.in.Names = map[wire.EnvName]store.Names{}
	}
	for name, rec := range p.Names {
		if delete(w.in.Names, name); rec != nil {
			w.in.Names[name] = *rec
		}
	}
	if p.NextCTID != 0 {
		w.in.NextCTID = p.NextCTID
	}
	return p
}

// settled checks that a carried-out plan leads to an empty one.
func (w *world) settled(t *testing.T) {
	t.Helper()
	if p := Make(w.in); !p.Empty() {
		t.Errorf("after carrying the plan out there is still something to do: %+v", p.Steps)
	}
}

func (w *world) all(hosts ...int) {
	for _, i := range hosts {
		w.report(i, operator.HostActive)
	}
}

func TestPlans(t *testing.T) {
	w := newWorld(3)
	w.in.Nodes = []store.Node{{CTID: 3, Env: env.System, Layer: "cp", Container: host.Container{CTID: 3, Env: env.System,
		Component: "orchestrator", Run: true, IPv4: netip.MustParseAddr("10.96.0.13")}}}
	w.in.Envs = []store.Environment{{Spec: operator.EnvironmentSpec{Name: env.System}, Want: store.WantRunning, System: true}}
	w.turn("the infra host and two user hosts have joined")
	w.settled(t)
	if r := w.in.Works["h-0"].Revision; r != 3 {
		t.Errorf("the infra host is told work %d, it runs 3 since Day 0", r)
	}
	w.all(0, 1, 2)
	w.env("hello", 2, store.WantRunning)
	w.turn("hello is created")
	w.settled(t)
	w.all(1, 2)
	w.env("hello", 2, store.WantStopped)
	w.turn("hello is stopped")
	for _, id := range []wire.HostID{"h-1", "h-2"} {
		if c := w.in.Works[id].Containers; len(c) != 1 || c[0].Run {
			t.Errorf("%s: %+v, want one container that does not run", id, c)
		}
	}
	w.env("hello", 2, store.WantRunning)
	w.turn("hello is started")
	w.all(1, 2)
	w.report(1, operator.HostUnreachable)
	w.in.Now = t0.Add(time.Minute)
	if p := w.turn("host1 is unreachable: that alone replaces nothing"); len(p.Nodes)+len(p.Operations) != 0 {
		t.Errorf("a host that is only unreachable: %+v", p)
	}
	w.lose(1)
	w.turn("host1 is lost")
	w.settled(t)
	w.all(2)
	w.turn("nothing more happens while it is away")
	w.report(1, operator.HostActive)
	r := *w.in.Live["h-1"].Report
	r.Work-- // it has not applied its new work yet
	r.Containers = []host.ContainerStatus{{CTID: 100, State: host.CtRunning}}
	w.in.Live["h-1"] = live.Status{State: live.State{State: operator.HostActive}, Report: &r}
	w.turn("host1 is back and still runs the old node")
	w.all(1)
	w.turn("host1 has removed it")
	w.settled(t)
	w.env("hello", 1, store.WantRunning)
	w.turn("the layer shrinks")
	w.all(1, 2)
	w.turn("the second node is gone")
	w.env("hello", 1, store.WantDeleted)
	w.turn("hello is deleted")
	w.all(1, 2)
	w.turn("all is removed")
	w.settled(t)
	w.env("next", 1, store.WantRunning)
	w.turn("the next one gets fresh numbers and addresses")
	w.env("big", 80, store.WantRunning)
	w.turn("no room for all of it")
	plansFile(t, "plans.txt", w.out.String())
}

// More than 15 % of the hosts, at least three, within a minute: nothing is replaced until some are back.
func TestStormBrake(t *testing.T) {
	w := newWorld(6)
	w.turn("start")
	w.env("hello", 5, store.WantRunning)
	w.turn("create")
	w.all(1, 2, 3, 4, 5)
	for _, i := range []int{1, 2, 3} {
		w.lose(i)
	}
	if p := w.turn("three hosts vanish"); len(p.Operations) != 0 || len(p.Alarms) != 1 || len(p.Nodes) != 0 {
		t.Errorf("under the brake: %+v", p)
	}
	w.report(3, operator.HostActive)
	w.in.Now = t0.Add(time.Minute)
	if p := w.turn("one is back"); len(p.Operations) != 2 || len(p.Alarms) != 0 {
		t.Errorf("with the brake off %d nodes are replaced, want 2: %+v", len(p.Operations), p.Steps)
	}
	w.settled(t)
}

// Each node knows the revision of its host's work that says how it shall be; what happens to others on that host does not raise it.
func TestAssignedOneByOne(t *testing.T) {
	w := newWorld(2)
	w.turn("start")
	assigned := func() map[wire.EnvName]wire.Revision {
		out := map[wire.EnvName]wire.Revision{}
		for _, n := range w.in.Nodes {
			out[n.Env] = n.Assigned
		}
		return out
	}
	w.env("one", 1, store.WantRunning)
	w.turn("create one")
	first := w.in.Works["h-1"].Revision
	w.env("two", 1, store.WantRunning)
	w.turn("create two")
	second := w.in.Works["h-1"].Revision
	if a := assigned(); a["one"] != first || a["two"] != second || first == second {
		t.Errorf("after two creations: %v, want one at %d and two at %d", a, first, second)
	}
	w.all(1)
	w.env("two", 1, store.WantStopped)
	w.turn("stop two")
	if a := assigned(); a["one"] != first || a["two"] != w.in.Works["h-1"].Revision {
		t.Errorf("after one was stopped: %v", a)
	}
	w.env("one", 1, store.WantDeleted)
	w.turn("delete one")
	gone := w.in.Works["h-1"].Revision
	if a := assigned(); a["one"] != gone {
		t.Errorf("after one was left out of work %d: %v", gone, a)
	}
	// The host has planned for it, one is gone; two can't end, so that nothing is fully applied any more. The host's work moves on
	// meanwhile.
	r := *w.in.Live["h-1"].Report
	r.Planned, r.Containers = gone, []host.ContainerStatus{{CTID: 101, State: host.CtStopping}}
	w.in.Live["h-1"] = live.Status{State: live.State{State: operator.HostActive}, Report: &r}
	w.env("three", 1, store.WantRunning)
	w.turn("one is forgotten, three is made")
	w.turn("and its environment")
	if a := assigned(); a["one"] != 0 || len(w.in.Envs) != 2 {
		t.Errorf("one is still there: %v", a)
	}
	w.settled(t)
}

// A deleted environment does not wait for a dead host; what is left there goes when the host is back.
func TestDeleteWithDeadHost(t *testing.T) {
	w := newWorld(3)
	w.turn("start")
	w.env("hello", 2, store.WantRunning)
	w.turn("create")
	w.all(1, 2)
	w.report(1, operator.HostUnreachable)
	w.env("hello", 2, store.WantDeleted)
	w.turn("delete")
	w.all(2)
	if p := w.turn("host2 has removed its node"); len(p.DeleteEnvs) != 1 || len(w.in.Nodes) != 1 {
		t.Errorf("deleted %v, left %v", p.DeleteEnvs, w.in.Nodes)
	}
	w.all(1)
	if w.turn("host1 is back"); len(w.in.Nodes) != 0 {
		t.Errorf("left: %+v", w.in.Nodes)
	}
	w.settled(t)
}

// A restarted orchestrator has no reports yet: peers must not lose what hosts said before.
func TestRestartKeepsPeers(t *testing.T) {
	w := newWorld(3)
	w.turn("start")
	for id, s := range w.in.Live {
		s.Report, s.State = nil, live.State{State: operator.HostJoining, Reason: "started"}
		w.in.Live[id] = s
	}
	if p := Make(w.in); !p.Empty() {
		t.Errorf("a restart changed something: %+v", p.Steps)
	}
}

// Addresses go round the block: one that was freed rests as long as it can.
func TestAddressesRest(t *testing.T) {
	w := newWorld(2)
	w.turn("start")
	seen := map[netip.Addr]bool{}
	for i := range blocks.Addresses {
		w.env("hello", 1, store.WantRunning)
		w.turn("create")
		a := w.in.Nodes[0].Container.IPv4
		if seen[a] {
			t.Fatalf("address %s is used again after %d nodes", a, i)
		}
		seen[a] = true
		w.env("hello", 1, store.WantDeleted)
		w.turn("delete")
		w.all(1)
		w.turn("gone")
	}
}

func plansFile(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		os.MkdirAll("testdata", 0o755)
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./orchestrator/converge -update); got:\n%s", path, got)
	}
}
