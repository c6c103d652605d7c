package certify

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/store"
)

// bench is a desk with its clock, and environments shop and blog of acme, other of globex; a CA is named that does not answer.
type bench struct {
	*Desk
	t   *testing.T
	now time.Time
}

func opened(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{t: t, now: moment}
	b.Desk = New(&Desk{Store: s, Keys: bytes.Repeat([]byte("k"), 32), Now: func() time.Time { return b.now },
		Lookup:    func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no server answers") },
		Resolvers: func(*store.View) []netip.Addr { return []netip.Addr{netip.MustParseAddr("198.51.100.4")} },
		Shown:     func(wire.Revision) bool { return false }})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b.ok(err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	b.ok(err)
	sealed, err := b.Keys.Seal(accountKey, raw)
	b.ok(err)
	b.put(func(tx *store.Tx) {
		store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test"})
		store.ACMEs.Put(tx, store.Only, store.ACME{Directory: "https://127.0.0.1:1/dir", Key: sealed, Account: "https://127.0.0.1:1/1"})
		for env, account := range map[wire.EnvName]wire.Account{"shop": "acme", "blog": "acme", "other": "globex"} {
			store.Envs.Put(tx, string(env), store.Environment{Spec: operator.EnvironmentSpec{Version: 1, Name: env}, Account: account,
				Want: store.WantRunning, Created: moment})
		}
	})
	return b
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) put(f func(*store.Tx)) {
	b.t.Helper()
	_, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error { f(tx); return nil })
	b.ok(err)
}

func (b *bench) domain(name string, env wire.EnvName, change func(*store.Domain)) {
	b.t.Helper()
	rec := store.Domain{Name: name, Env: env, Since: moment}
	if change != nil {
		change(&rec)
	}
	b.put(func(tx *store.Tx) { store.Domains.Put(tx, name, rec) })
}

func (b *bench) issue(name string) *store.Issue { return store.Issues.Find(b.Store.View(), name) }

func (b *bench) passed() time.Duration {
	b.t.Helper()
	rest, err := b.pass(b.t.Context())
	b.ok(err)
	return rest
}

// issued is that a name of an account has a certificate for 90 days from the first moment.
func (b *bench) issued(name string, owner wire.Account, order *store.Order) {
	b.t.Helper()
	rec := issuedFor(90 * day)
	rec.Name, rec.Account, rec.Order = name, owner, order
	b.put(func(tx *store.Tx) { store.Issues.Put(tx, name, rec) })
}

// TestWhoseItIs: what was issued stays with its account: with another environment of it, not with another account's, nor when the name or
// its environment goes; what nobody wants any more is not gone on with.
func TestWhoseItIs(t *testing.T) {
	b := opened(t)
	order := &store.Order{Directory: "https://127.0.0.1:1/dir", URL: "https://127.0.0.1:1/order", Begun: moment}
	for _, c := range []struct {
		name    string
		change  func(*store.Domain)
		kept    bool // the record
		ordered bool
	}{
		{"as it was", func(*store.Domain) {}, true, true},
		{"another environment of the account", func(d *store.Domain) { d.Env = "blog" }, true, true},
		{"another account's", func(d *store.Domain) { d.Env = "other" }, false, false},
		{"another environment of that name", func(d *store.Domain) { d.Since = moment.Add(time.Hour) }, false, false},
		{"switched off", func(d *store.Domain) { d.NoIssue = true }, true, false},
		{"one is uploaded", func(d *store.Domain) { d.Certificate = &store.Certificate{Ends: moment} }, true, false},
	} {
		b.domain("a.example", "shop", nil)
		b.issued("a.example", "acme", order)
		b.domain("a.example", "shop", c.change)
		b.ok(b.forget(t.Context()))
		rec := b.issue("a.example")
		if (rec != nil) != c.kept || rec != nil && (rec.Certificate == nil || (rec.Order != nil) != c.ordered) {
			t.Errorf("%s: there is %+v", c.name, rec)
		}
	}
	b.domain("a.example", "shop", nil)
	b.issued("a.example", "acme", &store.Order{Directory: "https://other.example/"})
	b.ok(b.forget(t.Context()))
	if b.issue("a.example").Order != nil {
		t.Error("an order of another CA is gone on with")
	}
	b.put(func(tx *store.Tx) { store.Domains.Delete(tx, "a.example") })
	b.ok(b.forget(t.Context()))
	if b.issue("a.example") != nil {
		t.Error("what was issued for a name outlives it")
	}
	sealed, err := b.Keys.Seal(certs.IssuedAs("a.example", "acme"), []byte("key"))
	b.ok(err)
	for _, as := range []string{certs.IssuedAs("a.example", "globex"), certs.IssuedAs("b.example", "acme")} {
		if _, err := b.Keys.Open(as, sealed); err == nil {
			t.Errorf("the key opens as %q", as)
		}
	}
}

