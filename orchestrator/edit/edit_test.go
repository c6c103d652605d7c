package edit

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
)

var templates = env.Templates{
	"web:1": {Image: host.Image{Name: "web:1", Digest: "sha256:1"}, HTTPPort: 80,
		Process: host.Process{Argv: []string{"/web"}, Env: map[string]string{"PATH": "/bin", "A": "image"}}},
	"web:2": {Image: host.Image{Name: "web:2", Digest: "sha256:2"}, HTTPPort: 80,
		Process: host.Process{Argv: []string{"/web"}, Env: map[string]string{"PATH": "/bin"}}},
	"sql:1": {Image: host.Image{Name: "sql:1", Digest: "sha256:3"}, Volumes: []host.TemplateVolume{{Path: "/data"}},
		Process: host.Process{Argv: []string{"/sql"}}},
}

// Every field of a spec, and of a layer, is planned or refused: a new one can't be forgotten.
func TestEveryField(t *testing.T) {
	planned := []string{"Name", "Nodes", "Firewall", "Place"}
	for _, f := range fields {
		planned = append(planned, f.name)
		sf, there := reflect.TypeFor[operator.LayerSpec]().FieldByName(f.name)
		if name, _, _ := strings.Cut(sf.Tag.Get("json"), ","); !there || name != f.json {
			t.Errorf("field %s: a layer has it as %q, want %q", f.name, name, f.json)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[operator.LayerSpec]()) {
		if !slices.Contains(planned, f.Name) {
			t.Errorf("a layer's %s: say in fields what another value does to a node that is there", f.Name)
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[operator.EnvironmentSpec]()) {
		if !slices.Contains([]string{"Version", "Name", "Layers"}, f.Name) {
			t.Errorf("a spec's %s: Plan says nothing of it", f.Name)
		}
	}
}

// layer draws one of a few.
func layer(t *rapid.T, name wire.LayerName) operator.LayerSpec {
	l := operator.LayerSpec{Name: name, Template: rapid.SampledFrom([]wire.TemplateName{"web:1", "web:2", "sql:1"}).Draw(t, "template"),
		Nodes: rapid.IntRange(1, 3).Draw(t, "nodes"), Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: rapid.IntRange(1, 3).Draw(t, "c")},
		DiskMiB: rapid.SampledFrom([]int64{0, 64, 128}).Draw(t, "disk"), HTTP: rapid.SampledFrom([]uint16{0, 8080}).Draw(t, "http"),
		Profile: rapid.SampledFrom([]string{"", "app", "system"}).Draw(t, "profile"), Env: map[string]string{}}
	for _, k := range []string{"A", "B"} {
		if v := rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, k); v != "" {
			l.Env[k] = v
		}
	}
	if rapid.Bool().Draw(t, "check") {
		l.Check = &operator.CheckSpec{Type: "tcp", Port: rapid.SampledFrom([]uint16{80, 81}).Draw(t, "port")}
	}
	for _, name := range []string{"web", "rest"} {
		if rapid.Bool().Draw(t, name) {
			l.Firewall = append(l.Firewall, firewall.PacketRule{Name: name, Direction: firewall.In, Action: firewall.Allow,
				Priority: rapid.IntRange(1, 2).Draw(t, "priority")})
		}
	}
	l.Place = rapid.SampledFrom([]*operator.PlaceSpec{nil, {Zones: []string{"a", "b"}}, {Labels: map[string]string{"disk": "ssd"}}}).
		Draw(t, "place")
	for _, p := range []string{"/data", "/srv"} {
		if rapid.Bool().Draw(t, p) {
			l.Volumes = append(l.Volumes, operator.VolumeSpec{Path: p, DiskMiB: rapid.SampledFrom([]int64{0, 32}).Draw(t, "size")})
		}
	}
	return l
}

func spec(t *rapid.T) operator.EnvironmentSpec {
	s := operator.EnvironmentSpec{Version: 1, Name: "hello"}
	for _, name := range []wire.LayerName{"cp", "bl", "sqldb"} {
		if name == "cp" || rapid.Bool().Draw(t, string(name)) {
			s.Layers = append(s.Layers, layer(t, name))
		}
	}
	if len(s.Layers) > 1 && rapid.Bool().Draw(t, "linked") {
		s.Layers[1].Links = []wire.LayerName{"cp"}
	}
	return env.Link("ann", s, templates)
}

// made are the nodes of a spec.
func made(t *rapid.T, s operator.EnvironmentSpec) (out []Placed) {
	nodes, p := env.Expand("ann", s, templates)
	if p != nil {
		t.Fatal(p)
	}
	for i, n := range nodes {
		of := s.Layers[slices.IndexFunc(s.Layers, func(l operator.LayerSpec) bool { return l.Name == n.Layer })]
		out = append(out, Placed{CTID: wire.CTID(100 + i), Of: of, Node: n})
	}
	return out
}

