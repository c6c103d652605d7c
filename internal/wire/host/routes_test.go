package host

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
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
		{"change", strings.Replace(good, `"revision":7`, `"revision":7,"from":6,"gone":["old"]`, 1), ""},
		{"change of itself", strings.Replace(good, `"revision":7`, `"revision":7,"from":7`, 1), "lead on"},
		{"change of what comes later", strings.Replace(good, `"revision":7`, `"revision":7,"from":8`, 1), "lead on"},
		{"change of a negative one", strings.Replace(good, `"revision":7`, `"revision":7,"from":-1`, 1), "lead on"},
		{"no number", strings.Replace(good, `101`, `0`, 1), "no number"},
	} {
		_, err := DecodeRoutes(strings.NewReader(c.doc))
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// TestRoutesAfter: a change leads from the document it names to the next one, and from no other.
func TestRoutesAfter(t *testing.T) {
	site := func(env, domain string) Site {
		return Site{Env: wire.EnvName(env), Domain: domain + ".test", Backends: []Backend{}}
	}
	old := Routes{Version: 1, Revision: 7, Sites: []Site{site("a", "a"), site("b", "b"), site("c", "c")}}
	for _, c := range []struct {
		name   string
		change Routes
		want   string // the sites' domains; "": it does not fit
	}{
		{"whole", Routes{Sites: []Site{site("z", "z")}}, "z"},
		{"nothing", Routes{From: 7}, "a b c"},
		{"one more", Routes{From: 7, Sites: []Site{site("d", "d")}}, "a b c d"},
		{"another one", Routes{From: 7, Sites: []Site{site("b", "x")}}, "a x c"},
		{"one less", Routes{From: 7, Gone: []wire.EnvName{"b"}}, "a c"},
		{"one less that was not there", Routes{From: 7, Gone: []wire.EnvName{"z"}}, "a b c"},
		{"two swap domains", Routes{From: 7, Sites: []Site{site("a", "b"), site("b", "a")}}, "b a c"},
		{"one takes the domain of one that goes", Routes{From: 7, Sites: []Site{site("d", "a")}, Gone: []wire.EnvName{"a"}}, "b c d:a"},
		{"one takes the domain of one that stays", Routes{From: 7, Sites: []Site{site("d", "a")}}, ""},
		{"of another document", Routes{From: 6}, ""},
	} {
		c.change.Version, c.change.Revision = 1, 9
		next, err := c.change.After(old)
		if (c.want == "") != (err != nil) || err != nil && !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, s := range next.Sites {
			got = append(got, strings.TrimSuffix(s.Domain, ".test"))
		}
		want := strings.Fields(strings.ReplaceAll(c.want, "d:", ""))
		if err == nil && (!slices.Equal(got, want) || next.Revision != 9 || next.From != 0 || next.Validate() != nil) {
			t.Errorf("%s: got %v of %d, which leads on from %d; want %v (%v)", c.name, got, next.Revision, next.From, want, next.Validate())
		}
	}
	if old.Sites[1].Domain != "b.test" || len(old.Sites) != 3 {
		t.Errorf("the document that was changed is another one: %+v", old)
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
