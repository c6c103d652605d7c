package env

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

func valid() operator.EnvironmentSpec {
	return operator.EnvironmentSpec{Version: 1, Name: "hello", Layers: []operator.LayerSpec{
		{Name: "cp", Template: "nginx", Nodes: 2, Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, Env: map[string]string{"A": "1"}}}}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*operator.EnvironmentSpec)
		object string // "" is valid
	}{
		{"good", func(*operator.EnvironmentSpec) {}, ""},
		{"version", func(s *operator.EnvironmentSpec) { s.Version = 2 }, "version"},
		{"no name", func(s *operator.EnvironmentSpec) { s.Name = "" }, "name"},
		{"name with dots", func(s *operator.EnvironmentSpec) { s.Name = "a.b" }, "name"},
		{"the platform's name", func(s *operator.EnvironmentSpec) { s.Name = System }, "name"},
		{"no layer", func(s *operator.EnvironmentSpec) { s.Layers = nil }, "layers"},
		{"21 layers", func(s *operator.EnvironmentSpec) { s.Layers = make([]operator.LayerSpec, 21) }, "layers"},
		{"layer name", func(s *operator.EnvironmentSpec) { s.Layers[0].Name = "CP" }, "layers[0].name"},
		{"layer twice", func(s *operator.EnvironmentSpec) { s.Layers = append(s.Layers, s.Layers[0]) }, "layers[1].name"},
		{"template", func(s *operator.EnvironmentSpec) { s.Layers[0].Template = "../etc" }, "layers[0].template"},
		{"no nodes", func(s *operator.EnvironmentSpec) { s.Layers[0].Nodes = 0 }, "layers[0].nodes"},
		{"101 nodes", func(s *operator.EnvironmentSpec) { s.Layers[0].Nodes = 101 }, "layers[0].nodes"},
		{"nothing to grow to", func(s *operator.EnvironmentSpec) { s.Layers[0].Cloudlets = wire.Cloudlets{} },
			"layers[0].cloudlets.dynamic"},
		{"4097 cloudlets", func(s *operator.EnvironmentSpec) { s.Layers[0].Cloudlets.Dynamic = 4097 }, "layers[0].cloudlets.dynamic"},
		{"reserved above dynamic", func(s *operator.EnvironmentSpec) { s.Layers[0].Cloudlets.Reserved = 5 },
			"layers[0].cloudlets.reserved"},
		{"negative reserved", func(s *operator.EnvironmentSpec) { s.Layers[0].Cloudlets.Reserved = -1 }, "layers[0].cloudlets.reserved"},
		{"tiny disk", func(s *operator.EnvironmentSpec) { s.Layers[0].DiskMiB = 1 }, "layers[0].diskMiB"},
		{"negative disk", func(s *operator.EnvironmentSpec) { s.Layers[0].DiskMiB = -1 }, "layers[0].diskMiB"},
		{"variable name", func(s *operator.EnvironmentSpec) { s.Layers[0].Env = map[string]string{"A=B": ""} }, "layers[0].env"},
		{"tcp check", func(s *operator.EnvironmentSpec) {
			s.Layers[0].Check = &operator.CheckSpec{Type: "tcp", Port: 5432, Every: 300}
		}, ""},
		{"http check", func(s *operator.EnvironmentSpec) {
			s.Layers[0].Check = &operator.CheckSpec{Type: "http", Path: "/up?x=%20"}
		}, ""},
		{"no check", func(s *operator.EnvironmentSpec) { s.Layers[0].Check = &operator.CheckSpec{Type: "none"} }, ""},
		{"check without a type", func(s *operator.EnvironmentSpec) { s.Layers[0].Check = &operator.CheckSpec{Port: 80} },
			"layers[0].check.type"},
		{"check of another type", func(s *operator.EnvironmentSpec) { s.Layers[0].Check = &operator.CheckSpec{Type: "udp"} },
			"layers[0].check.type"},
		{"no check on a port", func(s *operator.EnvironmentSpec) { s.Layers[0].Check = &operator.CheckSpec{Type: "none", Port: 80} },
			"layers[0].check"},
		{"tcp check of a path", func(s *operator.EnvironmentSpec) {
			s.Layers[0].Check = &operator.CheckSpec{Type: "tcp", Port: 80, Path: "/"}
		}, "layers[0].check.path"},
		{"relative path", func(s *operator.EnvironmentSpec) { s.Layers[0].Check = &operator.CheckSpec{Type: "http", Path: "up"} },
			"layers[0].check.path"},
		{"path with a line end", func(s *operator.EnvironmentSpec) {
			s.Layers[0].Check = &operator.CheckSpec{Type: "http", Path: "/\r\nX: y"}
		}, "layers[0].check.path"},
		{"check too seldom", func(s *operator.EnvironmentSpec) {
			s.Layers[0].Check = &operator.CheckSpec{Type: "tcp", Port: 80, Every: 301}
		}, "layers[0].check.every"},
		{"check backwards", func(s *operator.EnvironmentSpec) {
			s.Layers[0].Check = &operator.CheckSpec{Type: "tcp", Port: 80, Every: -1}
		}, "layers[0].check.every"},
		{"huge variables", func(s *operator.EnvironmentSpec) {
			s.Layers[0].Env = map[string]string{"A": strings.Repeat("x", 40<<10)}
		}, "layers[0].env"},
	} {
		s := valid()
		c.change(&s)
		p := Validate(s)
		switch {
		case p == nil && c.object != "":
			t.Errorf("%s: is accepted, want a problem with %s", c.name, c.object)
		case p != nil && (p.Object != c.object || p.Reason == "" || p.Next == ""):
			t.Errorf("%s: got %+v, want a problem with %q that says why and what next", c.name, p, c.object)
		}
	}
}

