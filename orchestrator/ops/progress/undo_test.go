package progress

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Undo makes what was before wanted again, spec and want: whatever the operation changed, and whichever it was.
func TestUndone(t *testing.T) {
	spec := func(nodes int) operator.EnvironmentSpec {
		return operator.EnvironmentSpec{Version: 1, Name: "hello",
			Layers: []operator.LayerSpec{{Name: "cp", Template: "nginx:1", Nodes: nodes}}}
	}
	was, is := spec(1), spec(2)
	before := func(w store.Want) *store.Earlier { return &store.Earlier{Spec: was, Want: w} }
	for _, c := range []struct {
		kind   string
		name   string
		remove bool
		state  operator.OperationState
		before *store.Earlier
		want   store.Want
		nodes  int
		failed bool
	}{
		{"env.create", "failed", false, operator.OpFailed, nil, store.WantRunning, 2, true},
		{"env.create", "failed, to leave nothing", true, operator.OpFailed, nil, store.WantDeleted, 2, false},
		{"env.create", "cancelled", false, operator.OpCancelled, nil, store.WantDeleted, 2, false},
		{"env.start", "failed, was stopped", false, operator.OpFailed, before(store.WantStopped), store.WantStopped, 1, false},
		{"env.start", "failed, ran", false, operator.OpFailed, before(store.WantRunning), store.WantRunning, 1, false},
		{"env.start", "failed, nothing is known of before", false, operator.OpFailed, nil, store.WantRunning, 2, false},
		{"env.start", "cancelled", false, operator.OpCancelled, before(store.WantStopped), store.WantStopped, 1, false},
		{"env.stop", "failed", false, operator.OpFailed, before(store.WantRunning), store.WantStopped, 2, false},
		{"env.stop", "cancelled", false, operator.OpCancelled, before(store.WantRunning), store.WantRunning, 1, false},
		{"env.stop", "cancelled, was stopped", false, operator.OpCancelled, before(store.WantStopped), store.WantStopped, 1, false},
		{"env.spread", "failed", false, operator.OpFailed, before(store.WantRunning), store.WantRunning, 2, false},
		{"env.delete", "failed", false, operator.OpFailed, nil, store.WantDeleted, 2, false},
	} {
		op := store.Operation{Remove: c.remove, Operation: operator.Operation{Kind: c.kind, State: c.state, Updated: t0,
			Problem: operator.NewProblem(operator.Unavailable, "x", "why", "")}}
		e := store.Environment{Spec: is, Want: cmp.Or(kinds[c.kind].want, store.WantRunning), Operation: "op-1"}
		got := Undone(e, op, c.before)
		if got.Want != c.want || got.Spec.Layers[0].Nodes != c.nodes || (got.Failed != nil) != c.failed || got.Operation != "op-1" {
			t.Errorf("%s, %s: %s with %d nodes, failed %v; want %s with %d, %v", c.kind, c.name, got.Want, got.Spec.Layers[0].Nodes,
				got.Failed, c.want, c.nodes, c.failed)
		}
	}
}

// An edit that is undone brings the firewalls of layers back if it changed them; else those that somebody set meanwhile stay, and a node's
// own in any case.
func TestUndoneFirewall(t *testing.T) {
	rule := func(name string) []firewall.PacketRule { return []firewall.PacketRule{{Name: name}} }
	spec := func(layers ...operator.LayerSpec) operator.EnvironmentSpec {
		return operator.EnvironmentSpec{Layers: layers}
	}
	e := store.Environment{}
	e.Declare(spec(operator.LayerSpec{Name: "cp", Firewall: rule("a")}, operator.LayerSpec{Name: "bl"}))
	e.SetRules("cp", 1, rule("own"))
	failed := store.Operation{Operation: operator.Operation{Kind: Edit, State: operator.OpFailed}}
	for _, c := range []struct {
		name string
		want operator.EnvironmentSpec
		back string // the rule of layer cp in the end, where "b" was set by hand after the edit
	}{
		{"others", spec(operator.LayerSpec{Name: "cp", Firewall: rule("c")}, operator.LayerSpec{Name: "bl", Firewall: rule("d")}), "a"},
		{"none", spec(operator.LayerSpec{Name: "cp"}), "a"},
		{"the layer goes", spec(operator.LayerSpec{Name: "bl"}), "a"},
		{"the same", spec(operator.LayerSpec{Name: "cp", Firewall: rule("a"), Nodes: 2}, operator.LayerSpec{Name: "bl"}), "b"},
	} {
		is, before := e, &store.Earlier{Spec: e.Spec}
		before.Walls = is.Declare(c.want)
		for i, l := range c.want.Layers {
			if got := is.Declared().Layers[i].Firewall; !slices.EqualFunc(got, l.Firewall, func(a, b firewall.PacketRule) bool {
				return a.Name == b.Name
			}) || is.Spec.Layers[i].Firewall != nil {
				t.Errorf("%s: layer %s has %v, want %v", c.name, l.Name, got, l.Firewall)
			}
		}
		is.SetRules("cp", 0, rule("b"))
		got := Undone(is, failed, before)
		if r := got.Rules("cp", 0); len(r) != 1 || r[0].Name != c.back || got.Rules("bl", 0) != nil || len(got.Rules("cp", 1)) != 1 {
			t.Errorf("%s: undone to %+v", c.name, got.Walls)
		}
	}
	if len(e.Rules("cp", 0)) != 1 || e.Rules("cp", 0)[0].Name != "a" {
		t.Errorf("the record that was changed a copy of: %+v", e.Walls)
	}
}

// A stop is not given up before its slowest node had the time that its image asks for.
func TestPatience(t *testing.T) {
	node := func(stopAfter int) store.Node {
		n := store.Node{}
		n.Container.Process.StopAfter = stopAfter
		return n
	}
	nodes := []store.Node{node(0), node(90), node(5)}
	for kind, want := range map[string]time.Duration{"env.stop": 90 * time.Second, "env.delete": 90 * time.Second, "env.start": 0,
		"env.create": 0, "env.spread": 0} {
		if got := kinds[kind].Patience(slices.Values(nodes)); got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
	}
}
