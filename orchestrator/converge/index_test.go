package converge

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// Each thing that is told makes dirty what decisions read it for, and nothing else. Environment one has a node on h-1 and one on h-2, two
// has one on h-1, gone has one on h-1 that is gone.
func TestDirty(t *testing.T) {
	base := func() *Index {
		w := newWorld(4)
		w.turn("start")
		w.env("one", 2, store.WantRunning)
		w.env("two", 1, store.WantRunning)
		w.env("gone", 1, store.WantRunning)
		w.in.Envs[0].Operation = "op-1"
		w.turn("create")
		w.all(1, 2, 3)
		w.env("gone", 1, store.WantDeleted)
		w.turn("delete")
		x := w.in.index()
		if p := x.Plan(t0); !p.Empty() {
			t.Fatalf("there is something to do: %+v", p.Steps)
		}
		x.Looked()
		return x
	}
	x := base()
	at := map[wire.EnvName][]wire.HostID{}
	for _, n := range x.nodes {
		at[n.Env] = append(at[n.Env], n.Host)
	}
	first := x.nodes[x.envs["one"].nodes[0]]
	here, two := first.Host, x.nodes[x.envs["two"].nodes[0]]
	on := func(id wire.HostID) (names []string) {
		for _, name := range slices.Sorted(maps.Keys(at)) {
			if slices.Contains(at[name], id) {
				names = append(names, string(name))
			}
		}
		return names
	}
	goneAt := at["gone"][0]
	status := func(id wire.HostID, change func(*live.Status, *host.Report)) func(*Index) {
		return func(x *Index) {
			s := x.hosts[id].status
			r := *s.Report
			change(&s, &r)
			s.Report = &r
			x.setStatus(id, s)
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Index)
		envs   string
		hosts  string
		peers  bool
	}{
		{"an environment", func(x *Index) { e := *x.envs["two"].record; x.setEnv("two", &e, working{}) }, "two", "", false},
		{"what is wanted of one", func(x *Index) {
			e := *x.envs["two"].record
			e.Want = store.WantStopped
			x.setEnv("two", &e, working{})
		},
			"two", string(two.Host), false},
		{"env.spread begins", func(x *Index) { x.setWorking("op-1", working{spreading: true}) }, "one", "", false},
		{"another operation's step", func(x *Index) { x.setWorking("op-1", working{}) }, "", "", false},
		{"an operation nobody holds", func(x *Index) { x.setWorking("op-2", working{spreading: true}) }, "", "", false},
		{"a node", func(x *Index) { n := *two; x.setNode(n.CTID, &n) }, "two", string(two.Host), false},
		{"a node is no more", func(x *Index) { x.setNode(two.CTID, nil) }, "two", string(two.Host), false},
		{"a template it names", func(x *Index) { tm := x.templates["nginx:1"]; x.setTemplate("nginx:1", &tm) }, "gone one two", "", false},
		{"another template", func(x *Index) { x.setTemplate("other:1", &host.Template{}) }, "", "", false},
		{"a host's record", func(x *Index) { h := *x.hosts["h-3"].record; x.setHost("h-3", &h) },
			strings.Join(append([]string{"jelastic"}, on("h-3")...), " "), "h-3", true},
		{"a cordon", func(x *Index) { x.setCordon("h-3", &store.Cordon{}) }, "", "", false},
		{"a work where a node is gone", func(x *Index) { w := *x.hosts[goneAt].work; x.setWork(goneAt, &w) }, "gone",
			string(goneAt), false},
		{"a state", status(here, func(s *live.Status, _ *host.Report) { s.State.State = operator.HostUnreachable }),
			strings.Join(on(here), " "), "", true},
		{"a loss", status(here, func(s *live.Status, _ *host.Report) { s.Loss.Why = "2 of 3" }), strings.Join(on(here), " "), "", false},
		{"what it planned for, where a node is gone", status(goneAt, func(_ *live.Status, r *host.Report) { r.Planned++ }), "gone",
			"", false},
		{"an address", status(goneAt, func(_ *live.Status, r *host.Report) { r.MeshKey = "another" }), "gone", "", true},
	} {
		x := base()
		c.change(x)
		names := func(all []string) string { slices.Sort(all); return strings.Join(all, " ") }
		var envs, hosts []string
		for name := range x.dirty.envs {
			envs = append(envs, string(name))
		}
		for id := range x.dirty.hosts {
			hosts = append(hosts, string(id))
		}
		want := names(strings.Fields(c.envs))
		if names(envs) != want || names(hosts) != c.hosts || x.dirty.peers != c.peers {
			t.Errorf("%s: dirty are the environments %q, hosts %q, peers %v; want %q, %q, %v", c.name, names(envs), names(hosts),
				x.dirty.peers, want, c.hosts, c.peers)
		}
	}
}

// What is no more is forgotten: an index does not grow with all there ever was.
func TestIndexForgets(t *testing.T) {
	w := newWorld(3)
	w.env("one", 2, store.WantRunning)
	w.turn("create")
	x := w.in.index()
	for _, n := range w.in.Nodes {
		x.setNode(n.CTID, nil)
	}
	x.setEnv("one", nil, working{})
	x.setNames("one", nil)
	for _, h := range w.in.Hosts {
		x.setHost(h.ID, nil)
		x.setWork(h.ID, nil)
		x.setStatus(h.ID, live.Status{})
		x.setCordon(h.ID, &store.Cordon{})
		x.setCordon(h.ID, nil)
	}
	x.Plan(t0)
	x.Looked()
	if n := len(x.envs) + len(x.nodes) + len(x.hosts) + len(x.used) + x.ledger.Len() + len(x.holders) + len(x.naming) +
		len(x.kept.watching) + len(x.kept.stuck); n != 0 {
		t.Errorf("%d things are left: %+v", n, x)
	}
}
