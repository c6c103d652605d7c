package document_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

const env = `version: 1
name: hello
layers:
  - name: cp
    template: nginx
    nodes: 2
    cloudlets: {reserved: 1, dynamic: 4}
    env:
      A: "1"
`

var hostConfig = `version: 1
name: host-1
role: user
join:
  cluster: cl-0123456789abcdef
  endpoints: [10.77.0.2:7444]
  caPin: sha256:` + strings.Repeat("0a", 32) + `
  token: hn1.00000000.` + strings.Repeat("0a", 16) + `
network:
  links:
    - name: underlay
      mac: 52:54:00:12:34:56
      addresses: [10.77.0.11/24]
      gateway: 10.77.0.1
storage:
  data: auto
`

func TestEnvironment(t *testing.T) {
	s, _, _, err := operator.DecodeEnvironment("hello.yaml", []byte(env))
	if err != nil {
		t.Fatal(err)
	}
	if l := s.Layers[0]; s.Name != "hello" || l.Nodes != 2 || l.Cloudlets.Dynamic != 4 || l.Env["A"] != "1" {
		t.Errorf("got %+v", s)
	}
}

func TestEnvironmentRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown field", "nodes:", "nodez:", `hello.yaml:6:5: unknown field "nodez"`},
		{"duplicate field", "    nodes: 2\n", "    nodes: 2\n    nodes: 3\n", "hello.yaml:7:5: "},
		{"duplicate variable", `A: "1"`, "A: \"1\"\n      A: \"2\"", "hello.yaml:10:7: "},
		{"wrong type", "nodes: 2", "nodes: many", "hello.yaml:6:12: "},
		{"tab", "    nodes", "\tnodes", "hello.yaml:6:"},
		{"version", "version: 1", "version: 2", "version: 2 is not known"},
		{"name", "name: hello", "name: Hello!", `name: environment name "Hello!"`},
		{"no layers", env[strings.Index(env, "layers:"):], "", "layers: is required"},
		{"layer name", "name: cp", "name: c.p", "layers[0].name"},
		{"template", "template: nginx", "template: ../nginx", "layers[0].template"},
		{"two documents", `A: "1"`, "A: \"1\"\n---\nversion: 1", "more than one document"},
		{"empty", env, "", "is empty"},
		{"not a map", env, "- 1\n", "hello.yaml:1:"},
		{"deep", env, "a: " + strings.Repeat("[", 100_000), "levels deep"},
		{"long", env, strings.Repeat("#", document.MaxBytes+1), "at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := strings.Replace(env, c.old, c.new, 1)
			_, _, _, err := operator.DecodeEnvironment("hello.yaml", []byte(doc))
			var e *document.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestHostConfig(t *testing.T) {
	c, err := document.HostConfig("host-1.yaml", []byte(hostConfig))
	if err != nil {
		t.Fatal(err)
	}
	if c.Join.Token == "" || c.Network.Links[0].Addresses[0].String() != "10.77.0.11/24" {
		t.Errorf("got %+v", c)
	}
	raw, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := document.HostConfig("again.yaml", raw); err != nil || again.Join.Token != c.Join.Token ||
		again.Network.Links[0].Gateway != c.Network.Links[0].Gateway {
		t.Errorf("written and read again: %v\n%s", err, raw)
	}
}

func TestHostConfigRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown field", "gateway:", "gatway:", `host-1.yaml:14:7: unknown field "gatway"`},
		{"no name", "name: host-1\n", "", "name"},
		{"bad token", "hn1.00000000", "hn2.00000000", "join.token: is no join token"},
		{"bad pin", "sha256:", "sha512:", "join.caPin"},
		{"no endpoints", "[10.77.0.2:7444]", "[]", "join.endpoints"},
		{"endpoint without port", "10.77.0.2:7444", "10.77.0.2", "join.endpoints[0]"},
		{"bad address", "10.77.0.11/24", "10.77.0.300/24", "host-1.yaml:13:"},
		{"no address", "[10.77.0.11/24]", "[]", "network.links[0].addresses"},
		{"bad mac", "52:54:00:12:34:56", "52:54", "network.links[0].mac"},
		{"gateway elsewhere", "10.77.0.1\n", "10.78.0.1\n", "network.links[0].gateway"},
		{"no such underlay", "network:\n", "network:\n  underlay: lan\n", `network.underlay: there is no link "lan"`},
		{"role", "role: user", "role: king", "role"},
		{"wipe", "data: auto", "data: /dev/vda\n  wipe: /dev/vdb", "storage.wipe"},
		{"swap of nothing", "data: auto", "data: auto\n  swap: 0%", "storage.swap"},
		{"swap in MiB", "data: auto", "data: auto\n  swap: 512", "storage.swap"},
		{"swap of more than all", "data: auto", "data: auto\n  swap: 101%", "storage.swap"},
		{"install", "data: auto", "data: auto\ninstall: {disk: {path: sda}}", "install.disk.path"},
		{"install, unknown field", "data: auto", "data: auto\ninstall: {disc: {}}", `unknown field "disc"`},
		{"install and a disk for DATA", "data: auto", "data: /dev/vdb\ninstall: {}", "storage.data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := document.HostConfig("host-1.yaml", []byte(strings.Replace(hostConfig, c.old, c.new, 1))); err == nil ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestSeedWork(t *testing.T) {
	seed, err := json.Marshal(boot.OrchestratorSeed{Version: 1, Cluster: "cl-0123456789abcdef", Work: host.Work{Version: 1, Revision: 1,
		Containers: []host.Container{{CTID: 3, Component: "orchestrator"}, {CTID: 1, Component: "registry"}}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := boot.DecodeSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	w := s.FirstWork(seed)
	if f := w.Containers[0].Files; len(f) != 1 || f[0].Path != boot.SeedFile || string(f[0].Data) != string(seed) ||
		len(w.Containers[1].Files) != 0 {
		t.Errorf("got %+v", w)
	}
	if len(s.Work.Containers[0].Files) != 0 {
		t.Error("the seed itself was changed")
	}
	for _, doc := range []string{`{}`, `{"version":1}`, `{"version":1,"x":1}`} {
		if _, err := boot.DecodeSeed([]byte(doc)); err == nil {
			t.Errorf("seed %s was accepted", doc)
		}
		if _, err := boot.DecodeBundle([]byte(doc)); err == nil {
			t.Errorf("bundle %s was accepted", doc)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add([]byte(env))
	f.Add([]byte(hostConfig))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("? - ? - ? - {"))
	f.Add([]byte("<<: *a\n? {b: c}\n: !!str d\n"))
	f.Add([]byte("version: 1\r\nname: \"x\r\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if s, _, _, err := operator.DecodeEnvironment("x", doc); err == nil &&
			(s.Version != 1 || s.Name.Validate() != nil || len(s.Layers) == 0) {
			t.Errorf("accepted %q as %+v", doc, s)
		}
		if c, err := document.HostConfig("x", doc); err == nil && c.Validate() != nil {
			t.Errorf("accepted %q as %+v", doc, c)
		}
	})
}
