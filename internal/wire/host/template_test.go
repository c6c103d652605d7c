package host

import (
	"strings"
	"testing"
)

func TestDecodeTemplatesAndImports(t *testing.T) {
	hex := strings.Repeat("a", 64)
	one := `{"name":"web:1","digest":"sha256:` + hex + `","bytes":1,"oci":"sha256:` + hex + `","process":{"argv":["/x"]},"profile":"app","imported":"2026-11-25T00:00:00Z"}`
	for name, c := range map[string]struct{ doc, want string }{
		"good":                  {`{"version":1,"templates":[` + one + `],"imports":[{"name":"a:1","state":"failed","since":"2026-11-25T00:00:00Z"}]}`, ""},
		"a newer registry's":    {`{"version":1,"templates":[` + strings.Replace(one, `"bytes"`, `"new":[1],"bytes"`, 1) + `],"more":{}}`, ""},
		"version":               {`{"version":2,"templates":[]}`, "version 2"},
		"no digest":             {`{"version":1,"templates":[` + strings.Replace(one, hex, "", 1) + `]}`, "templates[0]"},
		"import without a name": {`{"version":1,"templates":[],"imports":[{}]}`, "imports[0]"},
		"trailing":              {`{"version":1,"templates":[]} x`, "behind"},
	} {
		_, err := DecodeTemplates(strings.NewReader(c.doc))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := DecodeUsed(strings.NewReader(`{"digests":["sha256:` + hex + `"],"new":1}`)); err != nil {
		t.Error(err)
	}
	if _, err := DecodeUsed(strings.NewReader(`{"digests":["../x"]}`)); err == nil {
		t.Error("a digest that is none was taken")
	}
}
