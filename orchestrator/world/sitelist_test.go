package world

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// sited is a store and hosts whose sites are followed.
type sited struct {
	store *store.Memory
	fleet *live.Fleet
	now   time.Time
	seq   int64
	list  SiteList
	heard live.Version

	planned  wire.Revision  // for which reports say that they are an answer
	problems []host.Problem // that reports have
	system   *host.SystemStatus
}

func newSited() *sited {
	s := &sited{store: store.NewMemory(), now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	s.fleet = live.NewFleet(live.ClocksFor(1), s.now, nil)
	s.put(func(tx *store.Tx) { store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test"}) })
	return s
}

func (s *sited) put(f func(tx *store.Tx)) {
	if _, err := s.store.Update(context.Background(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		panic(err)
	}
}

func (s *sited) follow() (changed bool) {
	moves, now, _ := s.fleet.Since(s.heard)
	s.heard = now
	return len(s.list.Follow(s.store.View(), moves)) > 0
}

func (s *sited) long() []host.Site {
	snapshot := s.fleet.Snapshot()
	return World{View: s.store.View(), Live: snapshot, Now: s.now}.For(Admin).Sites()
}

// report makes a host say of each container on it what state finds for it, "" being that it has none.
func (s *sited) report(id wire.HostID, state func(store.Node) (host.ContainerState, int64)) {
	s.seq++
	r := &host.Report{Boot: "b", Seq: s.seq, Planned: s.planned, Containers: []host.ContainerStatus{}, Problems: s.problems,
		System: s.system}
	for n := range store.NodesOn.Of(s.store.View(), string(id)) {
		if is, generation := state(n); is != "" {
			r.Containers = append(r.Containers, host.ContainerStatus{CTID: n.CTID, Generation: generation, State: is, CPUMicros: s.seq})
		}
	}
	if _, err := s.fleet.Report(live.Member{ID: id, Name: string(id), Joined: s.now.Add(-time.Hour)}, r, s.now); err != nil {
		panic(err)
	}
}

func (s *sited) members() (out []live.Member) {
	for _, h := range store.Hosts.All(s.store.View()) {
		out = append(out, live.Member{ID: h.ID, Name: h.Name, Joined: s.now.Add(-time.Hour)})
	}
	return out
}

// happens is what can happen to a cluster of three hosts, each with what it is drawn from.
func (s *sited) happens(t *rapid.T) map[string]func() {
	pick := func(what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, what) }
	env := func() string { return pick("environment", "a", "b", "c") }
	id := func() wire.HostID { return wire.HostID(pick("host", "h-1", "h-2", "h-3")) }
	ctid := func() wire.CTID { return wire.CTID(rapid.IntRange(100, 106).Draw(t, "node")) }
	return map[string]func(){
		"environment": func() {
			name := env()
			layers := []operator.LayerSpec{{Name: "cp", Nodes: rapid.IntRange(1, 3).Draw(t, "nodes")}, {Name: "sql", Nodes: 1}}
			e := store.Environment{Want: store.Want(pick("want", "running", "running", "stopped", "deleted")),
				System: pick("system", "", "", "", "yes") != "", Account: wire.Account(pick("account", "", "acme")),
				Spec: operator.EnvironmentSpec{Name: wire.EnvName(name), Layers: layers}}
			if op := pick("its operation", "", "op-1", "op-2"); op != "" {
				e.Operation = wire.OperationID(op + name)
			}
			s.put(func(tx *store.Tx) { store.Envs.Put(tx, name, e) })
		},
		"node": func() {
			n := store.Node{CTID: ctid(), Env: wire.EnvName(env()), Layer: wire.LayerName(pick("layer", "cp", "cp", "sql")), Host: id(),
				HTTP: rapid.SampledFrom([]uint16{80, 80, 0}).Draw(t, "port"), Gone: pick("gone", "", "", "", "yes") != ""}
			n.Container.Generation, n.Container.IPv4 = 1, netip.MustParseAddr("10.96.1.10")
			n.Container.Account = wire.Account(pick("account", "", "acme"))
			if rapid.Bool().Draw(t, "check") {
				n.Container.Check = &host.Check{Port: 80, Path: "/up"}
			}
			s.put(func(tx *store.Tx) { store.Nodes.Put(tx, n.CTID.String(), n) })
		},
		"report": func() {
			s.report(id(), func(store.Node) (host.ContainerState, int64) {
				generation := rapid.SampledFrom([]int64{1, 1, 0}).Draw(t, "generation")
				return host.ContainerState(pick("state", "running", "running", "failing", "stopped", "")), generation
			})
		},
		"operation": func() {
			op := store.Operation{Operation: operator.Operation{ID: wire.OperationID(pick("operation", "op-1", "op-2") + env()),
				Kind: pick("kind", "env.create", "env.start"), State: operator.OpRunning}}
			if rapid.Bool().Draw(t, "ended") {
				op.State = operator.OpDone
			}
			s.put(func(tx *store.Tx) { store.Operations.Put(tx, string(op.ID), op) })
		},
		"gone": func() {
			name, n := env(), ctid()
			s.put(func(tx *store.Tx) {
				store.Envs.Delete(tx, name)
				store.Nodes.Delete(tx, n.String())
				store.Operations.Delete(tx, "op-1"+name)
			})
		},
		"silence": func() {
			s.now = s.now.Add(time.Duration(rapid.SampledFrom([]int{1, 5, 20, 40}).Draw(t, "seconds")) * time.Second)
			for range 2 { // the first one after so long sees that it stood still itself
				s.fleet.Tick(s.now, s.members())
				s.now = s.now.Add(200 * time.Millisecond)
			}
		},
		"host": func() {
			h := id()
			s.put(func(tx *store.Tx) {
				if _, there := store.Hosts.Read(tx, string(h)); there {
					store.Hosts.Delete(tx, string(h))
				} else {
					store.Hosts.Put(tx, string(h), store.Host{ID: h, Name: string(h)})
				}
			})
			s.fleet.Tick(s.now, s.members())
		},
		"front": func() {
			name := env()
			f := store.Front{Env: wire.EnvName(name), Pass: []byte("pass")}
			if rapid.Bool().Draw(t, "another's") {
				f.Since = s.now
			}
			f.Settings.Maintenance = rapid.Bool().Draw(t, "maintenance")
			f.Settings.Weights = map[string]int{"1": rapid.SampledFrom([]int{0, 10, 100}).Draw(t, "weight")}
			s.put(func(tx *store.Tx) { store.Fronts.Put(tx, name, f) })
		},
		"domain": func() {
			c := store.Cluster{Domain: pick("domain", "demo.test", "other.test")}
			s.put(func(tx *store.Tx) { store.Clusters.Put(tx, store.Only, c) })
		},
	}
}

// Over any history, what is followed is what looking at everything finds, however much happens between two looks; a change that is told is
// one; and the encoded document says the same.
func TestSiteListIsTheLongWay(t *testing.T) {
	told, served := 0, 0
	often := []string{"environment", "node", "node", "node", "report", "report", "report", "report", "operation", "gone", "silence", "host",
		"domain"}
	rapid.Check(t, func(t *rapid.T) {
		s := newSited()
		s.put(func(tx *store.Tx) {
			for _, id := range []wire.HostID{"h-1", "h-2", "h-3"} {
				store.Hosts.Put(tx, string(id), store.Host{ID: id, Name: string(id)})
			}
		})
		happens := s.happens(t)
		before := s.long()
		s.follow()
		for range rapid.SampledFrom([]int{50, 20, 100}).Draw(t, "events") {
			happens[rapid.SampledFrom(often).Draw(t, "what")]()
			if rapid.IntRange(0, 2).Draw(t, "later") == 2 {
				continue
			}
			long, changed := s.long(), s.follow()
			doc, raw := s.list.Routes(7)
			if !reflect.DeepEqual(doc.Sites, long) {
				t.Fatalf("followed: %+v\nwant %+v", doc.Sites, long)
			}
			if changed != !reflect.DeepEqual(before, long) {
				t.Fatalf("said to have changed: %v; it was %+v, is %+v", changed, before, long)
			}
			if want, err := json.Marshal(doc); err != nil || string(want) != string(raw) {
				t.Fatalf("encoded as %s, want %s (%v)", raw, want, err)
			}
			if changed {
				told++
			}
			for _, site := range long {
				served += len(site.Backends)
			}
			before = long
		}
	})
	if t.Logf("%d changes, %d times a node was served", told, served); !t.Failed() && (told < 50 || served < 10) {
		t.Error("the histories show too little")
	}
}

// many is a cluster of hosts with ten environments each, of so many nodes, all of which run.
func many(hosts, nodes int) *sited {
	s := newSited()
	for h := range hosts {
		id := wire.HostID(fmt.Sprintf("h-%05d", h))
		s.put(func(tx *store.Tx) {
			store.Hosts.Put(tx, string(id), store.Host{ID: id, Name: string(id), Order: int64(h), Joined: s.now})
			for i := range 10 {
				name := wire.EnvName(fmt.Sprintf("e%05d-%d", h, i))
				spec := operator.EnvironmentSpec{Name: name, Layers: []operator.LayerSpec{{Name: "cp", Nodes: nodes}}}
				store.Envs.Put(tx, string(name), store.Environment{Want: store.WantRunning, Spec: spec})
				for j := range nodes {
					n := store.Node{CTID: wire.CTID(100 + (10*h+i)*nodes + j), Env: name, Layer: "cp", Host: id, HTTP: 80}
					n.Container.Generation = 1
					n.Container.IPv4 = netip.AddrFrom4([4]byte{10, byte(h >> 8), byte(h), byte(10 + i*nodes + j)})
					store.Nodes.Put(tx, n.CTID.String(), n)
				}
			}
		})
		s.report(id, func(store.Node) (host.ContainerState, int64) { return host.CtRunning, 1 })
	}
	s.follow()
	return s
}

// TestSiteListLooksAtWhatChanged: a change costs its environment, not the cluster.
func TestSiteListLooksAtWhatChanged(t *testing.T) {
	s := many(20, 1)
	for _, c := range []struct {
		name   string
		do     func()
		looked int
	}{
		{"nothing", func() {}, 0},
		{"an environment", func() {
			s.put(func(tx *store.Tx) {
				e, _ := store.Envs.Read(tx, "e00003-4")
				e.Want = store.WantStopped
				store.Envs.Put(tx, "e00003-4", e)
			})
		}, 1},
		{"a node", func() { s.put(func(tx *store.Tx) { store.Nodes.Delete(tx, "105") }) }, 1},
		{"an operation nobody holds", func() { s.put(func(tx *store.Tx) { store.Operations.Put(tx, "op-1", store.Operation{}) }) }, 0},
		{"a host's figures", func() {
			s.report("h-00007", func(store.Node) (host.ContainerState, int64) { return host.CtRunning, 1 })
		}, 0},
		{"one of a host's containers", func() {
			s.report("h-00007", func(n store.Node) (host.ContainerState, int64) {
				return map[bool]host.ContainerState{true: host.CtStopped, false: host.CtRunning}[n.Env == "e00007-3"], 1
			})
		}, 1},
		{"a host's containers", func() {
			s.report("h-00007", func(store.Node) (host.ContainerState, int64) { return host.CtFailing, 1 })
		}, 10},
	} {
		if c.do(); s.follow() != (c.looked > 0) || s.list.looked != c.looked {
			t.Errorf("%s: %d environments were looked at, want %d", c.name, s.list.looked, c.looked)
		}
	}
}

// TestFigures measures what following sites costs, and a page of a list, on one thread; its figures are for make bench-orchestrator.
func TestFigures(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH is not set: figures are measured by make bench-orchestrator")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := many(1000, 1)
	began := time.Now()
	for range 20 {
		s.long()
	}
	fmt.Printf("FIGURE all sites, 10000 environments on 1000 hosts: %.1f ms\n", time.Since(began).Seconds()*1000/20)
	states := []host.ContainerState{host.CtFailing, host.CtRunning}
	began = time.Now()
	for i := range 1000 {
		s.report("h-00500", func(store.Node) (host.ContainerState, int64) { return states[i%2], 1 })
		if !s.follow() {
			t.Fatal("no site changed")
		}
	}
	each := time.Since(began).Seconds() * 1000 / 1000
	fmt.Printf("FIGURE the sites of the ten environments of a host whose containers changed, there: %.3f ms\n", each)
	began = time.Now()
	for range 20 {
		s.list.Routes(1)
	}
	fmt.Printf("FIGURE the document of all sites, there: %.1f ms\n", time.Since(began).Seconds()*1000/20)
	tallyFigures(many(1000, 4))
}
