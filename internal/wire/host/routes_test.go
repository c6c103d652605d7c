package host

import (
	"strings"
	"testing"
)

func TestDecodeRoutes(t *testing.T) {
	good := `{"version":1,"revision":7,"sites":[{"env":"hello","domain":"hello.demo.test","running":true,"backends":[{"ctid":101,"addr":"10.96.1.2:80","host":"h-0123456789ab"}]}]}`
	for _, c := range []struct{ name, doc, want string }{
		{"good", good, ""},
		{"no sites", `{"version":1,"revision":0,"sites":null}`, ""},
		{"empty", ``, "it is empty"},
		{"trailing", good + "{}", "more behind"},
		{"of a later version", strings.Replace(good, `"running"`, `"runs":1,"running"`, 1), ""},
		{"missing field", strings.Replace(good, `"running"`, `"runs"`, 1), `"sites[0].running" is missing`},
		{"version", strings.Replace(good, `"version":1`, `"version":2`, 1), "version 2"},
		{"revision", strings.Replace(good, `"revision":7`, `"revision":-7`, 1), "negative"},
		{"env", strings.Replace(good, `"hello"`, `"Hello!"`, 1), "sites[0]"},
		{"upper-case domain", strings.Replace(good, `hello.demo`, `Hello.demo`, 1), "domain"},
		{"trailing dot", strings.Replace(good, `demo.test`, `demo.test.`, 1), "domain"},
		{"port in domain", strings.Replace(good, `demo.test`, `demo.test:80`, 1), "domain"},
		{"twice", strings.Replace(good, `}]}]}`, `}]},{"env":"two","domain":"hello.demo.test","running":false,"backends":null}]}`, 1),
			"twice"},
		{"no port", strings.Replace(good, `10.96.1.2:80`, `10.96.1.2:0`, 1), "no address"},
		{"unspecified", strings.Replace(good, `10.96.1.2:80`, `0.0.0.0:80`, 1), "no address"},
		{"check", strings.Replace(good, `"running":true`, `"running":true,"check":"http://x"`, 1), "want a path"},
		{"no number", strings.Replace(good, `101`, `0`, 1), "no number"},
	} {
		_, err := DecodeRoutes(strings.NewReader(c.doc))
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestDecodeTemplates(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	good := `{"version":1,"templates":[{"name":"nginx:1.22","digest":"sha256:` + hex + `","bytes":4096,"oci":"sha256:` + hex +
		`","process":{"argv":["nginx"]},"profile":"app","imported":"2026-11-22T00:00:00Z"}]}`
	for _, c := range []struct{ name, doc, want string }{
		{"good", good, ""},
		{"name", strings.Replace(good, "nginx:1.22", "../etc", 1), "template name"},
		{"digest", strings.Replace(good, hex, "0b", 1), "digest"},
		{"no bytes", strings.Replace(good, "4096", "0", 1), "0 bytes"},
		{"no process", strings.Replace(good, `["nginx"]`, `[]`, 1), "no process"},
		{"profile", strings.Replace(good, `"app"`, `"root"`, 1), "profile"},
	} {
		_, err := DecodeTemplates(strings.NewReader(c.doc))
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func FuzzDecodeRoutes(f *testing.F) {
	f.Add(`{"version":1,"revision":7,"sites":[{"env":"hello","domain":"hello.demo.test","running":true,"backends":[{"ctid":101,"addr":"10.96.1.2:80","host":"h-0123456789ab"}]}]}`)
	f.Fuzz(func(t *testing.T, doc string) {
		r, err := DecodeRoutes(strings.NewReader(doc))
		if err == nil && r.Validate() != nil {
			t.Errorf("accepted routes that don't validate: %q", doc)
		}
	})
}

func FuzzDecodeTemplates(f *testing.F) {
	f.Add(`{"version":1,"templates":[]}`)
	f.Fuzz(func(t *testing.T, doc string) {
		r, err := DecodeTemplates(strings.NewReader(doc))
		for _, e := range r.Templates {
			if err == nil && e.Validate() != nil {
				t.Errorf("accepted a template that doesn't validate: %q", doc)
			}
		}
	})
}