// TestWhatIsAskedFor: names outside of the cluster's domain, that nobody has uploaded a certificate for, and that want one.
func TestWhatIsAskedFor(t *testing.T) {
	b := opened(t)
	b.domain("a.example", "shop", nil)
	b.domain("www.shop.demo.test", "shop", nil)
	b.domain("off.example", "shop", func(d *store.Domain) { d.Scheme = front.Scheme{NoIssue: true} })
	b.domain("up.example", "shop", func(d *store.Domain) { d.Certificate = &store.Certificate{} })
	b.domain("old.example", "shop", func(d *store.Domain) { d.Since = moment.Add(-time.Hour) })
	due, _, _ := b.due(b.Store.View(), moment, &store.ACME{})
	if len(due) != 1 || due[0].rec.Name != "a.example" || due[0].owner != "acme" || due[0].do != begin {
		t.Errorf("asked for are %+v", due)
	}
	b.passed()
	rec := b.issue("a.example")
	if rec == nil || rec.Reason != "the DNS was asked where a.example points to: no server answers" || rec.Asked || rec.Tries != 1 ||
		!rec.Next.Equal(moment.Add(firstLook)) {
		t.Fatalf("its record is %+v", rec)
	}
	if rest := b.passed(); rest != firstLook {
		t.Errorf("there is nothing to do for %s", rest)
	}
	b.ok(b.Again(t.Context(), "a.example"))
	b.passed()
	if rec := b.issue("a.example"); rec.Tries != 2 {
		t.Errorf("looked at again it is %+v", rec)
	}
	if n := store.Askeds.Len(b.Store.View()); n != 0 {
		t.Errorf("%d accounts are counted as having asked the CA", n)
	}
}

// TestCAIsNotThere: names are no worse for it: nothing counts as a try or an order, the pause doubles, one name asks for all, and where
// names stand says why.
func TestCAIsNotThere(t *testing.T) {
	b := opened(t)
	b.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("198.51.100.4")}, nil
	}
	b.domain("a.example", "shop", nil)
	b.domain("b.example", "other", nil)
	b.passed()
	if b.issue("a.example") != nil || b.issue("b.example") != nil {
		t.Errorf("names have %+v, %+v", b.issue("a.example"), b.issue("b.example"))
	}
	for _, a := range store.Askeds.All(b.Store.View()) {
		if len(a.Times) != 0 {
			t.Errorf("an order that was not made is counted: %+v", a)
		}
	}
	s := b.Settings()
	if !strings.Contains(s.Reason, "connection refused") || !s.Next.Equal(moment.Add(5*time.Second)) {
		t.Errorf("the settings say %q until %s", s.Reason, s.Next)
	}
	shown := b.Show(b.Store.View(), "a.example", "acme", true)
	if shown == nil || shown.State != "waiting" || shown.Reason != s.Reason || !shown.Next.Equal(s.Next) {
		t.Errorf("the name stands at %+v", shown)
	}
	if rest := b.passed(); rest != 5*time.Second {
		t.Errorf("it is asked again in %s", rest)
	}
	b.now = b.now.Add(5 * time.Second)
	b.passed()
	if got := b.Settings().Next; !got.Equal(b.now.Add(10 * time.Second)) {
		t.Errorf("then it is asked again at %s", got)
	}
	b.alarm(t.Context())
	if n := len(b.Alarms()); n != 0 {
		t.Errorf("after a few seconds there are %d alarms", n)
	}
	b.now = b.now.Add(time.Hour)
	b.passed()
	b.alarm(t.Context())
	if a := b.Alarms(); len(a) != 1 ||
		!strings.HasPrefix(a[0], "nothing was asked of the CA since 2026-11-28T12:00:00Z: the CA is not reached: ") {
		t.Errorf("after an hour the alarms are %q", a)
	}
}

// TestLate: a certificate that is not renewed is an alarm when a quarter of its life is left, with the reason, and once more a notice.
func TestLate(t *testing.T) {
	b := opened(t)
	notices := 0
	b.Notice = func(_ *store.Tx, owner wire.Account, subject, text string) error {
		notices++
		if owner != "acme" || !strings.Contains(text, "no CA is named any more") {
			t.Errorf("the notice to %s is %q: %s", owner, subject, text)
		}
		return nil
	}
	b.domain("a.example", "shop", nil)
	b.issued("a.example", "acme", nil)
	b.put(func(tx *store.Tx) { store.ACMEs.Delete(tx, store.Only) })
	for _, c := range []struct {
		days int
		want string
	}{{67, ""}, {68, "environment shop: the certificate of a.example ends at 2027-02-26T12:00:00Z, and is not renewed: no CA is named"},
		{91, "environment shop: the certificate of a.example has ended at 2027-02-26T12:00:00Z"}} {
		b.now = moment.Add(time.Duration(c.days) * day)
		b.alarm(t.Context())
		got := strings.Join(b.Alarms(), "\n")
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("after %d days: %q, want %q", c.days, got, c.want)
		}
	}
	if notices != 1 {
		t.Errorf("the account was written to %d times", notices)
	}
}

