package main

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire/operator"
)

// TestTemplateInUse: a template that a layer, a node or the platform itself uses is not deleted, and it is said who uses it.
func TestTemplateInUse(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	// Nobody answers there: what gets so far is asked of the registry.
	c.prepare = func(o *orchestrator) { o.templates.Registry = "127.0.0.1:1" }
	c.start()
	c.join("infra1", 0)
	c.join("host1", 0)
	spec := hello("hello", 1)
	if op := c.create(spec); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	used := "nginx:1.22" // what the layer's "nginx" means
	e, _ := c.env("hello")
	for _, q := range []struct {
		name string
		code operator.Code
		says string
	}{
		{used, operator.Conflict, "layer " + string(spec.Layers[0].Name) + " of environment hello, node 100 of environment hello"},
		{"nginx@" + e.Nodes[0].Digest.Hex()[:12], operator.Conflict, "environment hello"},
		{"nginx", operator.Unavailable, "127.0.0.1:1"},        // that is nginx:latest, which is not listed
		{"orchestrator", operator.Unavailable, "127.0.0.1:1"}, // no template of that name is listed: the registry refuses it
		{"team%2Fother:1.2", operator.Unavailable, "127.0.0.1:1"},
		{"..%2F..%2Fused", operator.Invalid, ""},
		{"Team%2Fother", operator.Invalid, ""},
		{"nginx@12ab", operator.Invalid, "12 hex digits"},
		{"nginx@0123456789ab", operator.NotFound, "no such template"},
	} {
		p := c.call("DELETE", "/api/v1/templates/"+q.name, nil, nil)
		if p == nil || p.Code != q.code || !strings.Contains(p.Reason, q.says) || p.Next == "" {
			t.Errorf("%s: got %+v, want %s saying %q", q.name, p, q.code, q.says)
		}
	}
}
