package hostapi

import (
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// TestCertificatesAreTold: the cluster's certificate and those of names reach resolvers, by whole documents and by changes, and a change of
// anything else leaves them as they are.
func TestCertificatesAreTold(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(f func(*store.Tx)) *store.View {
		t.Helper()
		if _, err := s.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		return s.View()
	}
	certificate := func(text string) *host.Certificate {
		return &host.Certificate{Chain: [][]byte{[]byte(text)}, Key: []byte("k")}
	}
	shared := certificate("one")
	var names []host.SiteName
	r := &Routes{Cookies: []byte("cookies"), Default: func(*store.View) *host.Certificate { return shared },
		Names: func(*store.View, wire.EnvName) []host.SiteName { return names }}
	environment := func(name wire.EnvName) func(*store.Tx) {
		return func(tx *store.Tx) {
			store.Envs.Put(tx, string(name), store.Environment{Spec: operator.EnvironmentSpec{Version: 1, Name: name,
				Layers: []operator.LayerSpec{{Name: "cp"}}}, Want: store.WantRunning})
		}
	}
	whole, changing := &listener{}, &listener{changes: true}
	hear := func(v *store.View, moves []live.Move) {
		t.Helper()
		r.take(v, moves, true)
		whole.hear(t, r)
		changing.hear(t, r)
	}
	check := func(when, cert string, n int) {
		t.Helper()
		for _, l := range []*listener{whole, changing} {
			got := 0
			for _, site := range l.doc.Sites {
				got += len(site.Names)
			}
			if l.doc.Default == nil || string(l.doc.Default.Chain[0]) != cert || string(l.doc.Cookies.Reveal()) != "cookies" || got != n {
				t.Errorf("%s, changes %v: certificate %v, %d names; want %q, %d", when, l.changes, l.doc.Default, got, cert, n)
			}
		}
	}
	hear(put(func(tx *store.Tx) {
		store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test"})
		environment("a")(tx)
	}), nil)
	check("at first", "one", 0)
	hear(put(environment("b")), nil)
	check("after another environment", "one", 0)
	shared = certificate("two")
	hear(put(func(*store.Tx) {}), nil)
	check("after a renewal", "two", 0)
	names = []host.SiteName{{Name: "shop.example", Certificate: certificate("shop")}}
	hear(put(func(tx *store.Tx) {
		store.Domains.Put(tx, "shop.example", store.Domain{Name: "shop.example", Env: "a"})
	}), nil)
	check("after a name", "two", 1)
	names = nil
	hear(put(func(tx *store.Tx) { store.Domains.Delete(tx, "shop.example") }), nil)
	check("without it again", "two", 0)
	if changing.wholes != 1 {
		t.Errorf("a resolver that takes changes was sent %d whole documents, want 1", changing.wholes)
	}
}
