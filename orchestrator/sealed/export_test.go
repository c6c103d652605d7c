package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/document"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/edit"
	"hardnode.dev/orchestrator/env"
)

var there = env.Templates{
	"web:1": {Image: host.Image{Name: "web:1", Digest: "sha256:1"}, HTTPPort: 80,
		Process: host.Process{Argv: []string{"/web"}, Env: map[string]string{"PATH": "/bin"}}},
	"sql:1": {Image: host.Image{Name: "sql:1", Digest: "sha256:2"}, Volumes: []host.TemplateVolume{{Path: "/data"}}},
}

// secretly begins the value of each secret variable of the drawn specs.
const secretly = "hunter-"

// drawn is a spec with any of what a file can say.
func drawn(t *rapid.T) operator.EnvironmentSpec {
	s := operator.EnvironmentSpec{Version: 1, Name: "hello"}
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09 :#-'\"\\\n\t{}é~@|>&*!%")), 0, 12, -1)
	for _, name := range []wire.LayerName{"sqldb", "cp", "bl"} {
		if name != "cp" && rapid.Bool().Draw(t, "no "+string(name)) {
			continue
		}
		l := operator.LayerSpec{Name: name, Template: rapid.SampledFrom([]wire.TemplateName{"web", "web:1", "sql:1"}).Draw(t, "template"),
			Nodes: rapid.IntRange(1, 3).Draw(t, "nodes"), Cloudlets: wire.Cloudlets{Dynamic: rapid.IntRange(1, 9).Draw(t, "dynamic")},
			DiskMiB: rapid.SampledFrom([]int64{0, 64, 1024}).Draw(t, "disk"), HTTP: rapid.SampledFrom([]uint16{0, 8080}).Draw(t, "http"),
			Profile: rapid.SampledFrom([]string{"", "app", "system"}).Draw(t, "profile")}
		l.Cloudlets.Reserved = rapid.IntRange(0, l.Cloudlets.Dynamic).Draw(t, "reserved")
		for i := range rapid.IntRange(0, 3).Draw(t, "variables") {
			if l.Env == nil {
				l.Env = map[string]string{}
			}
			l.Env[fmt.Sprintf("V%d", i)] = text.Draw(t, "value")
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "secrets") {
			v := secret.Text(secretly + text.Draw(t, "secret"))
			l.Secrets = append(l.Secrets, operator.SecretSpec{Name: fmt.Sprintf("S%d", i), Value: &v})
		}
		if rapid.Bool().Draw(t, "check") {
			l.Check = rapid.SampledFrom([]*operator.CheckSpec{{Type: "tcp", Port: 80}, {Type: "http", Port: 80, Path: "/x?y=%20", Every: 5},
				{Type: "none"}}).Draw(t, "how")
		}
		for _, p := range []string{"/data", "/srv/no"} {
			if rapid.Bool().Draw(t, p) {
				v := operator.VolumeSpec{Path: p, DiskMiB: rapid.SampledFrom([]int64{0, 32}).Draw(t, "size"),
					NoDataCOW: rapid.Bool().Draw(t, "cow")}
				if rapid.Bool().Draw(t, "named") {
					v.Name = strings.Trim(strings.ReplaceAll(p, "/", "x"), "-")
				}
				l.Volumes = append(l.Volumes, v)
			}
		}
		for _, o := range s.Layers {
			if rapid.Bool().Draw(t, "after "+string(o.Name)) {
				l.After = append(l.After, o.Name)
			}
		}
		if len(s.Layers) > 0 && rapid.Bool().Draw(t, "linked") {
			l.Links = []wire.LayerName{s.Layers[0].Name}
		}
		s.Layers = append(s.Layers, l)
	}
	return s
}

// An environment's file, applied to it, is no change; in another account of a fresh cluster it asks for the value of each secret variable,
// by its place, and makes the same nodes. It has none of those values.
func TestExported(t *testing.T) {
	asked := 0
	rapid.Check(t, func(t *rapid.T) {
		given := drawn(t)
		if p := env.Validate(given); p != nil {
			t.Fatal(p)
		}
		kept, err := keys.Seal("ann", given, nil)
		if err != nil {
			t.Fatal(err)
		}
		kept = env.Link("ann", kept, there)
		file := document.Write(Shown(kept))
		if bytes.Contains(file, []byte(secretly)) {
			t.Fatalf("the file has a secret value:\n%s", file)
		}
		read, _, warnings, err := operator.DecodeEnvironment("hello.yaml", file)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%v %v\n%s", err, warnings, file)
		}
		same, err := keys.Seal("ann", read, &kept)
		if err != nil {
			t.Fatalf("%v\n%s", err, file)
		}
		nodes, p := env.Expand("ann", kept, there)
		if p != nil {
			t.Fatal(p)
		}
		in := edit.Input{Account: "ann", Have: kept, Want: same, Templates: there}
		for i, n := range nodes {
			for _, l := range kept.Layers {
				if l.Name == n.Layer {
					in.Nodes = append(in.Nodes, edit.Placed{CTID: wire.CTID(100 + i), Of: l, Node: n})
				}
			}
		}
		if plan, _, _, p := edit.Plan(in); p != nil || len(plan.Steps) > 0 {
			t.Fatalf("the plan of\n%s\nis %+v, %v", file, plan.Steps, p)
		}

		other, names := Variables{certs.Sealer(bytes.Repeat([]byte("o"), 32))}, 0
		for i := range given.Layers {
			names += len(given.Layers[i].Secrets)
		}
		_, err = other.Seal("bob", read, nil)
		var refused *operator.Problem
		switch {
		case names == 0 && err != nil, names > 0 && !errors.As(err, &refused):
			t.Fatalf("%d secret variables without a value: %v", names, err)
		case names > 1 && len(refused.Errors) != names:
			t.Fatalf("%d secret variables without a value, and refused are %+v", names, refused.Errors)
		}
		asked += names
		for i := range read.Layers {
			read.Layers[i].Secrets = given.Layers[i].Secrets
		}
		rebuilt, err := other.Seal("bob", read, nil)
		if err != nil {
			t.Fatal(err)
		}
		fresh, p := env.Expand("bob", env.Link("bob", rebuilt, there), there)
		if p != nil || len(fresh) != len(nodes) {
			t.Fatalf("%d nodes, want %d: %v", len(fresh), len(nodes), p)
		}
		for i := range fresh {
			a, b := fresh[i], nodes[i]
			if len(a.Container.Process.Sealed) != len(b.Container.Process.Sealed) {
				t.Fatalf("node %d has %d secret variables, want %d", i, len(a.Container.Process.Sealed), len(b.Container.Process.Sealed))
			}
			a.Container.Account, a.Container.Process.Sealed, b.Container.Process.Sealed = "ann", nil, nil
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("rebuilt:\n%+v\nfirst:\n%+v", a, b)
			}
		}
	})
	if asked == 0 {
		t.Error("no secret variable was drawn: it showed nothing")
	}
}
