package lead

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge"
	"hardnode.dev/orchestrator/converge/published"
	"hardnode.dev/orchestrator/store"
)

// events draws a history.
func events(t *rapid.T, least, most int) []event {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) event {
		return event{rapid.SampledFrom(kinds).Draw(t, "what"), rapid.IntRange(0, 59).Draw(t, "a"), rapid.IntRange(0, 59).Draw(t, "b"),
			rapid.IntRange(0, 59).Draw(t, "c")}
	}), least, most).Draw(t, "history")
}

// differ says where two plans are not the same; "" if they are.
func differ(a, b converge.Plan) string {
	for _, p := range []*converge.Plan{&a, &b} { // an empty list is no list
		for f := range reflect.TypeFor[converge.Plan]().NumField() {
			if v := reflect.ValueOf(p).Elem().Field(f); (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0 {
				v.SetZero()
			}
		}
	}
	for f := range reflect.TypeFor[converge.Plan]().NumField() {
		x, y := reflect.ValueOf(a).Field(f).Interface(), reflect.ValueOf(b).Field(f).Interface()
		if !reflect.DeepEqual(x, y) {
			return fmt.Sprintf("%s:\n%+v\n-- and\n%+v", reflect.TypeFor[converge.Plan]().Field(f).Name, x, y)
		}
	}
	return ""
}

// Over any history, in each round: what is planned from what changed is what is planned from everything, and each state is valid.
func TestPlanIsTheLongWay(t *testing.T) {
	placed, replaced, moved, stuck, uneven, forgotten, quiet := 0, 0, 0, 0, 0, 0, 0
	check := func(t *rapid.T) {
		c := newCluster()
		for i, e := range events(t, 10, 60) {
			c.happen(e)
			for round := range 3 {
				long := c.long()
				c.loop.catchUp()
				short := c.loop.mu.index.Plan(c.now)
				if d := differ(short, long); d != "" {
					t.Fatalf("event %d %v, round %d: the plan of what changed and the plan of everything differ in %s", i, e, round, d)
				}
				if err := c.loop.Once(t.Context()); err != nil {
					t.Fatalf("event %d %v, round %d: %v", i, e, round, err)
				}
				if err := valid(c.memory.View()); err != nil {
					t.Fatalf("event %d %v, round %d: %v", i, e, round, err)
				}
				placed, replaced, stuck, uneven, forgotten = placed+len(long.At), replaced+len(long.Operations), stuck+len(long.Stuck),
					uneven+len(long.Uneven), forgotten+len(long.DeleteNodes)
				for _, n := range long.Nodes {
					if n.Replaces != 0 {
						moved++
					}
				}
				if long.Empty() {
					quiet++
				}
				if round == 1 {
					c.pass(time.Second)
				}
			}
		}
	}
	times := 1 // 100 histories each
	if os.Getenv("HARDNODE_SOAK") != "" {
		times = 10
	}
	for range times {
		rapid.Check(t, check)
	}
	t.Logf("%d nodes placed, %d replaced, %d moving, %d times stuck, %d uneven, %d forgotten, %d rounds with nothing to do", placed,
		replaced, moved, stuck, uneven, forgotten, quiet)
	if !t.Failed() && min(placed, replaced, moved, stuck, uneven, forgotten, quiet) == 0 {
		t.Error("a part of what plans do never happened: the histories don't show it")
	}
}

// A plan that is made of what changed, round by round, leads to the records that plans of everything lead to.
func TestStoresEndAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := events(t, 5, 60)
		end := func(anew bool) map[string]string {
			c := newCluster()
			for _, e := range history {
				c.happen(e)
				for range 2 {
					if anew {
						c.restart()
					}
					if err := c.loop.Once(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			return c.memory.View().Dump()
		}
		same(t, end(false), end(true))
	})
}

func same(t *rapid.T, got, want map[string]string) {
	keys := slices.Sorted(maps.Keys(want))
	for k := range got {
		if _, there := want[k]; !there {
			keys = append(keys, k)
		}
	}
	for _, k := range keys {
		if got[k] != want[k] {
			t.Fatalf("record %s:\n%s\nwant\n%s", k, got[k], want[k])
		}
	}
}

var errKilled = errors.New("the orchestrator was killed")

// The loop may be killed before any of a plan's transactions: each leaves a valid state, and who goes on comes to the same end, but for a
// few: who goes on after the first of two deletions sees room there alone that the uncut plan saw in both places, and a node's reason says
// what was seen.
func TestKilledBetweenTransactions(t *testing.T) {
	cuts, histories, others := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		history := events(t, 5, 25)
		kill := rapid.IntRange(0, 200).Draw(t, "transactions before the kill")
		every := rapid.IntRange(1, 12).Draw(t, "transactions from one kill to the next")
		end := func(killed bool) map[string]string {
			c := newCluster()
			c.limit = limits{1, 1 << 20}
			c.restart()
			left := kill
			for i, e := range history {
				c.happen(e)
				c.door = func() error {
					if err := valid(c.memory.View()); err != nil {
						t.Fatalf("event %d %v, between two transactions: %v", i, e, err)
					}
					if left--; killed && left < 0 {
						left = every
						cuts++
						return errKilled
					}
					return nil
				}
				for round := range 2 {
					err := c.loop.Once(t.Context())
					for tries := 0; errors.Is(err, errKilled); err = c.loop.Once(t.Context()) {
						if tries++; tries > 2000 {
							t.Fatalf("event %d %v, round %d: after %d kills the plan is not carried out", i, e, round, tries)
						}
						c.restart()
					}
					if err != nil {
						t.Fatalf("event %d %v, round %d: %v", i, e, round, err)
					}
				}
				c.door = nil
			}
			if err := valid(c.memory.View()); err != nil {
				t.Fatalf("at the end: %v", err)
			}
			out := c.memory.View().Dump()
			// How often the revision of what is published was raised depends on the transactions there were.
			delete(out, "number/"+store.Published)
			out["peers/only"], _, _ = strings.Cut(out["peers/only"], `"revision"`)
			return out
		}
		if histories++; !maps.Equal(end(true), end(false)) {
			others++
		}
	})
	t.Logf("%d plans were cut; of %d histories %d ended otherwise than uncut", cuts, histories, others)
	if !t.Failed() && (cuts < 50 || 10*others > histories) {
		t.Errorf("%d plans were cut; of %d histories %d ended otherwise than uncut", cuts, histories, others)
	}
}

