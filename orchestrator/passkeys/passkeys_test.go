package passkeys

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

const from, browser = "192.0.2.7:1000", "the hash of a browser's cookie"

var party = virtualwebauthn.RelyingParty{ID: "paas.example.com", Name: "Hardnode", Origin: "https://paas.example.com:7443"}

func TestSiteOf(t *testing.T) {
	for panel, want := range map[string]site{
		"https://paas.example.com:7443": {"paas.example.com", "https://paas.example.com:7443"},
		"https://PaaS.example.com:443":  {"paas.example.com", "https://paas.example.com"},
		"https://localhost":             {"localhost", "https://localhost"},
		"http://paas.example.com":       {}, "https://192.0.2.1:7443": {}, "https://[2001:db8::1]": {}, "": {}, "https://": {}, "::": {},
	} {
		if got, ok := siteOf(panel); ok != (want != site{}) || ok && got != want {
			t.Errorf("%q: %+v %v, want %+v", panel, got, ok, want)
		}
	}
}

// bench is a desk with a clock of its own.
type bench struct {
	*Desk
	t   testing.TB
	mu  sync.Mutex
	now time.Time
}

func opened(t testing.TB) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{t: t, now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	b.Desk = &Desk{Store: s, Cluster: "demo", Now: func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }}
	b.put(func(tx *store.Tx) { store.MailServers.Put(tx, store.Only, store.MailServer{Panel: party.Origin}) })
	return b
}