// A plan that is carried out leads to nodes that a fresh environment of that spec would have, and to an empty plan; each node is kept,
// added or removed, once; nothing with data goes unless that is said; a node never has a lower generation or start.
func TestPlan(t *testing.T) {
	restarts, redeploys, refusals := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		have, want := spec(t), spec(t)
		in := Input{Account: "ann", Have: have, Want: want, Nodes: made(t, have), Templates: templates}
		_, _, _, p := Plan(in)
		data := false
		for _, n := range in.Nodes {
			i := slices.IndexFunc(want.Layers, func(l operator.LayerSpec) bool { return l.Name == n.Layer })
			if i < 0 || n.Index >= want.Layers[i].Nodes {
				data = data || len(n.Container.Volumes) > 0
				continue
			}
			is := env.NodeOf("ann", "hello", want.Layers[i], n.Index, templates[want.Layers[i].Template])
			data = data || len(gone(n.Container.Volumes, is.Container.Volumes)) > 0
		}
		if data != (p != nil) {
			t.Fatalf("data goes: %v, and it is refused: %v", data, p)
		}
		if p != nil {
			refusals++
		}
		in.RemoveData = true
		plan, kept, added, p := Plan(in)
		if p != nil {
			t.Fatal(p)
		}
		removed := 0
		for _, s := range plan.Steps {
			if s.Kind == operator.EditRemove {
				removed++
			}
			if len(s.Fields) == 0 || !strings.HasPrefix(s.Fields[0], "/layers") || s.Detail == "" {
				t.Fatalf("a step says no field, or nothing: %+v", s)
			}
		}
		if len(kept)+removed != len(in.Nodes) {
			t.Fatalf("%d kept and %d removed of %d", len(kept), removed, len(in.Nodes))
		}
		var after []Placed
		for _, k := range kept {
			i := slices.IndexFunc(want.Layers, func(l operator.LayerSpec) bool { return l.Name == k.Is.Layer })
			l := want.Layers[i]
			fresh := env.NodeOf("ann", "hello", l, k.Is.Index, templates[l.Template])
			a, b := k.Is.Container, fresh.Container
			if a.Generation < k.Was.Container.Generation || a.Boot < k.Was.Container.Boot {
				t.Fatalf("generation %d start %d after %d, %d", a.Generation, a.Boot, k.Was.Container.Generation, k.Was.Container.Boot)
			}
			switch {
			case a.Generation > k.Was.Container.Generation:
				redeploys++
			case a.Boot > k.Was.Container.Boot:
				restarts++
			case !reflect.DeepEqual(a.Process, k.Was.Container.Process) || a.Image.Digest != k.Was.Container.Image.Digest:
				t.Fatalf("it runs something else without a start: %+v", a)
			}
			lost := gone(k.Was.Container.Volumes, a.Volumes)
			if d := Dropped(k.Was.Container, a); !slices.Equal(d, slices.Sorted(slices.Values(lost))) {
				t.Fatalf("dropped are %v, and the node has %v no more", d, lost)
			}
			a.Generation, a.Boot = b.Generation, b.Boot
			if written(a) != written(b) || k.Is.HTTP != fresh.HTTP || k.Is.Cloudlets != fresh.Cloudlets {
				t.Fatalf("edited:\n%+v\nfresh:\n%+v", a, b)
			}
			after = append(after, Placed{CTID: k.CTID, Of: l, Node: k.Is})
		}
		for i, n := range added {
			at := slices.IndexFunc(want.Layers, func(l operator.LayerSpec) bool { return l.Name == n.Layer })
			after = append(after, Placed{CTID: wire.CTID(500 + i), Of: want.Layers[at], Node: n})
		}
		again, _, _, p := Plan(Input{Account: "ann", Have: want, Want: want, Nodes: after, Templates: templates})
		if p != nil || len(again.Steps) != 0 || again.Nodes != 0 {
			t.Fatalf("the plan of a plan that was carried out: %+v, %v", again, p)
		}
		for _, k := range kept { // and back
			if back := Back(k.Is.Container, k.Was.Container); Restarts(k.Was.Container, k.Is.Container) && !Restarts(back, k.Is.Container) {
				t.Fatalf("undone without a start: %+v", back)
			}
		}
	})
	if restarts == 0 || redeploys == 0 || refusals == 0 {
		t.Errorf("%d restarts, %d new generations, %d refusals: it showed nothing", restarts, redeploys, refusals)
	}
}

