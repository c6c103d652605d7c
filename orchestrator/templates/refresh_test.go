package templates

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// registry answers with a list, and counts how often.
type registry struct {
	asked atomic.Int64
	list  []host.Template
}

func (r *registry) RoundTrip(*http.Request) (*http.Response, error) {
	r.asked.Add(1)
	raw, err := json.Marshal(host.Templates{Version: 1, Templates: append([]host.Template{}, r.list...)})
	return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(raw))}, err
}

// TestRefresh: who asks gets a list that was read after it asked, however short before another one was read; a reading that began while it
// waited will do.
func TestRefresh(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	r := &registry{}
	l := &List{Store: st, Registry: "registry:7445"}
	l.mu.client = &http.Client{Transport: r}
	for range 2 {
		if err := l.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.asked.Load(); n != 2 {
		t.Errorf("asked twice, one after the other: the registry was asked %d times, want 2", n)
	}
	l.mu.began = l.mu.began.Add(time.Hour) // a reading that began while this one waited for its turn
	if err := l.Refresh(t.Context()); err != nil || r.asked.Load() != 2 {
		t.Errorf("a reading that began later is not shared: %d, %v", r.asked.Load(), err)
	}
}

// TestAccount: a template of a registry that says nothing of accounts is the admins'; what a registry says is kept.
func TestAccount(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "s"), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	d, p := wire.DigestOf([32]byte{1}), host.Process{Argv: []string{"/a"}}
	r := &registry{list: []host.Template{{Image: host.Image{Name: "a:1", Digest: d, Bytes: 1}, OCI: d, Process: p,
		Profile: host.ProfileApp}, {Image: host.Image{Name: "b:1", Digest: d, Bytes: 1}, OCI: d, Process: p, Profile: host.ProfileApp,
		Account: "acme"}}}
	l := &List{Store: st, Registry: "registry:7445"}
	l.mu.client = &http.Client{Transport: r}
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[wire.TemplateName]wire.Account{"a:1": "admin", "b:1": "acme"} {
		if got, ok := store.Templates.Get(st.View(), store.TemplateKey(name)); !ok || got.Account != want {
			t.Errorf("template %s is %q's (%v), want %s's", name, got.Account, ok, want)
		}
	}
	r.list[0].Account = "no name"
	if err := l.Refresh(t.Context()); err == nil {
		t.Error("an account that is none was taken from the registry")
	}
}