// A plan that does not fit into one transaction is carried out in several; a change of what it acts on between two of them makes another
// plan.
func TestManyTransactions(t *testing.T) {
	c := newCluster()
	c.pass(2e9)
	must(t, c.loop.Once(t.Context()))
	c.pass(2e9)
	c.limit = limits{records: 8, bytes: 1 << 20}
	c.restart()
	must(t, c.loop.Once(t.Context()))
	for i := range 3 {
		c.happen(event{"create", i, 0, 3})
	}
	transactions := 0
	c.door = func() error {
		if transactions++; transactions == 2 {
			c.update(func(tx *store.Tx) {
				e, _ := store.Envs.Read(tx, "e2")
				e.Want = store.WantDeleted
				store.Envs.Put(tx, "e2", e)
			})
		}
		return nil
	}
	must(t, c.loop.Once(t.Context()))
	if transactions < 3 {
		t.Fatalf("%d transactions: the plan was to be of several", transactions)
	}
	for n := range store.Nodes.Rows(c.memory.View()) {
		if n.Env == "e2" && !n.Gone {
			t.Errorf("node %d of the environment that was deleted between two transactions is wanted", n.CTID)
		}
	}
	must(t, valid(c.memory.View()))
	must(t, c.loop.Once(t.Context()))
	if d := c.long(); !d.Empty() {
		t.Errorf("there is still something to do: %+v", d.Steps)
	}
}

// What a container that is started again and again says makes nothing dirty: a round has nothing to look at.
func TestCrashLoopsAreQuiet(t *testing.T) {
	c := newCluster()
	c.happen(event{"create", 0, 1, 3})
	for range 3 {
		c.pass(2e9)
		must(t, c.loop.Once(t.Context()))
	}
	for _, a := range c.agents {
		for n := range store.Nodes.Rows(c.memory.View()) {
			a.states[n.CTID] = "failing"
		}
	}
	c.pass(2e9)
	must(t, c.loop.Once(t.Context()))
	heard := c.loop.mu.heard
	c.pass(60e9)
	c.loop.catchUp()
	if c.loop.mu.heard != heard {
		t.Errorf("a minute of crash loops: the fleet's version went from %d to %d", heard, c.loop.mu.heard)
	}
	if n := c.loop.mu.index.Dirty(); n != 0 {
		t.Errorf("%d environments and hosts are dirty", n)
	}
}

