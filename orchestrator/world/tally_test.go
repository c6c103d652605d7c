package world

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/storage"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// tallied follows the counts of a store and its hosts.
type tallied struct {
	*sited
	counts Counts
	heard  live.Version
}

func (s *tallied) follow() {
	moves, heard, _ := s.fleet.Since(s.heard)
	s.heard = heard
	s.counts.Follow(s.store.View(), moves)
}

// seen is what an account sees of it, by the counts or by looking at everything.
func (s *tallied) seen(account wire.Account, counted bool) World {
	snapshot := s.fleet.Snapshot()
	w := World{View: s.store.View(), Live: snapshot, Now: s.now}.For(account)
	if counted {
		w.Counted = s.counts.Of
	}
	return w
}

// Over any history, what is counted of each account is what looking at everything finds, however much happens between two looks.
func TestTallyIsTheLongWay(t *testing.T) {
	states := map[string]int{}
	often := []string{"environment", "environment", "node", "node", "node", "report", "report", "report", "report", "operation", "gone",
		"silence", "host", "domain", "all well"}
	rapid.Check(t, func(t *rapid.T) {
		s := &tallied{sited: newSited()}
		s.put(func(tx *store.Tx) {
			for _, id := range []wire.HostID{"h-1", "h-2", "h-3"} {
				store.Hosts.Put(tx, string(id), store.Host{ID: id, Name: string(id), Role: "user"})
			}
		})
		happens := s.happens(t)
		happens["all well"] = func() { // else hardly ever is a whole environment
			for _, id := range []wire.HostID{"h-1", "h-2", "h-3"} {
				s.report(id, func(store.Node) (host.ContainerState, int64) { return host.CtRunning, 1 })
			}
		}
		for range rapid.SampledFrom([]int{50, 20, 100}).Draw(t, "events") {
			happens[rapid.SampledFrom(often).Draw(t, "what")]()
			if rapid.IntRange(0, 2).Draw(t, "later") == 2 {
				continue
			}
			s.follow()
			for _, account := range []wire.Account{Admin, "acme", "nobody", ""} {
				got, want := s.seen(account, true).Tally(), s.seen(account, false).Tally()
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("account %q: counted %+v\nlooked at %+v", account, got, want)
				}
				for state := range want.Environments {
					states["environment "+state]++
				}
				for state := range want.Nodes {
					states["node "+state]++
				}
			}
		}
	})
	for _, state := range []string{"environment running", "environment down", "environment broken", "environment unknown", "node running",
		"node failing", "node removing", "node unknown", "node waiting"} {
		if !t.Failed() && states[state] == 0 {
			t.Errorf("the histories show too little: no %s", state)
		}
	}
	t.Log(states)
}

// TestTally: what is counted of a cluster is of its environments, nodes, hosts and operations.
func TestTally(t *testing.T) {
	s := &tallied{sited: many(3, 2)}
	s.problems = []host.Problem{{Object: storage.Object, Reason: "degraded: the other disk is gone"}}
	s.report("h-00001", func(n store.Node) (host.ContainerState, int64) {
		if n.CTID == 120 {
			return host.CtBroken, 1
		}
		return host.CtRunning, 1
	})
	s.put(func(tx *store.Tx) { store.Operations.Put(tx, "op-1", store.Operation{}) })
	s.follow()
	for _, counted := range []bool{true, false} {
		got := s.seen(Admin, counted).Cluster()
		if !reflect.DeepEqual(got.Environments, map[string]int{"running": 29, "broken": 1}) ||
			!reflect.DeepEqual(got.Hosts, map[string]int{"ACTIVE": 3}) {
			t.Errorf("the cluster: %v and %v", got.Environments, got.Hosts)
		}
		tally := s.seen(Admin, counted).Tally()
		if !reflect.DeepEqual(tally.Nodes, map[string]int{"running": 59, "broken": 1}) || len(tally.Operations) != 1 ||
			tally.Unwell != 1 {
			t.Errorf("nodes and operations: %+v", tally)
		}
	}
}

// TestCountsLookAtWhatChanged: a change costs its environment, not the cluster.
func TestCountsLookAtWhatChanged(t *testing.T) {
	s := &tallied{sited: many(20, 2)}
	s.follow()
	if s.counts.looked != 200 {
		t.Errorf("at first %d environments were looked at, want 200", s.counts.looked)
	}
	s.follow()
	if s.counts.looked != 0 {
		t.Errorf("nothing: %d environments were looked at", s.counts.looked)
	}
	s.put(func(tx *store.Tx) { store.Nodes.Delete(tx, "105") })
	s.follow()
	if s.counts.looked != 1 {
		t.Errorf("a node: %d environments were looked at, want 1", s.counts.looked)
	}
	s.report("h-00007", func(store.Node) (host.ContainerState, int64) { return host.CtFailing, 1 })
	s.follow()
	if s.counts.looked != 10 {
		t.Errorf("a host's containers: %d environments were looked at, want 10", s.counts.looked)
	}
}

// tallyFigures measures what counting costs.
func tallyFigures(in *sited) {
	s := &tallied{sited: in}
	const looks = 20
	began := time.Now()
	for range looks {
		s.seen(Admin, false).Cluster()
	}
	fmt.Printf("FIGURE counting by looking at everything, 10000 environments of 40000 nodes on 1000 hosts: %.1f ms\n", each(began, looks))
	s.follow()
	states := []host.ContainerState{host.CtFailing, host.CtRunning}
	began = time.Now()
	for i := range looks {
		s.report("h-00500", func(store.Node) (host.ContainerState, int64) { return states[i%2], 1 })
		s.follow()
		s.seen(Admin, true).Cluster()
	}
	fmt.Printf("FIGURE counting after the containers of a host changed, there: %.2f ms\n", each(began, looks))
	began = time.Now()
	for range looks {
		if _, _, err := s.seen(Admin, true).Environments().Page("", 100); err != nil {
			panic(err)
		}
	}
	fmt.Printf("FIGURE a page of 100 environments, there: %.1f ms\n", each(began, looks))
}

func each(began time.Time, n int) float64 { return time.Since(began).Seconds() * 1000 / float64(n) }