// written is a container as it is kept, its volumes by name.
func written(c host.Container) string {
	c.Volumes = slices.SortedFunc(slices.Values(c.Volumes), func(a, b host.Volume) int { return strings.Compare(a.Name, b.Name) })
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// What was changed by hand stays, unless the spec's own value changes.
func TestByHand(t *testing.T) {
	was := operator.LayerSpec{Name: "cp", Template: "sql:1", Nodes: 1, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}}
	n := env.NodeOf("ann", "hello", was, 0, templates["sql:1"])
	n.Container.Limits.PIDs, n.Container.Limits.MemoryMax, n.Container.Volumes[0].Bytes = 7, 1<<30, 5<<30
	want := was
	want.Env = map[string]string{"A": "1"}
	is, _, p := Revise(Placed{Of: was, Node: n}, want, templates)
	if p != nil || is.Container.Limits != n.Container.Limits || is.Container.Volumes[0].Bytes != 5<<30 || is.Container.Boot != 1 {
		t.Errorf("another variable: %+v, %v", is.Container, p)
	}
	want.Cloudlets.Dynamic = 8
	is, _, p = Revise(Placed{Of: was, Node: n}, want, templates)
	if p != nil || is.Container.Limits.PIDs != 7 || is.Container.Limits.MemoryMax != 8*wire.CloudletBytes {
		t.Errorf("other cloudlets: %+v, %v", is.Container.Limits, p)
	}
}

// Who is linked with a layer is told where its nodes serve, not what their template's name stands for by now: that only once they are made
// anew of it. What is added beside them and serves elsewhere is said.
func TestServes(t *testing.T) {
	layer := func(name wire.LayerName, template wire.TemplateName, links ...wire.LayerName) operator.LayerSpec {
		return operator.LayerSpec{Name: name, Template: template, Nodes: 1, Cloudlets: wire.Cloudlets{Dynamic: 1}, Links: links}
	}
	have := operator.EnvironmentSpec{Version: 1, Name: "hello"}
	have.Layers = []operator.LayerSpec{layer("bl", "web:2", "cp"), layer("cp", "app")}
	then := env.Templates{"web:2": templates["web:2"], "app:1": {Image: host.Image{Name: "app:1"}, HTTPPort: 8080}}
	have = env.Link("ann", have, then)
	nodes, p := env.Expand("ann", have, then)
	if p != nil {
		t.Fatal(p)
	}
	now := env.Templates{"app:2": {Image: host.Image{Name: "app:2"}, HTTPPort: 9090, Imported: time.Unix(1, 0)}}
	maps.Copy(now, then)
	in := Input{Account: "ann", Have: have, Templates: now}
	for i, n := range nodes {
		in.Nodes = append(in.Nodes, Placed{CTID: wire.CTID(100 + i), Of: have.Layers[i], Node: n})
	}
	for _, c := range []struct {
		name   string
		change func(bl, cp *operator.LayerSpec)
		want   string // the steps
	}{
		{"nothing", func(_, _ *operator.LayerSpec) {}, ""},
		{"the other layer's size", func(bl, _ *operator.LayerSpec) { bl.Cloudlets.Dynamic++ }, "bl 1 resize"},
		{"made anew", func(_, cp *operator.LayerSpec) { cp.Template = "app:2" }, "bl 1 restart CP_PORT; cp 1 redeploy"},
		{"its port is said", func(_, cp *operator.LayerSpec) { cp.HTTP = 81 }, "bl 1 restart CP_PORT; cp 1 change"},
		{"one more", func(_, cp *operator.LayerSpec) { cp.Nodes++ }, "cp 2 add 9090 and 8080"},
	} {
		in.Want = have
		in.Want.Layers = slices.Clone(have.Layers)
		c.change(&in.Want.Layers[0], &in.Want.Layers[1])
		plan, _, _, p := Plan(in)
		if p != nil {
			t.Fatalf("%s: %v", c.name, p)
		}
		var got []string
		for _, s := range plan.Steps {
			text := fmt.Sprintf("%s %d %s", s.Layer, s.Node, s.Kind)
			if strings.Contains(s.Detail, "CP_PORT") {
				text += " CP_PORT"
			}
			if strings.Contains(s.Detail, "on port 9090 and the layer's other nodes on 8080") {
				text += " 9090 and 8080"
			}
			got = append(got, text)
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %s, want %s", c.name, text, c.want)
		}
	}
}

