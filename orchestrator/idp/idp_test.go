package idp

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/idp/idptest"
	"hardnode.dev/orchestrator/store"
)

type bench struct {
	*Desk
	t   *testing.T
	p   *idptest.Provider
	mu  sync.Mutex
	now time.Time
}

func opened(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{t: t, now: time.Now(), p: idptest.Start(t)}
	b.Desk = &Desk{Store: s, Keys: certs.Sealer(make([]byte, 32)), Now: func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }}
	b.p.Do(is(nil))
	return b
}

// is is a provider that signs Ada in.
func is(change func(*idptest.Is)) idptest.Is {
	out := idptest.Is{Claims: map[string]any{"sub": "248289761001", "email": "Ada@Example.com", "email_verified": true}}
	if change != nil {
		change(&out)
	}
	return out
}

func (b *bench) later(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

func (b *bench) settings() oidc.SetOidcSettings {
	text := secret.Text(idptest.Secret)
	return oidc.SetOidcSettings{Issuer: b.p.URL, Client: idptest.Client, Secret: &text, Name: "Example SSO",
		Panel: "https://paas.example.com:7443/", CA: b.p.CA, Inside: true, Domains: []string{"example.com"}}
}

func (b *bench) set(change func(*oidc.SetOidcSettings)) {
	b.t.Helper()
	s := b.settings()
	if change != nil {
		change(&s)
	}
	if err := b.Set(b.t.Context(), s, "admin"); err != nil {
		b.t.Fatal(err)
	}
}

// gone sends a browser to the provider, and gives what it brings back.
func (b *bench) gone(browser string) url.Values {
	b.t.Helper()
	at, err := b.Begin(b.t.Context(), "192.0.2.1:1000", browser, Errand{To: "/panel/"})
	if err != nil {
		b.t.Fatal(err)
	}
	to := b.p.Visit(b.t, at)
	if got := to.Scheme + "://" + to.Host + to.Path; got != "https://paas.example.com:7443"+oidc.BackPath {
		b.t.Errorf("the provider leads to %s", got)
	}
	return to.Query()
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	p := operator.AsProblem(err)
	return fmt.Sprintf("%d %s; %s", p.Status, p.Reason, p.Next)
}

func TestSignIn(t *testing.T) {
	b := opened(t)
	if _, err := b.Begin(t.Context(), "192.0.2.1:1000", "b", Errand{}); !strings.Contains(reason(err), "no identity provider") {
		t.Errorf("without settings: %v", err)
	}
	b.set(nil)
	c, e, err := b.Finish(t.Context(), "b", b.gone("b"))
	want := Claim{Issuer: b.p.URL, Subject: "248289761001", Mail: "ada@example.com", Believed: true, Name: "Example SSO"}
	if err != nil || c != want || e.To != "/panel/" {
		t.Errorf("got %+v %+v %v", c, e, err)
	}
	s := b.Settings()
	if !s.Secret || s.Redirect != "https://paas.example.com:7443"+oidc.BackPath || s.Counts != oidc.First || s.By != "admin" {
		t.Errorf("the settings are %+v", s)
	}
	if rec, _ := store.OIDCs.Get(b.Store.View(), store.Only); strings.Contains(string(rec.Secret), "secret") {
		t.Errorf("the secret is kept as %s", rec.Secret)
	}
	b.set(func(s *oidc.SetOidcSettings) { s.Secret, s.Counts = nil, oidc.Both }) // the secret stays
	if c, _, err = b.Finish(t.Context(), "b", b.gone("b")); err != nil || !c.Both {
		t.Errorf("with the secret of before: %+v %v", c, err)
	}
	if got := b.p.Asked("/.well-known/openid-configuration"); got != 2 {
		t.Errorf("the provider was asked %d times what it is like, want once for each time it was named", got)
	}
}

// TestMail: whose word for a mail address counts, and when.
func TestMail(t *testing.T) {
	b := opened(t)
	b.set(nil)
	for name, k := range map[string]struct {
		claims   map[string]any
		info     map[string]any
		mail     string
		believed bool
	}{
		"not verified":   {map[string]any{"email": "ada@example.com", "email_verified": false}, nil, "ada@example.com", false},
		"nothing said":   {map[string]any{"email": "ada@example.com"}, nil, "ada@example.com", false},
		"as text":        {map[string]any{"email": "ada@example.com", "email_verified": "true"}, nil, "ada@example.com", true},
		"text false":     {map[string]any{"email": "ada@example.com", "email_verified": "false"}, nil, "ada@example.com", false},
		"other domain":   {map[string]any{"email": "ada@example.org", "email_verified": true}, nil, "ada@example.org", false},
		"below a domain": {map[string]any{"email": "ada@x.example.com", "email_verified": true}, nil, "ada@x.example.com", false},
		"no address":     {map[string]any{"email": "ada@exam\u0131ple.com", "email_verified": true}, nil, "", false},
		"a list":         {map[string]any{"email": "a@b.c,ada@example.com", "email_verified": true}, nil, "", false},
		"by user info": {nil, map[string]any{"sub": "1", "email": "ada@example.com", "email_verified": true}, "ada@example.com",
			true},
		"user info of another": {nil, map[string]any{"sub": "2", "email": "ada@example.com", "email_verified": true}, "", false},
		"none":                 {nil, map[string]any{"sub": "1"}, "", false},
	} {
		claims := map[string]any{"sub": "1"}
		maps.Copy(claims, k.claims)
		b.p.Do(idptest.Is{Claims: claims, UserInfo: k.info})
		b.set(nil)
		c, _, err := b.Finish(t.Context(), "b", b.gone("b"))
		if err != nil || c.Mail != k.mail || c.Believed != k.believed || c.Subject != "1" {
			t.Errorf("%s: %+v %v", name, c, err)
		}
	}
}

// TestForged: whatever is wrong with an answer, nobody is signed in, and the reason says it.
func TestForged(t *testing.T) {
	b := opened(t)
	b.set(nil)
	claim := func(name string, v any) func(*idptest.Is) {
		return func(is *idptest.Is) { is.Change = func(_, c map[string]any) { c[name] = v } }
	}
	sign := func(alg string, f func(*idptest.Provider, string) []byte) func(*idptest.Is) {
		return func(is *idptest.Is) {
			is.Change, is.Sign = func(h, _ map[string]any) { h["alg"] = alg }, f
		}
	}
	past := time.Now().Unix() - 10
	for name, k := range map[string]struct {
		change func(*idptest.Is)
		want   string
	}{
		"issuer":       {claim("iss", "https://evil.example"), "different provider"},
		"audience":     {claim("aud", "another"), "expected audience"},
		"two clients":  {claim("aud", []string{"another", idptest.Client}), "made for another client"},
		"party":        {claim("azp", "another"), "made for another client"},
		"nonce":        {claim("nonce", "x"), "of another sign-in"},
		"no nonce":     {claim("nonce", ""), "of another sign-in"},
		"expired":      {claim("exp", past), "expired"},
		"not yet":      {claim("nbf", time.Now().Unix()+3600), "not before"},
		"no subject":   {claim("sub", ""), "does not say of whom"},
		"long subject": {claim("sub", strings.Repeat("x", 256)), "does not say of whom"},
		"alg none":     {sign("none", (*idptest.Provider).Nothing), "ID token is not right"},
		"alg HS256":    {sign("HS256", (*idptest.Provider).HS256), "ID token is not right"},
		"other key":    {sign("RS256", (*idptest.Provider).Foreign), "ID token is not right"},
		"no signature": {sign("RS256", (*idptest.Provider).Nothing), "ID token is not right"},
		"refused":      {func(is *idptest.Is) { is.Error = "access_denied" }, "did not sign you in: access_denied"},
		"odd refusal":  {func(is *idptest.Is) { is.Error = "<b>x" }, "did not sign you in: without a reason"},
	} {
		b.p.Do(is(k.change))
		c, _, err := b.Finish(t.Context(), "b", b.gone("b"))
		if got := reason(err); c != (Claim{}) || !strings.HasPrefix(got, "401 ") || !strings.Contains(got, k.want) {
			t.Errorf("%s: %+v, %s", name, c, got)
		}
	}
}

// TestState: what a browser brings back has to be what this browser began, once, soon, and of these settings.
func TestState(t *testing.T) {
	b := opened(t)
	b.set(nil)
	finish := func(browser string, q url.Values) string {
		_, _, err := b.Finish(t.Context(), browser, q)
		return reason(err)
	}
	const none = "401 this browser has begun no such sign-in"
	mine, other := b.gone("mine"), b.gone("other")
	for name, got := range map[string]string{
		"another browser's":   finish("other", mine),
		"no cookie":           finish("", mine),
		"no state":            finish("mine", url.Values{"code": mine["code"]}),
		"a state of nobody":   finish("mine", url.Values{"code": mine["code"], "state": {"x"}}),
		"the other's state":   finish("mine", url.Values{"code": mine["code"], "state": other["state"]}),
		"nothing at all":      finish("mine", url.Values{}),
		"a browser of nought": finish("", url.Values{"state": {""}}),
	} {
		if !strings.HasPrefix(got, none) {
			t.Errorf("%s: %s", name, got)
		}
	}
	// The code of another sign-in has another verifier: injected, it is good for nothing (RFC 9700, section 2.1.1).
	if got := finish("mine", url.Values{"code": other["code"], "state": mine["state"]}); !strings.Contains(got, "invalid_grant") {
		t.Errorf("another's code: %s", got)
	}
	if got := finish("mine", mine); !strings.HasPrefix(got, none) {
		t.Errorf("the same state once more: %s", got)
	}
	// Neither the state nor the code is good twice.
	q := b.gone("mine")
	if got := finish("mine", q); got != "" {
		t.Fatal(got)
	}
	if got := finish("mine", q); !strings.HasPrefix(got, none) {
		t.Errorf("a replay: %s", got)
	}
	again := b.gone("mine")
	if got := finish("mine", url.Values{"state": again["state"], "code": q["code"]}); !strings.Contains(got, "invalid_grant") {
		t.Errorf("a code that was used: %s", got)
	}
	q = b.gone("mine")
	q.Set("iss", "https://evil.example")
	if got := finish("mine", q); !strings.Contains(got, "of another identity provider") {
		t.Errorf("the answer of another one: %s", got)
	}
	if got := finish("mine", url.Values{"state": b.gone("mine")["state"]}); !strings.Contains(got, "gave no code") {
		t.Errorf("no code: %s", got)
	}
	late := b.gone("mine")
	b.later(flowFor)
	if got := finish("mine", late); !strings.Contains(got, "took more than") {
		t.Errorf("late: %s", got)
	}
	old := b.gone("mine")
	b.later(time.Second)
	b.set(nil)
	if got := finish("mine", old); !strings.Contains(got, "settings were changed") {
		t.Errorf("of other settings: %s", got)
	}
	old = b.gone("mine")
	if err := b.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := finish("mine", old); !strings.Contains(got, "no identity provider") {
		t.Errorf("after the provider was removed: %s", got)
	}
	if err := b.Remove(t.Context()); !strings.HasPrefix(reason(err), "404") {
		t.Errorf("removed twice: %v", err)
	}
}

// TestManyFlows: who begins many sign-ins pushes out their own.
func TestManyFlows(t *testing.T) {
	var f flows
	now := time.Unix(1_000_000, 0)
	f.put("yours", &flow{browser: "y", place: "192.0.2.1", begun: now}, now)
	for i := range 3 * flowsEach {
		at := now.Add(time.Duration(i) * time.Millisecond)
		f.put(fmt.Sprint(i), &flow{browser: "m", place: "192.0.2.2", begun: at}, at)
	}
	if len(f.by) != flowsEach+1 {
		t.Errorf("%d are kept", len(f.by))
	}
	if fl, fresh := f.take("yours", "y", now); fl == nil || !fresh {
		t.Error("another's was pushed out")
	}
	if fl, _ := f.take(fmt.Sprint(3*flowsEach-1), "m", now); fl == nil {
		t.Error("the last one is gone")
	}
	f.put("new", &flow{begun: now.Add(time.Hour)}, now.Add(time.Hour))
	if len(f.by) != 1 {
		t.Errorf("after an hour %d are kept", len(f.by))
	}
}

// TestAway: a provider that is away is said to be, is not asked all the time, and what was known of it does meanwhile.
func TestAway(t *testing.T) {
	b := opened(t)
	b.set(nil)
	q := b.gone("b")
	down := is(func(i *idptest.Is) { i.Down = true })
	b.p.Do(down)
	if _, _, err := b.Finish(t.Context(), "b", q); !strings.HasPrefix(reason(err), "503 Example SSO can't be reached") ||
		!strings.Contains(reason(err), "your password") {
		t.Errorf("away at the exchange: %v", err)
	}
	if _, err := b.Begin(t.Context(), "192.0.2.1:1", "b", Errand{}); err != nil {
		t.Errorf("known from before: %v", err)
	}
	fresh := &Desk{Store: b.Store, Keys: b.Keys, Now: b.Now}
	before := b.p.Asked("/.well-known/openid-configuration")
	for range 5 {
		_, err := fresh.Begin(t.Context(), "192.0.2.1:1", "b", Errand{})
		if !strings.HasPrefix(reason(err), "503 Example SSO can't be reached") {
			t.Errorf("away: %v", err)
		}
	}
	if got := b.p.Asked("/.well-known/openid-configuration") - before; got != 1 {
		t.Errorf("it was asked %d times within one rest", got)
	}
	b.later(restFor)
	b.p.Do(is(nil))
	if _, err := fresh.Begin(t.Context(), "192.0.2.1:1", "b", Errand{}); err != nil {
		t.Errorf("back again: %v", err)
	}
}

// TestSet: what is named has to be a provider, at an address that may be asked; else nothing is changed.
func TestSet(t *testing.T) {
	b := opened(t)
	_, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
		store.Clusters.Put(tx, store.Only, store.Cluster{Range4: netip.MustParsePrefix("10.96.0.0/12")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	discover := func(f func(map[string]any)) func(*idptest.Is) { return func(i *idptest.Is) { i.Discover = f } }
	for name, k := range map[string]struct {
		is   func(*idptest.Is)
		set  func(*oidc.SetOidcSettings)
		want string
	}{
		"inside is not said": {nil, func(s *oidc.SetOidcSettings) { s.Inside = false }, "127.0.0.1 is not a public address"},
		"the cluster's own":  {nil, func(s *oidc.SetOidcSettings) { s.Issuer = "https://10.96.0.13" }, "an address of the cluster's own"},
		"metadata":           {nil, func(s *oidc.SetOidcSettings) { s.Issuer = "https://169.254.169.254" }, "link-local"},
		"other certificate":  {nil, func(s *oidc.SetOidcSettings) { s.CA = "" }, "certificate"},
		"not itself":         {discover(func(m map[string]any) { m["issuer"] = "https://evil.example" }), nil, "did not match"},
		"in the clear":       {discover(func(m map[string]any) { m["token_endpoint"] = "http://x/" }), nil, "want an https address"},
		"a script": {discover(func(m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" }), nil,
			"want an https address"},
		"no keys":   {discover(func(m map[string]any) { delete(m, "jwks_uri") }), nil, "jwks_uri"},
		"no PKCE":   {discover(func(m map[string]any) { m["code_challenge_methods_supported"] = []string{"plain"} }), nil, "PKCE"},
		"it's long": {discover(func(m map[string]any) { m["x"] = strings.Repeat("x", 2<<20) }), nil, "more than"},
		"away":      {func(i *idptest.Is) { i.Down = true }, nil, "503"},
		"http":      {nil, func(s *oidc.SetOidcSettings) { s.Issuer = "http://x.example" }, "want https://"},
		"a query":   {nil, func(s *oidc.SetOidcSettings) { s.Issuer = "https://x.example/?a" }, "without a query"},
		"panel":     {nil, func(s *oidc.SetOidcSettings) { s.Panel = "https://x.example/panel" }, "without a path"},
		"counts":    {nil, func(s *oidc.SetOidcSettings) { s.Counts = "none" }, "want first or both"},
		"domain":    {nil, func(s *oidc.SetOidcSettings) { s.Domains = []string{"com"} }, "want a domain"},
		"client":    {nil, func(s *oidc.SetOidcSettings) { s.Client = "a b" }, "client"},
		"name":      {nil, func(s *oidc.SetOidcSettings) { s.Name = "x\ny" }, "name"},
	} {
		b.p.Do(is(k.is))
		s := b.settings()
		if k.set != nil {
			k.set(&s)
		}
		if err := b.Set(t.Context(), s, "admin"); !strings.Contains(reason(err), k.want) {
			t.Errorf("%s: %v", name, err)
		}
		if b.Settings().Issuer != "" || b.Name() != "" || b.Ways().Oidc != nil {
			t.Fatalf("%s: it was kept: %+v", name, b.Settings())
		}
	}
	// A secret is for the issuer and the client that it was said for.
	b.p.Do(is(nil))
	b.set(nil)
	b.set(func(s *oidc.SetOidcSettings) { s.Secret, s.Client = nil, "another" })
	if b.Settings().Secret {
		t.Error("another client has the secret")
	}
}