func templates() Templates {
	t := host.Template{Image: host.Image{Name: "nginx:1.22", Bytes: 1},
		Process:  host.Process{Argv: []string{"nginx"}, Env: map[string]string{"A": "0", "B": "2"}},
		HTTPPort: 80, Check: &host.Check{Port: 80, Path: "/"}, Profile: host.ProfileApp}
	return Templates{t.Name: t}
}

func TestExpand(t *testing.T) {
	all := templates()
	nodes, p := Expand("shop", valid(), all)
	if p != nil || len(nodes) != 2 {
		t.Fatalf("got %+v, %v", nodes, p)
	}
	n := nodes[1]
	want := host.Limits{MemoryMin: 128 << 20, MemoryHigh: 480 << 20, MemoryMax: 512 << 20, CPUWeight: 100, CPUMHz: 1600, PIDs: 1024,
		DiskBytes: 1 << 30}
	if n.Container.Account != "shop" {
		t.Errorf("the container is %q's, its environment shop's", n.Container.Account)
	}
	if n.Index != 1 || n.HTTP != 80 || n.Container.Limits != want || n.Container.Generation != 1 || n.Container.Check.Path != "/" {
		t.Errorf("node: %+v", n)
	}
	if e := n.Container.Process.Env; e["A"] != "1" || e["B"] != "2" {
		t.Errorf("variables: %v, want the layer's over the template's", e)
	}
	if all["nginx:1.22"].Process.Env["A"] != "0" {
		t.Error("expanding changed the template")
	}
	s := valid()
	s.Layers[0].Template = "nope"
	if _, p := Expand("shop", s, all); p == nil || p.Code != operator.NotFound || p.Object != "layers[0].template" {
		t.Errorf("unknown template: %+v", p)
	}
}

