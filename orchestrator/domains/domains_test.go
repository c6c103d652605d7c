package domains

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// bench is a desk with its clock and its DNS, and environments shop and blog of acme, other of globex.
type bench struct {
	*Desk
	t   *testing.T
	now time.Time
	dns map[string][]string
	err error
}

func opened(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), dns: map[string][]string{}}
	b.Desk = &Desk{Store: s, Keys: bytes.Repeat([]byte("k"), 32), Proof: bytes.Repeat([]byte("p"), 32),
		Now: func() time.Time { return b.now },
		TXT: func(_ context.Context, name string) ([]string, error) { return b.dns[name], b.err }}
	b.put(func(tx *store.Tx) {
		store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test"})
		for env, account := range map[wire.EnvName]wire.Account{"shop": "acme", "blog": "acme", "other": "globex"} {
			store.Envs.Put(tx, string(env), store.Environment{Spec: operator.EnvironmentSpec{Version: 1, Name: env}, Account: account,
				Want: store.WantRunning, Created: b.now})
		}
	})
	return b
}

func (b *bench) put(f func(*store.Tx)) {
	b.t.Helper()
	if _, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) refused(err error, code operator.Code, text string) {
	b.t.Helper()
	var p *operator.Problem
	if !errors.As(err, &p) || p.Code != code || !strings.Contains(p.Error(), text) || p.Next == "" {
		b.t.Errorf("got %v, want %s with %q and a next step", err, code, text)
	}
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// pair is a certificate for names that lasts so long, signed by itself.
func (b *bench) pair(lasts time.Duration, names ...string) operator.UploadCertificate {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b.ok(err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: b.now.Add(-time.Hour), NotAfter: b.now.Add(lasts)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	b.ok(err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	b.ok(err)
	return operator.UploadCertificate{Chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key: secret.Text(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))}
}

// TestNamesHaveALimit: a name over the limit of its account is refused before it is the environment's, with the limit named; what takes
// none more is not, and a name that goes makes room.
func TestNamesHaveALimit(t *testing.T) {
	b, ctx := opened(t), t.Context()
	b.put(func(tx *store.Tx) {
		store.Accounts.Put(tx, "acme", store.Account{Name: "acme", State: account.Active, Limits: account.Limits{account.Domains: 2}})
	})
	set := func(env wire.EnvName, name string) error { return b.Set(ctx, env, "acme", name, front.Scheme{}) }
	b.ok(set("shop", "shop.demo.test")) // each environment has its own
	b.ok(set("shop", "www.shop.demo.test"))
	b.ok(set("blog", "www.blog.demo.test"))
	over := "limit domains: account acme may have 2, 2 are taken, and this takes 1 more"
	b.refused(set("blog", "more.blog.demo.test"), operator.Exhausted, over)
	if store.Domains.Find(b.Store.View(), "more.blog.demo.test") != nil {
		t.Error("it is there all the same")
	}
	b.refused(b.Set(ctx, "blog", "admin", "more.blog.demo.test", front.Scheme{}), operator.Exhausted, over) // whoever asks: it is acme's
	b.ok(b.Set(ctx, "shop", "acme", "www.shop.demo.test", front.Scheme{Redirect: true}))
	b.ok(b.Upload(ctx, "blog", "acme", "blog.demo.test", b.pair(time.Hour, "blog.demo.test")))
	b.ok(b.Delete(ctx, "shop", "acme", "www.shop.demo.test"))
	b.ok(set("blog", "more.blog.demo.test"))
	b.ok(b.Set(ctx, "other", "globex", "www.other.demo.test", front.Scheme{}))
}

// TestWhoMayHaveAName: a name is for who proves it, one environment's at a time, and of another's name nobody learns whose it is.
func TestWhoMayHaveAName(t *testing.T) {
	b, ctx := opened(t), t.Context()
	set := func(env wire.EnvName, account wire.Account, name string) error {
		return b.Set(ctx, env, account, name, front.Scheme{Redirect: true})
	}
	for _, bad := range []string{"", "A.example", "a..b", "localhost", "192.0.2.1", "a_b.example", "x.example.",
		strings.Repeat("a.", 125) + "aaaa", "shop.example/x"} {
		b.refused(set("shop", "acme", bad), operator.Invalid, "is no host name")
	}
	b.refused(set("shop", "acme", "*.shop.example"), operator.Invalid,
		"is asked for the cluster's own domain alone")
	b.refused(set("shop", "globex", "shop.example"), operator.NotFound, "no such environment")
	b.refused(set("nosuch", "acme", "shop.example"), operator.NotFound, "no such environment")
	for _, cluster := range []string{"demo.test", "other.demo.test", "panel.demo.test", "x.other.demo.test"} {
		b.refused(set("shop", "acme", cluster), operator.Denied, "the cluster's")
	}
	b.refused(b.Set(ctx, "shop", "acme", "shop.demo.test", front.Scheme{HSTS: -1}), operator.Invalid, "hsts")
	b.ok(set("shop", "acme", "shop.demo.test"))
	b.ok(set("shop", "acme", "www.shop.demo.test"))

	b.refused(set("shop", "acme", "shop.example"), operator.Denied, "nothing in the DNS")
	proof := b.proof("acme", "shop.example")
	var p *operator.Problem
	if errors.As(set("shop", "acme", "shop.example"), &p); !strings.Contains(p.Next, "_hardnode.shop.example with the text "+proof) {
		t.Errorf("the refusal does not say what to do: %s", p.Next)
	}
	b.err = errors.New("no name server answers")
	b.refused(set("shop", "acme", "shop.example"), operator.Denied, "no name server answers")
	b.err = nil
	b.dns["_hardnode.shop.example"] = []string{b.proof("globex", "shop.example"), b.proof("acme", "www.shop.example"), "x" + proof}
	b.refused(set("shop", "acme", "shop.example"), operator.Denied, "nothing in the DNS")
	b.dns["_hardnode.shop.example"] = []string{"v=spf1", proof}
	b.ok(set("shop", "acme", "shop.example"))
	b.refused(set("other", "globex", "shop.example"), operator.Conflict, "another environment's")
	b.refused(set("blog", "acme", "shop.example"), operator.Conflict, "environment shop's")
	b.refused(set("other", "admin", "shop.example"), operator.Conflict, "environment shop's")
	b.refused(b.Delete(ctx, "other", "globex", "shop.example"), operator.NotFound, "no such name")
	b.refused(b.Upload(ctx, "other", "globex", "shop.example", b.pair(time.Hour, "shop.example")), operator.Conflict,
		"another environment's")
	b.refused(b.Upload(ctx, "other", "globex", "bank.example", b.pair(time.Hour, "bank.example")), operator.NotFound, "no such name")
	b.refused(b.Upload(ctx, "other", "globex", "shop.demo.test", b.pair(time.Hour, "shop.demo.test")), operator.Conflict,
		"another environment's")
	b.refused(b.Upload(ctx, "other", "globex", "blog.demo.test", b.pair(time.Hour, "blog.demo.test")), operator.NotFound, "no such name")
	b.ok(set("other", "admin", "free.example")) // those who run the cluster prove nothing

	// what was an environment's is nobody's when it is gone, and not that of the next one with its name
	b.put(func(tx *store.Tx) {
		store.Envs.Put(tx, "shop", store.Environment{Spec: operator.EnvironmentSpec{Version: 1, Name: "shop"}, Account: "globex",
			Want: store.WantRunning, Created: b.now.Add(time.Hour)})
	})
	if got, err := b.List("shop", "globex"); err != nil || len(got.Domains) != 1 || got.Domains[0].Redirect {
		t.Errorf("the next environment of the name has %+v, %v", got, err)
	}
	if n := b.Names(b.Store.View(), "shop"); len(n) != 0 {
		t.Errorf("the next environment of the name is served under %v", n)
	}
	b.dns["_hardnode.shop.example"] = []string{b.proof("globex", "shop.example")}
	b.ok(set("other", "globex", "shop.example"))
	b.ok(b.forget(ctx))
	if n := store.Domains.Len(b.Store.View()); n != 2 {
		t.Errorf("there are %d records of names, want free.example and shop.example", n)
	}
}

// TestManyNames: an environment has no more names than it may.
func TestManyNames(t *testing.T) {
	b := opened(t)
	for i := range front.MaxNames {
		b.ok(b.Set(t.Context(), "shop", "acme", "n"+string(rune('a'+i/26))+string(rune('a'+i%26))+".shop.demo.test", front.Scheme{}))
	}
	b.refused(b.Set(t.Context(), "shop", "acme", "one-more.shop.demo.test", front.Scheme{}), operator.Exhausted, "may have no more")
	b.ok(b.Set(t.Context(), "shop", "acme", "naa.shop.demo.test", front.Scheme{HSTS: 1}))
}

// TestCertificates: what is uploaded is served, shown without its key, stored sealed, warned of before its end, and can be taken back.
func TestCertificates(t *testing.T) {
	b, ctx := opened(t), t.Context()
	b.ok(b.renew(ctx))
	b.ok(b.Set(ctx, "shop", "admin", "shop.example", front.Scheme{HSTS: 7}))
	b.refused(b.Upload(ctx, "shop", "acme", "shop.example", b.pair(time.Hour, "other.example")), operator.Invalid,
		"does not name shop.example")
	b.refused(b.Upload(ctx, "shop", "acme", "..", b.pair(time.Hour, "other.example")), operator.Invalid, "no host name")
	in := b.pair(60*24*time.Hour, "shop.example")
	b.ok(b.Upload(ctx, "shop", "acme", "shop.example", in))
	names := b.Names(b.Store.View(), "shop")
	block, _ := pem.Decode([]byte(in.Key.Reveal()))
	if len(names) != 1 || names[0].HSTS != 7 || names[0].Certificate == nil ||
		!bytes.Equal(names[0].Certificate.Key.Reveal(), block.Bytes) {
		t.Fatalf("the resolver is told %+v", names)
	}
	rec, _ := store.Domains.Get(b.Store.View(), "shop.example")
	raw, err := json.Marshal(rec)
	b.ok(err)
	text, err := json.Marshal(block.Bytes)
	b.ok(err)
	if bytes.Contains(raw, text[1:len(text)-1]) {
		t.Error("the key is in the store as it is")
	}
	list := func() operator.Domains {
		t.Helper()
		got, err := b.List("shop", "acme")
		b.ok(err)
		return got
	}
	got := list().Domains
	if len(got) != 2 || !got[0].Own || got[0].Name != "shop.demo.test" || got[0].Certificate == nil || got[0].Certificate.Uploaded ||
		!got[1].Certificate.Uploaded || got[1].Certificate.Warning != "" {
		t.Errorf("people are shown %+v", got)
	}
	if b.look(); len(b.Alarms()) != 0 {
		t.Errorf("there are alarms %q", b.Alarms())
	}
	b.now = b.now.Add(40 * 24 * time.Hour)
	if b.look(); len(b.Alarms()) != 1 || !strings.Contains(b.Alarms()[0], "shop.example ends at 2027-01-27") {
		t.Errorf("20 days before the end: alarms %q", b.Alarms())
	}
	if w := list().Domains[1].Certificate.Warning; !strings.Contains(w, "20 days") {
		t.Errorf("20 days before the end: %q", w)
	}
	b.now = b.now.Add(30 * 24 * time.Hour)
	if b.look(); !strings.Contains(b.Alarms()[0], "has ended") || len(b.Names(b.Store.View(), "shop")) != 1 {
		t.Errorf("after the end: alarms %q; it is served on", b.Alarms())
	}
	b.ok(b.Drop(ctx, "shop", "acme", "shop.example"))
	b.refused(b.Drop(ctx, "shop", "acme", "shop.example"), operator.NotFound, "no certificate was uploaded")
	if c := list().Domains[1].Certificate; c != nil {
		t.Errorf("after it was taken back: %+v", c)
	}
	b.ok(b.Upload(ctx, "shop", "acme", "shop.demo.test", b.pair(time.Hour, "shop.demo.test"))) // its own name needs no Set
	b.ok(b.Delete(ctx, "shop", "acme", "shop.example"))
	b.refused(b.Delete(ctx, "shop", "acme", "shop.example"), operator.NotFound, "no such name")
	if got := list().Domains; len(got) != 1 || !got[0].Certificate.Uploaded {
		t.Errorf("in the end there are %+v", got)
	}
	b.Keys = bytes.Repeat([]byte("x"), 32) // another issuing key
	if n := b.Names(b.Store.View(), "shop"); len(n) != 1 || n[0].Certificate != nil {
		t.Errorf("with another key the resolver is told %+v", n)
	}
}

// TestClusterCertificate: it is issued once, renewed in time, and alarmed of when it is not; the CA that browsers know stays.
func TestClusterCertificate(t *testing.T) {
	b, ctx := opened(t), t.Context()
	if b.Default(b.Store.View()) != nil {
		t.Error("there is a certificate before one was issued")
	}
	_, err := b.WebCA()
	b.refused(err, operator.Unavailable, "none yet")
	b.ok(b.renew(ctx))
	first := b.Default(b.Store.View())
	ca, err := b.WebCA()
	b.ok(err)
	b.ok(b.renew(ctx))
	if first == nil || b.Default(b.Store.View()) != first {
		t.Fatal("it is issued again for no reason")
	}
	b.now = b.now.Add(61 * 24 * time.Hour)
	if b.look(); len(b.Alarms()) != 0 {
		t.Errorf("a day after renewal was due: %q", b.Alarms())
	}
	late := b.now
	b.now = b.now.Add(20 * 24 * time.Hour)
	if b.look(); len(b.Alarms()) != 1 || !strings.Contains(b.Alarms()[0], "was not renewed") {
		t.Errorf("nine days before the end: %q", b.Alarms())
	}
	b.now = late
	b.ok(b.renew(ctx))
	second := b.Default(b.Store.View())
	again, err := b.WebCA()
	b.ok(err)
	if second == first || again.PEM != ca.PEM {
		t.Error("it was not renewed, or by another CA")
	}
	b.now = b.now.AddDate(-5, 0, 0) // a clock that has lost its battery
	b.ok(b.renew(ctx))
	if again, err = b.WebCA(); err != nil || again.PEM != ca.PEM || b.Default(b.Store.View()) == nil {
		t.Errorf("a wrong clock took the CA: %v", err)
	}
	b.put(func(tx *store.Tx) { store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "next.test"}) })
	b.ok(b.renew(ctx))
	if again, err = b.WebCA(); err != nil || again.Domain != "next.test" {
		t.Errorf("of another domain: %+v, %v", again, err)
	}
}