// TestAccountsShare: one account that asks for many names leaves others theirs; each is told until when.
func TestAccountsShare(t *testing.T) {
	b := opened(t)
	ask := func(env wire.EnvName, owner wire.Account, i int) time.Time {
		t.Helper()
		host := fmt.Sprintf("n%d.%s.example", i, env)
		b.domain(host, env, nil)
		b.now = b.now.Add(time.Second)
		at, err := b.admitted(t.Context(), name{env, owner, store.Issue{Name: host, Account: owner}, begin, false})
		b.ok(err)
		return at
	}
	for i := range MaxAccount {
		if ask("shop", "acme", i).IsZero() {
			t.Fatalf("of %d allowed the %dth is refused", MaxAccount, i+1)
		}
	}
	if !ask("blog", "acme", 0).IsZero() {
		t.Error("by another environment an account asks for more than it may")
	}
	if rec := b.issue("n0.blog.example"); rec == nil || !strings.HasPrefix(rec.Reason, "the account has asked for 20 certificates") ||
		!rec.Next.Equal(moment.Add(time.Second+window)) || rec.Tries != 0 {
		t.Errorf("it is told %+v", rec)
	}
	b.put(func(tx *store.Tx) { store.Domains.Delete(tx, "n1.shop.example") })
	if !ask("shop", "acme", 99).IsZero() {
		t.Error("a name that goes gives its order back")
	}
	if ask("other", "globex", 0).IsZero() {
		t.Error("another account may not ask")
	}
	b.now = moment.Add(2*time.Second + window)
	if ask("shop", "acme", 100).IsZero() {
		t.Error("after the window it may not ask")
	}
}

// TestMeaning: what an error of the CA is about, and the words that people read.
func TestMeaning(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind trouble
		want string
	}{
		{acme.Problem{Status: 429, Type: acme.ProblemTypeRateLimited, Detail: "too many"}, ofName, "the CA says: too many"},
		{fmt.Errorf("x: %w", acme.Problem{Status: 400, Type: acme.ProblemTypeRejectedIdentifier, Detail: "no\nsuch"}), ofName,
			"the CA says: no such"},
		{acme.Problem{Status: 403, Detail: "two", Subproblems: []acme.Subproblem{{Problem: acme.Problem{Detail: "CAA forbids"},
			Identifier: acme.Identifier{Value: "a.example"}}}}, ofName, "the CA says: two; a.example: CAA forbids"},
		{acme.Problem{Status: 503, Detail: "away"}, ofCA, "the CA says: away"},
		{acme.Problem{Status: 403, Type: acme.ProblemTypeUserActionRequired, Detail: "new terms"}, ofCA, "the CA says: new terms"},
		{acme.Problem{Status: 404, Detail: "no order"}, ofOrder, "the CA says: no order"},
		{acme.Problem{Status: 400, Type: acme.ProblemTypeAccountDoesNotExist, Detail: "who"}, ofAccount, "the CA says: who"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}, ofCA, "the CA is not reached: dial tcp"},
		{context.DeadlineExceeded, ofCA, "the CA does not answer in time"},
		{fmt.Errorf("x: %w", clockError{moment.Add(2 * time.Hour), moment}), ofCA,
			"the clock is wrong: it is 2026-11-28T12:00:00Z here, and 2026-11-28T14:00:00Z at the CA: set it right"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, ofCA, "the certificate of the CA's directory has ended"},
	} {
		if kind, words := meaning(c.err); kind != c.kind || !strings.HasPrefix(words, c.want) {
			t.Errorf("%v: got %d, %q; want %d, %q", c.err, kind, words, c.kind, c.want)
		}
	}
}

// TestCalls: a CA is believed by its certificate alone, sends nobody elsewhere, and is read up to a bound.
func TestCalls(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect is followed") }))
	defer elsewhere.Close()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/long":
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"newNonce":"`))
			w.Write(bytes.Repeat([]byte("x"), maxAnswer))
			w.Write([]byte(`"}`))
		case "/plain":
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"newNonce":"http://127.0.0.1:1/","newOrder":"http://127.0.0.1:1/","newAccount":"http://127.0.0.1:1/"}`))
		}
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := func(path, ca string) *client {
		c := newClient(s.URL+path, ca, key, "", time.Now)
		t.Cleanup(c.close)
		return c
	}
	trusting := func(path string) *client {
		c := made(path, "")
		w := c.HTTPClient.Transport.(*witness)
		w.base.TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
		return c
	}
	if _, err := made("/plain", "").GetDirectory(t.Context()); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("a directory that nobody signed for: %v", err)
	}
	for _, path := range []string{"/redirect", "/long"} {
		if _, err := trusting(path).GetDirectory(t.Context()); err == nil {
			t.Errorf("%s is taken", path)
		}
	}
	_, err = trusting("/plain").NewAccount(t.Context(), acme.Account{PrivateKey: key})
	if err == nil || !strings.Contains(err.Error(), "which is no https://") {
		t.Errorf("without TLS: %v", err)
	}
}