// TestCheckOfLayer: a layer's own check stands over the template's; the port that it leaves out is the one that serves HTTP.
func TestCheckOfLayer(t *testing.T) {
	all := templates()
	plain := all["nginx:1.22"]
	plain.Name, plain.HTTPPort, plain.Check = "plain:1", 0, nil
	all[plain.Name] = plain
	for _, c := range []struct {
		template wire.TemplateName
		http     uint16
		spec     *operator.CheckSpec
		want     *host.Check
		problem  string
	}{
		{"nginx", 0, nil, &host.Check{Port: 80, Path: "/"}, ""},
		{"nginx", 0, &operator.CheckSpec{Type: "none"}, nil, ""},
		{"nginx", 0, &operator.CheckSpec{Type: "tcp"}, &host.Check{Port: 80}, ""},
		{"nginx", 8080, &operator.CheckSpec{Type: "http", Every: 30}, &host.Check{Port: 8080, Path: "/", Every: 30}, ""},
		{"nginx", 0, &operator.CheckSpec{Type: "http", Port: 81, Path: "/up"}, &host.Check{Port: 81, Path: "/up"}, ""},
		{"plain:1", 0, nil, nil, ""},
		{"plain:1", 0, &operator.CheckSpec{Type: "tcp", Port: 5432}, &host.Check{Port: 5432}, ""},
		{"plain:1", 0, &operator.CheckSpec{Type: "none"}, nil, ""},
		{"plain:1", 0, &operator.CheckSpec{Type: "http"}, nil, "layers[0].check.port"},
		{"plain:1", 3000, &operator.CheckSpec{Type: "http"}, &host.Check{Port: 3000, Path: "/"}, ""},
	} {
		s := valid()
		s.Layers[0].Template, s.Layers[0].HTTP, s.Layers[0].Check = c.template, c.http, c.spec
		nodes, p := Expand("shop", s, all)
		switch {
		case (p == nil) != (c.problem == ""), p != nil && (p.Object != c.problem || p.Next == ""):
			t.Errorf("%s %+v: got problem %+v, want %q", c.template, c.spec, p, c.problem)
		case p == nil && (c.want == nil) != (nodes[0].Container.Check == nil), p == nil && c.want != nil &&
			*nodes[0].Container.Check != *c.want:
			t.Errorf("%s %+v: got %+v, want %+v", c.template, c.spec, nodes[0].Container.Check, c.want)
		}
	}
}

// TestKnownTemplates: a well-known web server whose image has no label of ours serves HTTP where it is known to; nothing else is guessed.
func TestKnownTemplates(t *testing.T) {
	for _, c := range []struct {
		name        wire.TemplateName
		label, http uint16
		want        uint16
	}{
		{"nginx:1.27", 0, 0, 80}, {"team/library/caddy:2", 0, 0, 80}, {"httpd:latest", 0, 0, 80}, {"nginx:1.27", 8080, 0, 8080},
		{"nginx:1.27", 8080, 3000, 3000}, {"redis:7", 0, 0, 0}, {"postgres:17", 0, 0, 0}, {"mynginx:1", 0, 0, 0}, {"nginx/app:1", 0, 0, 0},
		{"redis:7", 0, 8001, 8001},
	} {
		tpl := host.Template{Image: host.Image{Name: c.name}, HTTPPort: c.label}
		if n := NodeOf("shop", "e", operator.LayerSpec{HTTP: c.http}, 0, tpl); n.HTTP != c.want || n.Container.Check != nil {
			t.Errorf("%s with label %d and http %d: got port %d and check %v, want %d and none", c.name, c.label, c.http, n.HTTP,
				n.Container.Check, c.want)
		}
	}
}

func TestFindTemplate(t *testing.T) {
	at := func(name wire.TemplateName, day int) host.Template {
		return host.Template{Image: host.Image{Name: name}, Imported: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)}
	}
	all := Templates{"nginx:1.20": at("nginx:1.20", 1), "nginx:1.22": at("nginx:1.22", 2), "db:latest": at("db:latest", 1),
		"db:9": at("db:9", 5), "web/nginx:1": at("web/nginx:1", 9)}
	for name, want := range map[wire.TemplateName]wire.TemplateName{"nginx": "nginx:1.22", "nginx:1.20": "nginx:1.20", "nginx:2": "",
		"db": "db:latest", "web/nginx": "web/nginx:1", "ngin": ""} {
		if got, ok := all.Find("shop", name); got.Name != want || ok != (want != "") {
			t.Errorf("%s: got %q %v, want %q", name, got.Name, ok, want)
		}
	}
}

