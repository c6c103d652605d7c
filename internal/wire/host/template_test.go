package host

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
)

func TestDecodeTemplatesAndImports(t *testing.T) {
	hex := strings.Repeat("a", 64)
	one := `{"name":"web:1","digest":"sha256:` + hex + `","bytes":1,"oci":"sha256:` + hex +
		`","process":{"argv":["/x"]},"profile":"app","imported":"2026-11-25T00:00:00Z"}`
	const run = `"by":"x","state":"done","created":"2026-11-25T00:00:00Z","updated":"2026-11-25T00:00:00Z"`
	for name, c := range map[string]struct{ doc, want string }{
		"good": {`{"version":1,"templates":[` + one +
			`],"imports":[{"name":"a:1","state":"failed","since":"2026-11-25T00:00:00Z"}]}`, ""},
		"a newer registry's": {`{"version":1,"templates":[` + strings.Replace(one, `"bytes"`, `"new":[1],"bytes"`, 1) + `],"more":{}}`,
			""},
		"version":               {`{"version":2,"templates":[]}`, "version 2"},
		"no digest":             {`{"version":1,"templates":[` + strings.Replace(one, hex, "", 1) + `]}`, "templates[0]"},
		"import without a name": {`{"version":1,"templates":[],"imports":[{}]}`, "imports[0]"},
		"run": {`{"version":1,"templates":[],"runs":[{"id":"op-0123456789abcdef","name":"a:1",` + run + `,"new":1}]}`,
			""},
		"run without an id": {`{"version":1,"templates":[],"runs":[{"id":"","name":"a:1",` + run + `}]}`, "runs[0]: operation id"},
		"run without a name": {`{"version":1,"templates":[],"runs":[{"id":"op-0123456789abcdef","name":"",` + run + `}]}`,
			"runs[0]: template name"},
		"run with another id": {`{"version":1,"templates":[],"runs":[{"id":"op-0123456789abcdef/x","name":"a:1",` + run + `}]}`,
			"runs[0]: operation id"},
		"trailing": {`{"version":1,"templates":[]} x`, "behind"},
	} {
		_, err := DecodeTemplates(strings.NewReader(c.doc))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	if u, err := DecodeUsed(strings.NewReader(`{"uses":[{"name":"a:1","digest":"sha256:` + hex +
		`","by":"node 100","more":2}],"new":1}`)); err != nil || len(u.Uses) != 1 {
		t.Error(u, err)
	}
	for _, doc := range []string{`{"uses":[{"digest":"../x","by":"y"}]}`, `{"uses":[{"by":"y"}]}`, `{"uses":[{"name":"a:1"}]}`} {
		if _, err := DecodeUsed(strings.NewReader(doc)); err == nil {
			t.Errorf("taken: %s", doc)
		}
	}
}

// TestUsers: a name can't go for whoever names it, its image not for whoever runs it, unless another name keeps it.
func TestUsers(t *testing.T) {
	u := Used{Uses: []Use{{Name: "a:1", Digest: "x", By: "layer"}, {Name: "a:1", Digest: "x", By: "node"},
		{Name: "a:1", Digest: "old", By: "old node"}, {Digest: "x", By: "node"}}}
	for _, c := range []struct {
		name      string
		image     string
		elsewhere bool
		want      string
	}{
		{"a:1", "x", false, "layer node old node"}, {"a:1", "", true, "layer node old node"}, {"a:2", "x", false, "layer node"},
		{"a:2", "x", true, ""}, {"a:2", "old", false, "old node"}, {"b:1", "", false, ""}, {"b:1", "y", false, ""},
	} {
		if got := strings.Join(u.Users(wire.TemplateName(c.name), wire.Digest(c.image), c.elsewhere), " "); got != c.want {
			t.Errorf("%s %s %v: got %q, want %q", c.name, c.image, c.elsewhere, got, c.want)
		}
	}
}