func (b *bench) later(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

func (b *bench) put(f func(*store.Tx)) {
	b.t.Helper()
	if _, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

// device is what keeps one passkey.
type device struct {
	virtualwebauthn.Authenticator
	key virtualwebauthn.Credential
}

func (d *device) creates(t testing.TB, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
	t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(string(ask))
	if err != nil {
		t.Fatal(err)
	}
	d.Options.UserHandle = []byte(o.UserID)
	return []byte(virtualwebauthn.CreateAttestationResponse(rp, d.Authenticator, d.key, *o))
}

func (d *device) signs(t testing.TB, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(string(ask))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAssertionResponse(rp, d.Authenticator, d.key, *o))
}

func (b *bench) asked() []byte {
	b.t.Helper()
	ask, err := b.BeginSignIn(from, browser)
	if err != nil {
		b.t.Fatal(err)
	}
	return ask
}

// has gives a user a passkey, as they add one.
func (b *bench) has(id string) *device {
	b.t.Helper()
	d := &device{virtualwebauthn.NewAuthenticator(), virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
	ask, err := b.BeginAdd(from, browser, user.User{ID: id, Mail: id + "@example.com"}, "proof of "+id, "laptop")
	if err != nil {
		b.t.Fatal(err)
	}
	p, proof, err := b.FinishAdd(browser, id, d.creates(b.t, party, ask))
	if err != nil || proof != "proof of "+id || p.User != id || p.RP != "paas.example.com" || p.Name != "laptop" || len(p.AAGUID) != 32 {
		b.t.Fatalf("%s adds a passkey: %+v %q %v", id, p, proof, err)
	}
	b.put(func(tx *store.Tx) { store.Passkeys.Put(tx, store.PasskeyKey(p.Credential), p) })
	return d
}

// signedAnew is an answer whose client data has more in it, signed by whom the passkey is.
func signedAnew(t testing.TB, d *device, answer []byte, more string) []byte {
	t.Helper()
	var a map[string]any
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatal(err)
	}
	r := a["response"].(map[string]any)
	data, _ := base64.RawURLEncoding.DecodeString(r["clientDataJSON"].(string))
	data = []byte(strings.TrimSuffix(string(data), "}") + more + "}")
	auth, _ := base64.RawURLEncoding.DecodeString(r["authenticatorData"].(string))
	sum := sha256.Sum256(data)
	digest := sha256.Sum256(append(auth, sum[:]...))
	signature, err := d.key.Key.Sign(digest[:])
	if err != nil {
		t.Fatal(err)
	}
	r["clientDataJSON"], r["signature"] = base64.RawURLEncoding.EncodeToString(data), base64.RawURLEncoding.EncodeToString(signature)
	out, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func denies(t *testing.T, what string, err error, reason string) {
	t.Helper()
	var p *operator.Problem
	if !errors.As(err, &p) || p.Status != http.StatusUnauthorized || !strings.Contains(p.Reason, reason) {
		t.Errorf("%s: %v, want %q", what, err, reason)
	}
}

// TestSigns: an answer says whose passkey signed, once everything about it is right.
func TestSigns(t *testing.T) {
	b := opened(t)
	ada, eve := b.has("u-ada"), b.has("u-eve")
	ada.key.Counter = 4
	for _, answer := range [][]byte{ada.signs(t, party, b.asked()), signedAnew(t, ada, ada.signs(t, party, b.asked()), `,"other":"x"`)} {
		used, err := b.FinishSignIn(browser, answer)
		if err != nil || used.User != "u-ada" || used.Count != 4 || used.Key != store.PasskeyKey(ada.key.ID) {
			t.Fatalf("Ada signs in: %+v %v", used, err)
		}
	}
	for _, x := range []struct {
		name, reason string
		answer       func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte
	}{
		{"another origin", "not right", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			rp.Origin = "https://evil.example.com:7443"
			return d.signs(t, rp, ask)
		}},
		{"another port", "not right", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			rp.Origin = "https://paas.example.com"
			return d.signs(t, rp, ask)
		}},
		{"another RP id", "not right", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			rp.ID = "example.com"
			return d.signs(t, rp, ask)
		}},
		{"no verification", "did not check that it is you", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			d.Options.UserNotVerified = true
			return d.signs(t, rp, ask)
		}},
		{"nobody was there", "not right", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			d.Options.UserNotPresent = true
			return d.signs(t, rp, ask)
		}},
		{"another key", "not right", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			d.key.Key = eve.key.Key
			return d.signs(t, rp, ask)
		}},
		{"Eve's for Ada", "no user's here", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			d.key = eve.key
			return d.signs(t, rp, ask)
		}},
		{"for nobody", "no user's here", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			d.Options.UserHandle = nil
			return d.signs(t, rp, ask)
		}},
		{"an unknown passkey", "no user's here", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			d.key.ID = []byte("another")
			return d.signs(t, rp, ask)
		}},
		{"in a frame of another site", "not right", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			return signedAnew(t, d, d.signs(t, rp, ask), `,"crossOrigin":true`)
		}},
		{"now on more than one device", "not right", func(d *device, rp virtualwebauthn.RelyingParty, ask []byte) []byte {
			d.Options.BackupEligible = true
			return d.signs(t, rp, ask)
		}},
		{"a challenge for a new one", "was not given to this browser", func(d *device, rp virtualwebauthn.RelyingParty, _ []byte) []byte {
			ask, err := b.BeginAdd(from, browser, user.User{ID: "u-ada"}, "", "x")
			if err != nil {
				t.Fatal(err)
			}
			return d.signs(t, rp, ask)
		}},
		{"another browser's challenge", "was not given to this browser", func(d *device, rp virtualwebauthn.RelyingParty, _ []byte) []byte {
			ask, err := b.BeginSignIn(from, "another")
			if err != nil {
				t.Fatal(err)
			}
			return d.signs(t, rp, ask)
		}},
		{"none of ours", "was not given to this browser", func(d *device, rp virtualwebauthn.RelyingParty, _ []byte) []byte {
			return d.signs(t, rp, []byte(`{"publicKey":{"challenge":"AAAA"}}`))
		}},
		{"nothing", "can't be read", func(*device, virtualwebauthn.RelyingParty, []byte) []byte { return nil }},
		{"no JSON", "can't be read", func(*device, virtualwebauthn.RelyingParty, []byte) []byte { return []byte("{") }},
		{"too long", "too long", func(*device, virtualwebauthn.RelyingParty, []byte) []byte { return make([]byte, MaxAnswer+1) }},
	} {
		d := *ada
		used, err := b.FinishSignIn(browser, x.answer(&d, party, b.asked()))
		denies(t, x.name, err, x.reason)
		if used != (Used{}) {
			t.Errorf("%s: it is said to be %+v", x.name, used)
		}
	}
	_, err := b.FinishSignIn("", ada.signs(t, party, b.asked()))
	denies(t, "a browser without a cookie", err, "was not given to this browser")
	// A challenge is good once, for its time, and while the panel's address is what it was.
	answer := ada.signs(t, party, b.asked())
	if _, err := b.FinishSignIn("another", answer); err == nil {
		t.Error("another browser brings it")
	}
	if _, err := b.FinishSignIn(browser, answer); err != nil {
		t.Errorf("another browser used it up: %v", err)
	}
	_, err = b.FinishSignIn(browser, answer)
	denies(t, "replayed", err, "was used")
	answer = ada.signs(t, party, b.asked())
	b.later(flowFor - time.Second)
	if _, err := b.FinishSignIn(browser, answer); err != nil {
		t.Errorf("within its time: %v", err)
	}
	answer = ada.signs(t, party, b.asked())
	b.later(flowFor)
	_, err = b.FinishSignIn(browser, answer)
	denies(t, "late", err, "older than 5m")
	answer = ada.signs(t, party, b.asked())
	b.put(func(tx *store.Tx) {
		store.MailServers.Put(tx, store.Only, store.MailServer{Panel: "https://paas.example.org"})
		store.OIDCs.Put(tx, store.Only, store.OIDC{Panel: "https://sso.example.org"})
	})
	_, err = b.FinishSignIn(browser, answer)
	denies(t, "at another address", err, "address was changed meanwhile")
	if at := b.Origin(); at != "https://paas.example.org" {
		t.Errorf("it is at %s", at)
	}
	b.put(func(tx *store.Tx) { store.MailServers.Delete(tx, store.Only) })
	if at := b.Origin(); at != "https://sso.example.org" {
		t.Errorf("without mail it is at %s", at)
	}
	b.put(func(tx *store.Tx) { store.OIDCs.Delete(tx, store.Only) })
	for _, err := range []error{func() error { _, err := b.BeginSignIn(from, browser); return err }(),
		func() error { _, err := b.BeginAdd(from, browser, user.User{}, "", ""); return err }()} {
		if p := operator.AsProblem(err); p.Code != operator.NotFound || !strings.Contains(p.Next, "hnctl cluster mail set") {
			t.Errorf("without an address: %v", err)
		}
	}
}