// Everybody has the admins' templates and their own; the admins have all.
func TestFindTemplateOfAccount(t *testing.T) {
	of := func(name wire.TemplateName, account wire.Account) host.Template {
		return host.Template{Image: host.Image{Name: name}, Account: account}
	}
	all := Templates{"a:1": of("a:1", ""), "a:2": of("a:2", "shop"), "b:latest": of("b:latest", "shop"), "b:1": of("b:1", "acme")}
	for account, want := range map[wire.Account]map[wire.TemplateName]wire.TemplateName{
		"admin": {"a": "a:2", "a:2": "a:2", "b": "b:latest", "b:1": "b:1"},
		"shop":  {"a": "a:2", "a:2": "a:2", "b": "b:latest", "b:1": ""},
		"acme":  {"a": "a:1", "a:2": "", "b": "b:1", "b:1": "b:1"},
		"":      {"a": "a:1", "a:2": "", "b": "", "b:1": ""},
	} {
		for name, want := range want {
			if got, ok := all.Find(account, name); got.Name != want || ok != (want != "") {
				t.Errorf("%s of account %q: got %q %v, want %q", name, account, got.Name, ok, want)
			}
		}
	}
}

func TestState(t *testing.T) {
	node := func(states ...string) (out []NodeState) {
		for i, s := range states {
			out = append(out, NodeState{CTID: wire.CTID(100 + i), State: s, Reason: "why"})
		}
		return out
	}
	for _, c := range []struct {
		name string
		f    Facts
		want operator.EnvironmentState
	}{
		{"all run", Facts{Want: "running", Nodes: node("running", "running")}, operator.EnvRunning},
		{"all run, create not yet closed", Facts{Want: "running", Nodes: node("running"), Busy: "env.create"}, operator.EnvRunning},
		{"being created", Facts{Want: "running", Nodes: node("running", "starting"), Busy: "env.create"}, operator.EnvCreating},
		{"nothing placed yet", Facts{Want: "running", Missing: 2, Busy: "env.create"}, operator.EnvCreating},
		{"being started", Facts{Want: "running", Nodes: node("waiting"), Busy: "env.start"}, operator.EnvLaunching},
		{"no host for a node", Facts{Want: "running", Nodes: node("running"), Missing: 1, Why: "full"}, operator.EnvBroken},
		{"a host does not answer", Facts{Want: "running", Nodes: node("running", "unknown")}, operator.EnvUnknown},
		{"a node fails", Facts{Want: "running", Nodes: node("running", "failing")}, operator.EnvBroken},
		{"a node can't run", Facts{Want: "running", Nodes: node("running", "broken"), Busy: "env.create"}, operator.EnvBroken},
		{"restarting after a reboot", Facts{Want: "running", Nodes: node("running", "starting")}, operator.EnvLaunching},
		{"stopped", Facts{Want: "stopped", Nodes: node("stopped", "stopped")}, operator.EnvDown},
		{"stopping", Facts{Want: "stopped", Nodes: node("stopped", "running")}, operator.EnvStopping},
		{"stopped, a host does not answer", Facts{Want: "stopped", Nodes: node("stopped", "unknown")}, operator.EnvUnknown},
		{"stopped, one never had a host", Facts{Want: "stopped", Nodes: node("stopped"), Missing: 1, Why: "full"}, operator.EnvDown},
		{"its creation failed", Facts{Want: "running", Nodes: node("running", "starting"), Failed: "it failed"}, operator.EnvBroken},
		{"its creation failed and is tried again", Facts{Want: "running", Nodes: node("starting"), Failed: "it failed", Busy: "env.start"},
			operator.EnvLaunching},
		{"its creation failed, all runs after all", Facts{Want: "running", Nodes: node("running"), Failed: "it failed"},
			operator.EnvRunning},
		{"its creation failed, it was stopped", Facts{Want: "stopped", Nodes: node("stopped"), Failed: "it failed"}, operator.EnvDown},
		{"its account is suspended", Facts{Want: "running", Held: "unpaid", Nodes: node("stopped")}, operator.EnvDown},
		{"its account is suspended, it stops", Facts{Want: "running", Held: "unpaid", Nodes: node("running")}, operator.EnvStopping},
		{"its account is suspended, it is deleted", Facts{Want: "deleted", Held: "unpaid", Nodes: node("stopped")}, operator.EnvStopping},
		{"being deleted", Facts{Want: "deleted", Nodes: node("running")}, operator.EnvStopping},
	} {
		got, reason := State(c.f)
		if got != c.want {
			t.Errorf("%s: got %s (%s), want %s", c.name, got, reason, c.want)
		}
		if got != operator.EnvRunning && got != operator.EnvDown && reason == "" {
			t.Errorf("%s: %s has no reason", c.name, got)
		}
	}
	if _, why := State(Facts{Want: "stopped", Nodes: []NodeState{{CTID: 100, State: "stopped"}, {CTID: 101, State: "stopping",
		Reason: "kill: no such process"}}}); why != "1 of 2 nodes are stopped; node 101 is stopping: kill: no such process" {
		t.Errorf("what holds a stop up isn't said: %q", why)
	}
}

