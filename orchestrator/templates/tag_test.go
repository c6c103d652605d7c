package templates

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// tagging is a registry that gives tags, and knows what it was asked. One that is old does not know how.
type tagging struct {
	registry
	old bool
	got []host.TagRequest
}

func (r *tagging) RoundTrip(q *http.Request) (*http.Response, error) {
	answer := func(code int, v any) (*http.Response, error) {
		raw, err := json.Marshal(v)
		return &http.Response{StatusCode: code, Body: io.NopCloser(bytes.NewReader(raw))}, err
	}
	switch {
	case q.URL.Path == host.PathUsed:
		return answer(204, nil)
	case q.URL.Path != host.PathTag:
		return r.registry.RoundTrip(q)
	case r.old:
		return &http.Response{StatusCode: 404, Status: "404 Not Found", Body: io.NopCloser(strings.NewReader("404 page not found\n"))}, nil
	}
	ask, err := host.DecodeTagRequest(q.Body)
	if err != nil {
		return nil, err
	}
	if ask.Tag == "2" && !ask.Move {
		return answer(409, operator.NewProblem(operator.Conflict, "templates/web:2", "there is another image by this name", "use --move"))
	}
	r.got = append(r.got, ask)
	t := r.list[0]
	t.Name = ask.Name()
	r.list = append(r.list, t)
	return answer(200, t)
}

// TestTagAsked: what an account may tag, and how the registry is asked.
func TestTagAsked(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	d, p := wire.DigestOf([32]byte{1}), host.Process{Argv: []string{"/a"}}
	r := &tagging{registry: registry{list: []host.Template{{Image: host.Image{Name: "web:1", Digest: d, Bytes: 1}, OCI: d, Process: p,
		Profile: host.ProfileApp, Account: "acme"}, {Image: host.Image{Name: "web:theirs", Digest: wire.DigestOf([32]byte{2}), Bytes: 1},
		OCI: wire.DigestOf([32]byte{2}), Process: p, Profile: host.ProfileApp, Account: "shop"}}}}
	l := &List{Store: st, Registry: "registry:7445"}
	l.mu.client = &http.Client{Transport: r}
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		account    wire.Account
		name, want string
		ask        operator.TagTemplate
	}{
		{"acme", "web:9", "not_found there is no such template", operator.TagTemplate{Tag: "stable"}},
		{"shop", "web:1", "not_found there is no such template", operator.TagTemplate{Tag: "stable"}},
		{"acme", "web:1", `invalid "" is no tag`, operator.TagTemplate{}},
		{"acme", "web:1", `invalid "a b" is no tag`, operator.TagTemplate{Tag: "a b"}},
		{"acme", "web:1", `invalid "other:2" is no tag`, operator.TagTemplate{Tag: "other:2"}},
		{"acme", "web:1", `is no tag`, operator.TagTemplate{Tag: strings.Repeat("a", 65)}},
		{"acme", "web@12", "invalid want NAME@ and a digest", operator.TagTemplate{Tag: "a"}},
		{"acme", "web:1", "conflict it is there already", operator.TagTemplate{Tag: "theirs", Move: true}},
		{"acme", "web:1", "conflict there is another image by this name", operator.TagTemplate{Tag: "2"}},
		{"acme", "web:1", "", operator.TagTemplate{Tag: "2", Move: true}},
		{"acme", "web@" + d.Hex()[:12], "", operator.TagTemplate{Tag: "stable"}},
	} {
		got, err := l.Tag(t.Context(), q.account, q.name, q.ask)
		if q.want == "" {
			if err != nil || got.Name != wire.TemplateName("web:"+q.ask.Tag) || got.Digest != d || len(got.Others) == 0 {
				t.Errorf("%s tags %s %+v: got %+v, %v", q.account, q.name, q.ask, got, err)
			}
			continue
		}
		p, ok := err.(*operator.Problem)
		if !ok || !strings.Contains(string(p.Code)+" "+p.Reason, q.want) || p.Next == "" {
			t.Errorf("%s tags %s %+v: got %+v, want %q", q.account, q.name, q.ask, err, q.want)
		}
	}
	if len(r.got) != 2 || r.got[0] != (host.TagRequest{Of: "web:1", Tag: "2", Move: true}) ||
		r.got[1] != (host.TagRequest{Of: "web@" + string(d), Tag: "stable"}) {
		t.Errorf("the registry was asked %+v", r.got)
	}
	r.old = true
	_, err = l.Tag(t.Context(), "acme", "web:1", operator.TagTemplate{Tag: "new"})
	if p, ok := err.(*operator.Problem); !ok || p.Code != operator.Unavailable || !strings.Contains(p.Reason, "its version does not know") {
		t.Errorf("an older registry: %v", err)
	}
}