// TestAdds: a passkey is made for who asked, where they asked, by a device that checked them.
func TestAdds(t *testing.T) {
	b := opened(t)
	b.has("u-ada")
	for _, x := range []struct {
		name, reason, id, browser string
		change                    func(d *device, rp *virtualwebauthn.RelyingParty)
	}{
		{"another origin", "not right", "u-ada", browser, func(_ *device, rp *virtualwebauthn.RelyingParty) {
			rp.Origin = "https://x.example"
		}},
		{"another RP id", "not right", "u-ada", browser, func(_ *device, rp *virtualwebauthn.RelyingParty) { rp.ID = "x.example" }},
		{"no verification", "did not check", "u-ada", browser, func(d *device, _ *virtualwebauthn.RelyingParty) {
			d.Options.UserNotVerified = true
		}},
		{"nobody was there", "not right", "u-ada", browser, func(d *device, _ *virtualwebauthn.RelyingParty) {
			d.Options.UserNotPresent = true
		}},
		{"an id that is too long", "", "u-ada", browser, func(d *device, _ *virtualwebauthn.RelyingParty) {
			d.key.ID = make([]byte, 1024)
		}},
		{"another user", "was not given", "u-eve", browser, func(*device, *virtualwebauthn.RelyingParty) {}},
		{"a sign-in", "was not given", "", browser, func(*device, *virtualwebauthn.RelyingParty) {}},
		{"another browser", "was not given", "u-ada", "another", func(*device, *virtualwebauthn.RelyingParty) {}},
	} {
		d := &device{virtualwebauthn.NewAuthenticator(), virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
		rp := party
		x.change(d, &rp)
		ask, err := b.BeginAdd(from, browser, user.User{ID: "u-ada", Mail: "ada@example.com"}, "proof", "laptop")
		if err != nil {
			t.Fatal(err)
		}
		_, proof, err := b.FinishAdd(x.browser, x.id, d.creates(t, rp, ask))
		denies(t, x.name, err, x.reason)
		if proof != "" {
			t.Errorf("%s: the proof is handed out", x.name)
		}
	}
}

// TestFlows: of too many challenges the oldest of the same place goes, and none of another's.
func TestFlows(t *testing.T) {
	var f flows
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	put := func(challenge, place string) {
		fl := &flow{browser: "b", place: place, begun: now}
		fl.session.Challenge = challenge
		f.put(fl, now)
		now = now.Add(time.Millisecond)
	}
	put("other", "another place")
	for i := range flowsEach + 1 {
		put(fmt.Sprint(i), "place")
	}
	if len(f.by) != flowsEach+1 || f.by["0"] != nil || f.by["1"] == nil || f.by["other"] == nil {
		t.Errorf("%d wait", len(f.by))
	}
	now = now.Add(flowFor)
	put("new", "place")
	if len(f.by) != 1 {
		t.Errorf("%d wait whose time is over", len(f.by)-1)
	}
}

// FuzzAnswer: what a browser brings that was asked nothing signs nobody in, and breaks nothing.
func FuzzAnswer(f *testing.F) {
	d := &device{virtualwebauthn.NewAuthenticator(), virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)}
	f.Add(d.creates(f, party, []byte(`{"publicKey":{"challenge":"AAAA","user":{"id":"AAAA"}}}`)))
	f.Add(d.signs(f, party, []byte(`{"publicKey":{"challenge":"AAAA"}}`)))
	desk := &Desk{Now: time.Now}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if used, err := desk.FinishSignIn(browser, answer); err == nil {
			t.Errorf("it signs in %+v", used)
		}
		if p, _, err := desk.FinishAdd(browser, "u-ada", answer); err == nil {
			t.Errorf("it is %+v", p)
		}
	})
}