// The dry run says what a plan would do, and changes nothing.
func TestDryRun(t *testing.T) {
	c := newCluster()
	c.pass(2e9)
	must(t, c.loop.Once(t.Context()))
	c.happen(event{"create", 0, 0, 3})
	must(t, c.loop.Once(t.Context()))
	spec := operator.EnvironmentSpec{Version: 1, Name: "dry",
		Layers: []operator.LayerSpec{{Name: "cp", Template: "t0", Nodes: 3, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}}}}
	before := c.memory.View().Dump()
	nodes, problem := c.loop.DryRun("admin", spec)
	if problem != nil || len(nodes) != 3 {
		t.Fatalf("%d nodes, %v", len(nodes), problem)
	}
	if !maps.Equal(before, c.memory.View().Dump()) || !c.long().Empty() {
		t.Error("a dry run changed something")
	}
	c.update(func(tx *store.Tx) {
		store.Envs.Put(tx, "dry", store.Environment{Account: wire.AdminAccount, Spec: spec, Want: store.WantRunning, Created: c.now})
	})
	must(t, c.loop.Once(t.Context()))
	i := 0
	for n := range store.NodesOf.Of(c.memory.View(), "dry") {
		if n.Host != nodes[i].Host || n.Placed != nodes[i].Placed {
			t.Errorf("node %d is on %s (%s), the dry run said %s (%s)", n.CTID, n.Host, n.Placed, nodes[i].Host, nodes[i].Placed)
		}
		i++
	}
	if _, problem := c.loop.DryRun("admin", spec); problem == nil || problem.Code != operator.Conflict {
		t.Errorf("a name that is taken: %v", problem)
	}
	spec.Name, spec.Layers[0].Cloudlets.Dynamic = "big", 1000
	if _, problem := c.loop.DryRun("admin", spec); problem == nil || problem.Code != operator.Exhausted ||
		!strings.Contains(problem.Reason, "1000 dynamic cloudlets") {
		t.Errorf("a node that fits nowhere: %v", problem)
	}
}

// A store of an earlier orchestrator has all names in the document of Peers. They move out of it, and hosts are told of all at every
// moment.
func TestNamesMoveOut(t *testing.T) {
	c := newCluster()
	for i := range 3 {
		c.happen(event{"create", i, 1, 3})
	}
	for range 3 {
		c.pass(2 * time.Second)
		must(t, c.loop.Once(t.Context()))
	}
	told := func() (names string, rev wire.Revision) {
		doc, _ := published.Compose(c.memory.View())
		var all []string
		for _, n := range doc.Names {
			all = append(all, fmt.Sprint(n.Name, n.Addrs))
		}
		for _, g := range doc.Groups {
			for _, a := range g.Addrs {
				all = append(all, fmt.Sprint(g.Name, a))
			}
		}
		slices.Sort(all)
		return strings.Join(all, "\n"), doc.Revision
	}
	doc, _ := published.Compose(c.memory.View())
	if len(doc.Names) < 12 || len(doc.Groups) != 2 {
		t.Fatalf("%d names, %d groups", len(doc.Names), len(doc.Groups))
	}
	c.update(func(tx *store.Tx) {
		store.PeersDoc.Put(tx, store.Only, doc)
		store.Numbers.Delete(tx, store.Published)
		for name := range store.EnvNames.Refs(tx.View()) {
			store.EnvNames.Delete(tx, name)
		}
	})
	want, rev := told()
	c.limit = limits{1, 1}
	c.restart()
	transactions := 0
	c.door = func() error {
		transactions++
		if got, _ := told(); got != want {
			t.Errorf("before transaction %d hosts are told\n%s\nwant\n%s", transactions, got, want)
		}
		return nil
	}
	must(t, c.loop.Once(t.Context()))
	got, now := told()
	if got != want || now <= rev || transactions < 5 {
		t.Errorf("after %d transactions, revision %d, before %d:\n%s\nwant\n%s", transactions, now, rev, got, want)
	}
	if rec, _ := store.PeersDoc.Get(c.memory.View(), store.Only); len(rec.Names) != 0 || store.EnvNames.Len(c.memory.View()) != 4 {
		t.Errorf("%d names are left in Peers, %d environments have theirs", len(rec.Names), store.EnvNames.Len(c.memory.View()))
	}
	if p := c.long(); !p.Empty() {
		t.Errorf("there is still something to do: %+v", p.Steps)
	}
}

// The leader's tasks end with it: when leadership does, and when one of them can't go on.
func TestLead(t *testing.T) {
	broken := errors.New("broken")
	for _, fails := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var running atomic.Int32
		task := func(ctx context.Context) error {
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			return nil
		}
		last := func(ctx context.Context) error {
			if fails {
				return broken
			}
			cancel()
			return nil
		}
		err := Lead(ctx, nil, run.Task{Name: "a", Run: task}, run.Task{Name: "b", Run: task}, run.Task{Name: "c", Run: last})
		if cancel(); errors.Is(err, broken) != fails || running.Load() != 0 {
			t.Errorf("one fails: %v: %v, and %d tasks go on", fails, err, running.Load())
		}
	}
}

// Whoever waits for the loop is not held by it: it ends with its context.
func TestRunEnds(t *testing.T) {
	c := newCluster()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.loop.Run(ctx) }()
	cancel()
	must(t, <-done)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