// What becomes of a layer's firewall is one step of the layer, without an outage; the order in which rules are written is none.
func TestFirewall(t *testing.T) {
	rule := func(name string, priority int) firewall.PacketRule {
		return firewall.PacketRule{Name: name, Direction: firewall.In, Action: firewall.Deny, Priority: priority}
	}
	web, rest, db := rule("web", 1), rule("rest", 9), rule("db", 5)
	later := web
	later.Priority, later.Ports = 2, []firewall.Port{}
	none := web
	none.Ports = []firewall.Port{}
	for _, c := range []struct {
		was, want []firewall.PacketRule
		said      string
	}{
		{nil, nil, ""},
		{nil, []firewall.PacketRule{}, ""},
		{nil, []firewall.PacketRule{web, rest}, "rules of layer cp: 2 added (rest, web)"},
		{[]firewall.PacketRule{web, rest}, []firewall.PacketRule{rest, none}, ""},
		{[]firewall.PacketRule{web, rest}, []firewall.PacketRule{db, later},
			"rules of layer cp: 1 added (db), 1 changed (web), 1 removed (rest)"},
		{[]firewall.PacketRule{web}, nil, "rules of layer cp: 1 removed (web)"},
	} {
		spec := func(rules []firewall.PacketRule) operator.EnvironmentSpec {
			return operator.EnvironmentSpec{Version: 1, Name: "hello", Layers: []operator.LayerSpec{
				{Name: "cp", Template: "web:1", Nodes: 2, Cloudlets: wire.Cloudlets{Dynamic: 1}, Firewall: rules}}}
		}
		have := spec(c.was)
		nodes, p := env.Expand("ann", have, templates)
		if p != nil {
			t.Fatal(p)
		}
		in := Input{Account: "ann", Have: have, Want: spec(c.want), Templates: templates}
		for i, n := range nodes {
			in.Nodes = append(in.Nodes, Placed{CTID: wire.CTID(100 + i), Of: have.Layers[0], Node: n})
		}
		plan, kept, _, p := Plan(in)
		if p != nil {
			t.Fatal(p)
		}
		var said []string
		for _, s := range plan.Steps {
			said = append(said, s.Detail)
			if s.Outage != operator.OutageNone || s.Kind != operator.EditChange || s.Node != 0 || s.CTID != 0 ||
				!slices.Equal(s.Fields, []string{"/layers/0/firewall"}) {
				t.Errorf("a step of a node, or an outage: %+v", s)
			}
		}
		if got := strings.Join(said, "; "); got != c.said {
			t.Errorf("said %q, want %q", got, c.said)
		}
		for _, k := range kept {
			if Restarts(k.Was.Container, k.Is.Container) {
				t.Errorf("node %d starts anew", k.CTID)
			}
		}
	}
}

// Another place is one step of the layer, without an outage, which says who stays where they would not be placed again.
func TestPlace(t *testing.T) {
	ssd := &operator.PlaceSpec{Labels: map[string]string{"disk": "ssd"}}
	zones := func(list ...string) *operator.PlaceSpec { return &operator.PlaceSpec{Zones: list} }
	for _, c := range []struct {
		was, want *operator.PlaceSpec
		said      string
	}{
		{nil, nil, ""},
		{zones("a", "b"), zones("b", "a"), ""},
		{nil, ssd, "nodes of layer cp go to hosts with label disk=ssd from now on; " +
			"node 101 is on another host and stays there until it is moved"},
		{ssd, nil, "nodes of layer cp go to any host from now on"},
		{ssd, zones("a", "b"), "nodes of layer cp go to hosts with label zone of a, b from now on"},
		{nil, zones("c"), "nodes of layer cp go to hosts with label zone=c from now on; " +
			"nodes 100, 101 are on other hosts and stay there until they are moved"},
	} {
		spec := func(p *operator.PlaceSpec) operator.EnvironmentSpec {
			return operator.EnvironmentSpec{Version: 1, Name: "hello", Layers: []operator.LayerSpec{
				{Name: "cp", Template: "web:1", Nodes: 2, Cloudlets: wire.Cloudlets{Dynamic: 1}, Place: p}}}
		}
		have := spec(c.was)
		nodes, p := env.Expand("ann", have, templates)
		if p != nil {
			t.Fatal(p)
		}
		in := Input{Account: "ann", Have: have, Want: spec(c.want), Templates: templates}
		labels := []map[string]string{{"zone": "a", "disk": "ssd"}, {"zone": "b"}}
		for i, n := range nodes {
			in.Nodes = append(in.Nodes, Placed{CTID: wire.CTID(100 + i), Of: have.Layers[0], Node: n, Labels: labels[i]})
		}
		plan, kept, _, p := Plan(in)
		if p != nil {
			t.Fatal(p)
		}
		var said []string
		for _, s := range plan.Steps {
			said = append(said, s.Detail)
			if s.Outage != operator.OutageNone || s.Kind != operator.EditChange || s.Node != 0 || s.CTID != 0 ||
				!slices.Equal(s.Fields, []string{"/layers/0/place"}) {
				t.Errorf("a step of a node, or an outage: %+v", s)
			}
		}
		if got := strings.Join(said, "; "); got != c.said {
			t.Errorf("said %q, want %q", got, c.said)
		}
		for _, k := range kept {
			if Restarts(k.Was.Container, k.Is.Container) {
				t.Errorf("node %d starts anew", k.CTID)
			}
		}
	}
}
