package api

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
)

// TestExplained: who asks for a template that was pushed and is none (yet) is told so.
func TestExplained(t *testing.T) {
	s := &Server{Imports: func() []host.Import {
		return []host.Import{{Name: "app:latest", State: host.ImportFailed, Reason: "is for linux/s390x"},
			{Name: "big:2", State: host.ImportRunning}}
	}}
	spec := operator.EnvironmentSpec{Layers: []operator.LayerSpec{{Template: "app"}, {Template: "big:2"}, {Template: "none"}}}
	admin := caller{Who: authz.Who{Account: wire.AdminAccount}}
	for object, want := range map[string]string{"layers[0].template": "could not be imported: is for linux/s390x",
		"layers[1].template": "not imported yet: importing", "layers[2].template": "not in the registry"} {
		p := s.explained(admin, operator.NewProblem(operator.NotFound, object, "it is not in the registry", "see"), spec)
		if !strings.Contains(p.Reason, want) || p.Next == "" {
			t.Errorf("%s: got %+v, want %q", object, p, want)
		}
	}
	other := caller{Who: authz.Who{Account: "acme"}} // the admins' pushes are not there for it
	p := s.explained(other, operator.NewProblem(operator.NotFound, "layers[0].template", "it is not in the registry", "see"), spec)
	if p.Reason != "it is not in the registry" {
		t.Errorf("another account is told of the push: %+v", p)
	}
	if p := s.explained(admin, operator.NewProblem(operator.Invalid, "layers[0].template", "why", "next"), spec); p.Reason != "why" {
		t.Errorf("another refusal was changed: %+v", p)
	}
}
