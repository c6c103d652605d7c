package world

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// ends is all that the ends of operations follow from, by environment: by looking at everything.
func ends(w World) map[wire.EnvName]string {
	out := map[wire.EnvName]string{}
	for _, e := range store.Envs.All(w.View) {
		state, _ := env.State(w.Facts(e))
		out[e.Spec.Name] += fmt.Sprint(e.Want, state, " ")
	}
	for _, n := range store.Nodes.All(w.View) {
		out[n.Env] += fmt.Sprint(n.CTID, w.NodeOf(n).State, w.Answered(n), w.Away(n), n.Gone, " ")
	}
	return out
}

// Over any history, an environment that is not found is as it was, as far as the ends of operations follow from it.
func TestFollowedFindsWhatChanged(t *testing.T) {
	found, same := 0, 0
	often := []string{"environment", "node", "assigned", "assigned", "planned", "planned", "planned", "report", "report", "operation",
		"gone", "silence", "host"}
	rapid.Check(t, func(t *rapid.T) {
		s := newSited()
		happens := s.happens(t)
		happens["assigned"] = func() {
			id := wire.CTID(rapid.IntRange(100, 106).Draw(t, "node"))
			s.put(func(tx *store.Tx) {
				if n, there := store.Nodes.Read(tx, id.String()); there {
					n.Assigned = wire.Revision(rapid.IntRange(1, 9).Draw(t, "assigned"))
					store.Nodes.Put(tx, id.String(), n)
				}
			})
		}
		happens["planned"] = func() {
			id := wire.HostID(rapid.SampledFrom([]string{"h-1", "h-2", "h-3"}).Draw(t, "host"))
			s.planned = wire.Revision(rapid.IntRange(0, 9).Draw(t, "planned"))
			s.report(id, func(n store.Node) (host.ContainerState, int64) { return host.CtRunning, 1 })
		}
		var f Followed
		var heard live.Version
		was := map[wire.EnvName]string{}
		for range rapid.SampledFrom([]int{50, 20, 100}).Draw(t, "events") {
			happens[rapid.SampledFrom(often).Draw(t, "what")]()
			if rapid.IntRange(0, 2).Draw(t, "later") == 2 {
				continue
			}
			moves, now, _ := s.fleet.Since(heard)
			heard = now
			names := f.Follow(s.store.View(), moves)
			is := ends(World{View: s.store.View(), Live: s.fleet.Snapshot(), Now: s.now}.For(Admin))
			if got := ends(f.World()); fmt.Sprint(got) != fmt.Sprint(is) {
				t.Fatalf("followed %v\nlooked at %v", got, is)
			}
			for _, name := range []wire.EnvName{"a", "b", "c"} {
				if names[name] {
					found++
				} else if same++; was[name] != is[name] {
					t.Fatalf("environment %s was %q, is %q, and was not found", name, was[name], is[name])
				}
			}
			was = is
		}
	})
	if !t.Failed() && (found == 0 || same < found/4) {
		t.Errorf("the histories show too little: environments were found %d times, and left out %d times", found, same)
	}
}
