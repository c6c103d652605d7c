package api

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// TestTemplates: what was pushed is listed beside what it became, under one name once.
func TestTemplates(t *testing.T) {
	made := []host.Template{{Image: host.Image{Name: "b:1", Digest: "sha256:b", Bytes: 7}}, {Image: host.Image{Name: "c:1", Digest: "sha256:c"}}}
	pushed := []host.Import{{Name: "a:1", State: host.ImportFailed, Reason: "it is for s390x"}, {Name: "c:1", State: host.ImportRunning, Percent: 40}}
	got := Templates(made, pushed)
	want := []operator.Template{{Name: "a:1", State: "failed", Reason: "it is for s390x"}, {Name: "b:1", State: "ready", Digest: "sha256:b", Bytes: 7}, {Name: "c:1", State: "importing", Percent: 40, Digest: "sha256:c"}}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, w := range want {
		if g := got[i]; g.Name != w.Name || g.State != w.State || g.Reason != w.Reason || g.Percent != w.Percent || g.Digest != w.Digest {
			t.Errorf("got %+v, want %+v", g, w)
		}
	}
}

// TestExplained: who asks for a template that was pushed and is none (yet) is told so.
func TestExplained(t *testing.T) {
	s := &Server{Imports: func() []host.Import {
		return []host.Import{{Name: "app:latest", State: host.ImportFailed, Reason: "is for linux/s390x"}, {Name: "big:2", State: host.ImportRunning}}
	}}
	spec := operator.EnvironmentSpec{Layers: []operator.LayerSpec{{Template: "app"}, {Template: "big:2"}, {Template: "none"}}}
	for object, want := range map[string]string{"layers[0].template": "could not be imported: is for linux/s390x", "layers[1].template": "not imported yet: importing", "layers[2].template": "not in the registry"} {
		p := s.explained(operator.NewProblem(operator.NotFound, object, "it is not in the registry", "see"), spec)
		if !strings.Contains(p.Reason, want) || p.Next == "" {
			t.Errorf("%s: got %+v, want %q", object, p, want)
		}
	}
	if p := s.explained(operator.NewProblem(operator.Invalid, "layers[0].template", "why", "next"), spec); p.Reason != "why" {
		t.Errorf("another refusal was changed: %+v", p)
	}
}