// All that is wrong is said at once.
func TestValidateSaysAll(t *testing.T) {
	p := Validate(operator.EnvironmentSpec{Version: 2, Name: "No", Layers: []operator.LayerSpec{
		{Name: "cp", Template: "nginx", Nodes: 0, Cloudlets: wire.Cloudlets{Reserved: 5, Dynamic: 4}, DiskMiB: 1},
		{Name: "cp", Template: "../x", Nodes: 1, Cloudlets: wire.Cloudlets{Dynamic: 1}, Env: map[string]string{"A B": ""}},
	}})
	if p == nil {
		t.Fatal("valid")
	}
	var got []string
	for _, f := range p.Errors {
		got = append(got, f.Object)
	}
	want := []string{"version", "name", "layers[0].nodes", "layers[0].cloudlets.reserved", "layers[0].diskMiB", "layers[1].name",
		"layers[1].template", "layers[1].env"}
	if !slices.Equal(got, want) || p.Object != "version" {
		t.Errorf("got %q, first %s, want %q", got, p.Object, want)
	}
}

// EXPOSE makes no HTTP port: the template's label does, or the layer's own setting, which counts more.
func TestHTTPPortOfALayer(t *testing.T) {
	for _, c := range []struct{ label, layer, want uint16 }{{0, 0, 0}, {80, 0, 80}, {0, 8080, 8080}, {80, 8080, 8080}} {
		l := valid().Layers[0]
		l.HTTP = c.layer
		if got := NodeOf("shop", "hello", l, 0, host.Template{HTTPPort: c.label}).HTTP; got != c.want {
			t.Errorf("label %d, layer %d: got %d, want %d", c.label, c.layer, got, c.want)
		}
	}
}

// A layer's profile counts more than the label of its image.
func TestProfileOfALayer(t *testing.T) {
	for _, c := range []struct {
		label host.Profile
		layer string
		want  host.Profile
	}{{"", "", host.ProfileApp}, {host.ProfileSystem, "", host.ProfileSystem}, {host.ProfileApp, "system", host.ProfileSystem},
		{host.ProfileSystem, "app", host.ProfileApp}} {
		s := valid()
		s.Layers[0].Profile = c.layer
		if p := Validate(s); p != nil {
			t.Errorf("layer %q: %v", c.layer, p)
		}
		if got := NodeOf("shop", "hello", s.Layers[0], 0, host.Template{Profile: c.label}).Container.Profile; got != c.want {
			t.Errorf("label %q, layer %q: got %q, want %q", c.label, c.layer, got, c.want)
		}
	}
	for _, c := range []struct {
		layer     string
		set, want int
	}{{"app", 0, 0}, {"system", 0, 90}, {"system", 7, 7}} {
		l := valid().Layers[0]
		l.Profile = c.layer
		if got := NodeOf("shop", "hello", l, 0,
			host.Template{Process: host.Process{StopAfter: c.set}}).Container.Process.StopAfter; got != c.want {
			t.Errorf("profile %s, stop-after %d: a node has %d s to end, want %d", c.layer, c.set, got, c.want)
		}
	}
	for _, wrong := range []string{"App", "vm", " system", "docker"} {
		s := valid()
		s.Layers[0].Profile = wrong
		if p := Validate(s); p == nil || p.Object != "layers[0].profile" || p.Next == "" {
			t.Errorf("layer %q: %+v", wrong, p)
		}
	}
}
