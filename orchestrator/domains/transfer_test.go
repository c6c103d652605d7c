package domains

import (
	"bytes"
	"encoding/pem"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/store"
)

// TestTransferred: what an environment is served under goes to another account with it, also what was issued, which opens for that account
// from then on and for no other; an order that the old one began ends, and so does what let its people in during maintenance. What is of
// others stays, and a certificate that can't be opened is asked for anew.
func TestTransferred(t *testing.T) {
	b, ctx := opened(t), t.Context()
	key := secret.Bytes("a private key")
	der, _ := pem.Decode([]byte(b.pair(90*24*time.Hour, "shop.example").Chain))
	issue := func(tx *store.Tx, name string, env wire.EnvName, of wire.Account, as string) {
		e, _ := store.Envs.Read(tx, string(env))
		store.Domains.Put(tx, name, store.Domain{Name: name, Env: env, Since: e.Created, At: b.now})
		sealed, err := b.Keys.Seal(as, key)
		b.ok(err)
		store.Issues.Put(tx, name, store.Issue{Name: name, Account: of, Renew: b.now.Add(time.Hour),
			Certificate: &store.Certificate{Chain: [][]byte{der.Bytes}, Key: sealed}, Order: &store.Order{URL: "https://ca.example/1"}})
	}
	b.ok(b.SetFront(ctx, "shop", "acme", front.Settings{Maintenance: true, PerSource: 7}, ""))
	_, err := b.Bypass(ctx, "shop", "acme")
	b.ok(err)
	b.ok(b.Upload(ctx, "shop", "acme", "shop.demo.test", b.pair(90*24*time.Hour, "shop.demo.test")))
	b.put(func(tx *store.Tx) {
		issue(tx, "shop.example", "shop", "acme", certs.IssuedAs("shop.example", "acme"))
		issue(tx, "damaged.example", "shop", "acme", "something else")
		issue(tx, "blog.example", "blog", "acme", certs.IssuedAs("blog.example", "acme"))
	})
	b.put(func(tx *store.Tx) {
		e, _ := store.Envs.Read(tx, "shop")
		b.ok(b.Transferred(tx, e, "globex"))
		e.Account = "globex"
		store.Envs.Put(tx, "shop", e)
	})
	v := b.Store.View()
	served := map[string]bool{}
	for _, env := range []wire.EnvName{"shop", "blog"} {
		for _, n := range b.Names(v, env) {
			served[n.Name] = n.Certificate != nil && (n.Name == "shop.demo.test" || bytes.Equal(n.Certificate.Key.Reveal(), key.Reveal()))
		}
	}
	for name, want := range map[string]bool{"shop.example": true, "shop.demo.test": true, "blog.example": true, "damaged.example": false} {
		if got, there := served[name]; got != want || !there {
			t.Errorf("%s is served with its certificate: %v", name, got)
		}
	}
	is, _ := store.Issues.Get(v, "shop.example")
	if is.Account != "globex" || is.Order != nil || !is.Renew.Equal(b.now.Add(time.Hour)) {
		t.Errorf("what was issued is %+v", is)
	}
	if _, err := b.Keys.Open(certs.IssuedAs("shop.example", "acme"), is.Certificate.Key); err == nil {
		t.Error("it opens for the old account")
	}
	if is := store.Issues.Find(v, "blog.example"); is.Account != "acme" || is.Order == nil {
		t.Errorf("that of another environment is %+v", is)
	}
	if store.Issues.Find(v, "damaged.example") != nil {
		t.Error("what can't be opened is kept")
	}
	if rec, _ := store.Fronts.Get(v, "shop"); rec.Pass != nil || rec.Settings.PerSource != 7 || !rec.Settings.Maintenance {
		t.Errorf("it is served as %+v", rec)
	}
}
