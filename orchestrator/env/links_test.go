package env

import (
	"maps"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

func TestLinks(t *testing.T) {
	templates := Templates{"nginx": {HTTPPort: 80, Process: host.Process{Env: map[string]string{"SQLDB_HOST": "image", "A": "image"}}},
		"sql": {Check: &host.Check{Port: 5432}}, "dumb": {}}
	layer := func(name, template string, links ...wire.LayerName) operator.LayerSpec {
		return operator.LayerSpec{Name: wire.LayerName(name), Template: wire.TemplateName(template), Nodes: 1,
			Cloudlets: wire.Cloudlets{Dynamic: 1}, Links: links}
	}
	own := func(l operator.LayerSpec, name string) operator.LayerSpec {
		l.Env = map[string]string{name: "own"}
		return l
	}
	hidden := func(l operator.LayerSpec, name string) operator.LayerSpec {
		l.Secrets = []operator.SecretSpec{{Name: name}}
		return l
	}
	served := func(l operator.LayerSpec, port uint16) operator.LayerSpec { l.HTTP = port; return l }
	stale := func(l operator.LayerSpec) operator.LayerSpec { l.Linked = map[string]string{"X": "sent"}; return l }
	for _, c := range []struct {
		name   string
		layers []operator.LayerSpec
		first  string // the variables that links give to the first layer, and to the second
		second string
		object string // what is refused, and why
		reason string
	}{
		{"none", []operator.LayerSpec{layer("cp", "nginx"), layer("sqldb", "sql")}, "", "", "", ""},
		{"both ways", []operator.LayerSpec{layer("cp", "nginx", "sqldb"), layer("sqldb", "sql")},
			"SQLDB_HOST=sqldb.hello.internal SQLDB_PORT=5432", "CP_HOST=cp.hello.internal CP_PORT=80", "", ""},
		{"a port of its own, and none that is known",
			[]operator.LayerSpec{served(layer("cp", "nginx"), 8080), layer("my-db", "dumb", "cp")},
			"MY_DB_HOST=my-db.hello.internal", "CP_HOST=cp.hello.internal CP_PORT=8080", "", ""},
		{"what is sent counts for nothing", []operator.LayerSpec{stale(layer("cp", "nginx")), layer("sqldb", "sql")}, "", "", "", ""},
		{"other variables stay", []operator.LayerSpec{own(layer("cp", "nginx", "sqldb"), "SQLDB_USER"), layer("sqldb", "sql")},
			"SQLDB_HOST=sqldb.hello.internal SQLDB_PORT=5432", "CP_HOST=cp.hello.internal CP_PORT=80", "", ""},
		{"itself", []operator.LayerSpec{layer("cp", "nginx", "cp")}, "", "", "layers[0].links[0]", "to itself"},
		{"nobody", []operator.LayerSpec{layer("cp", "nginx", "db")}, "", "", "layers[0].links[0]", `no layer "db"`},
		{"twice", []operator.LayerSpec{layer("cp", "nginx", "sqldb", "sqldb"), layer("sqldb", "sql")}, "", "", "layers[0].links[1]",
			"twice"},
		{"a variable of its own", []operator.LayerSpec{own(layer("cp", "nginx", "sqldb"), "SQLDB_PORT"), layer("sqldb", "sql")}, "", "",
			"layers[0].links[0]", `layer "cp" the variable SQLDB_PORT`},
		{"one of the other's", []operator.LayerSpec{layer("cp", "nginx", "sqldb"), hidden(layer("sqldb", "sql"), "CP_HOST")}, "", "",
			"layers[0].links[0]", `layer "sqldb" the variable CP_HOST`},
	} {
		s := operator.EnvironmentSpec{Version: 1, Name: "hello", Layers: c.layers}
		if p := Validate(s); c.object != "" || p != nil {
			if p == nil || p.Object != c.object || !strings.Contains(p.Reason, c.reason) {
				t.Errorf("%s: %v, want %q %q", c.name, p, c.object, c.reason)
			}
			continue
		}
		given := maps.Clone(c.layers[0].Linked)
		linked := Link("ann", s, templates)
		if !maps.Equal(given, c.layers[0].Linked) {
			t.Errorf("%s: what was given is another one now", c.name)
		}
		for i, want := range []string{c.first, c.second} {
			vars := map[string]string{}
			for _, v := range strings.Fields(want) {
				name, value, _ := strings.Cut(v, "=")
				vars[name] = value
			}
			if l := linked.Layers[i]; !maps.Equal(l.Linked, vars) {
				t.Errorf("%s: layer %s has %v, want %v", c.name, l.Name, l.Linked, vars)
			}
			n := NodeOf("ann", "hello", linked.Layers[i], 0, templates[linked.Layers[i].Template])
			maps.Copy(vars, linked.Layers[i].Env)
			for name, value := range vars {
				if got := n.Container.Process.Env[name]; got != value {
					t.Errorf("%s: node of layer %s has %s=%q, want %q", c.name, n.Layer, name, got, value)
				}
			}
		}
	}
}
