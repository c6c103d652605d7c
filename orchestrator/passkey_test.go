package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/descope/virtualwebauthn"
	"github.com/pquerna/otp/totp"

	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// panelAt names the panel's address, which passkeys are for.
func (c *cluster) panelAt(panel string) {
	c.t.Helper()
	c.ok("PUT", "/api/v1/cluster/mail", mail.SetMailSettings{Host: "127.0.0.1", Port: 1, Security: mail.None, From: "paas@example.com",
		Panel: panel}, nil)
}

// party is the panel to an authenticator.
var party = virtualwebauthn.RelyingParty{ID: "paas.example.com", Name: "Hardnode", Origin: "https://paas.example.com:7443"}

// device is what keeps one passkey.
type device struct {
	virtualwebauthn.Authenticator
	key virtualwebauthn.Credential
}

// said is what passkey.js is told.
type said struct{ To, Why string }

func (v *visitor) says(path, content string) (status int, s said) {
	v.c.t.Helper()
	status, _, body := v.send("POST", path, content)
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		v.c.t.Fatalf("%s: %d %q", path, status, body)
	}
	return status, s
}

// asked is what a browser is asked.
func (v *visitor) asked(path string, form url.Values) string {
	v.c.t.Helper()
	status, _, body := v.ask("POST", path, form)
	if status != http.StatusOK {
		v.c.t.Fatalf("%s: %d %s", path, status, body)
	}
	return body
}

// creates is a device's answer by which it gets a passkey.
func creates(t testing.TB, rp virtualwebauthn.RelyingParty, d *device, ask string) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAttestationOptions(ask)
	must(t, err)
	d.Options.UserHandle = []byte(o.UserID)
	return virtualwebauthn.CreateAttestationResponse(rp, d.Authenticator, d.key, *o)
}

// signs is a device's answer by which it signs in.
func signs(t testing.TB, rp virtualwebauthn.RelyingParty, d *device, ask string) string {
	t.Helper()
	o, err := virtualwebauthn.ParseAssertionOptions(ask)
	must(t, err)
	d.key.Counter++
	return virtualwebauthn.CreateAssertionResponse(rp, d.Authenticator, d.key, *o)
}

func newDevice(kind virtualwebauthn.KeyType) *device {
	return &device{virtualwebauthn.NewAuthenticator(), virtualwebauthn.NewCredential(kind)}
}

// adds has a signed-in visitor add a passkey.
func (v *visitor) adds(d *device, name string) {
	v.c.t.Helper()
	ask := v.asked("/panel/you/passkey/ask", url.Values{"name": {name}, "password": {"correct horse"}})
	if status, s := v.says("/panel/you/passkey/answer", creates(v.c.t, party, d, ask)); status != http.StatusOK || s.To != "/panel/you" {
		v.c.t.Fatalf("passkey %s: %d %+v", name, status, s)
	}
}

// uses has a visitor sign in with a passkey.
func (v *visitor) uses(d *device, to string) (status int, s said) {
	v.c.t.Helper()
	return v.says("/panel/passkey/answer?to="+url.QueryEscape(to), signs(v.c.t, party, d, v.asked("/panel/passkey/ask", nil)))
}

// TestPasskeys: users add passkeys with their password, and sign in with them alone; what is not right in an answer signs nobody in.
func TestPasskeys(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "acme"}, nil)
	for _, mail := range []string{"ada@acme.example", "eve@acme.example"} {
		c.ok("POST", "/api/v1/users", user.NewUser{Mail: mail, Password: "correct horse", Account: "acme", Role: user.Owner}, nil)
	}
	ada := c.visitor()
	ada.password("ada@acme.example")

	// While the panel has no address with a name, there are none.
	for _, panel := range []string{"", "https://192.0.2.1:7443"} {
		if panel != "" {
			c.panelAt(panel)
		}
		if _, _, body := c.visitor().ask("GET", "/panel/login", nil); strings.Contains(body, "by-passkey") {
			t.Errorf("panel %q: the sign-in page offers passkeys", panel)
		}
		for _, path := range []string{"/panel/passkey/ask", "/panel/you/passkey/ask"} {
			status, s := ada.says(path, "")
			if status != http.StatusNotFound || !strings.Contains(s.Why, "no address with a name") {
				t.Errorf("panel %q, %s: %d %+v", panel, path, status, s)
			}
		}
	}
	c.panelAt("https://PaaS.example.com:7443")
	_, _, body := c.visitor().ask("GET", "/panel/login", nil)
	if !strings.Contains(body, `data-origin="https://paas.example.com:7443"`) || !strings.Contains(body, "/panel/assets/passkey.js?v=") {
		t.Errorf("the sign-in page: %s", body)
	}

	// Adding one takes a session and the password.
	if status, _, _ := c.visitor().ask("POST", "/panel/you/passkey/ask", url.Values{}); status != http.StatusSeeOther {
		t.Errorf("a stranger adds one: %d", status)
	}
	for form, want := range map[string]int{"name=laptop&password=wrong+horse": 403, "password=correct+horse": 422} {
		q, err := url.ParseQuery(form)
		must(t, err)
		if status, _, body := ada.ask("POST", "/panel/you/passkey/ask", q); status != want || !strings.Contains(body, "That did not work") {
			t.Errorf("%s: %d %s", form, status, body)
		}
	}
	laptop, phone := newDevice(virtualwebauthn.KeyTypeEC2), newDevice(virtualwebauthn.KeyTypeRSA)
	bad := party
	for name, change := range map[string]func(*virtualwebauthn.RelyingParty, *device){
		"another origin":   func(rp *virtualwebauthn.RelyingParty, _ *device) { rp.Origin = "https://evil.example.com:7443" },
		"another port":     func(rp *virtualwebauthn.RelyingParty, _ *device) { rp.Origin = "https://paas.example.com" },
		"another RP id":    func(rp *virtualwebauthn.RelyingParty, _ *device) { rp.ID = "example.com" },
		"no verification":  func(_ *virtualwebauthn.RelyingParty, d *device) { d.Options.UserNotVerified = true },
		"nobody was there": func(_ *virtualwebauthn.RelyingParty, d *device) { d.Options.UserNotPresent = true },
	} {
		rp, d := bad, newDevice(virtualwebauthn.KeyTypeEC2)
		change(&rp, d)
		ask := ada.asked("/panel/you/passkey/ask", url.Values{"name": {"bad"}, "password": {"correct horse"}})
		if status, s := ada.says("/panel/you/passkey/answer", creates(t, rp, d, ask)); status != http.StatusUnauthorized || s.Why == "" {
			t.Errorf("%s: %d %+v", name, status, s)
		}
	}
	ask := ada.asked("/panel/you/passkey/ask", url.Values{"name": {"laptop"}, "password": {"correct horse"}})
	for _, part := range []string{`"residentKey":"required"`, `"userVerification":"required"`, `"id":"paas.example.com"`} {
		if !strings.Contains(ask, part) {
			t.Errorf("it is asked for without %s: %s", part, ask)
		}
	}
	answer := creates(t, party, laptop, ask)
	eve := c.visitor()
	eve.password("eve@acme.example")
	eve.asked("/panel/passkey/ask", nil) // she has a cookie of her own
	if status, s := eve.says("/panel/you/passkey/answer", answer); status != http.StatusUnauthorized {
		t.Errorf("Eve's browser brings Ada's: %d %+v", status, s)
	}
	if status, s := ada.says("/panel/passkey/answer", answer); status != http.StatusUnauthorized {
		t.Errorf("it is for a sign-in: %d %+v", status, s)
	}
	if status, s := ada.says("/panel/you/passkey/answer", answer); status != http.StatusOK {
		t.Fatalf("Ada's own: %d %+v", status, s)
	}
	if status, s := ada.says("/panel/you/passkey/answer", answer); status != http.StatusUnauthorized {
		t.Errorf("once more: %d %+v", status, s)
	}
	ada.adds(phone, "phone")
	o, err := virtualwebauthn.ParseAttestationOptions(ada.asked("/panel/you/passkey/ask", url.Values{"name": {"x"},
		"password": {"correct horse"}}))
	if must(t, err); len(o.ExcludeCredentials) != 2 {
		t.Errorf("of those she has, her browser is told %q", o.ExcludeCredentials)
	}

	// She signs in with each, and is led to where she wanted to.
	for _, d := range []*device{laptop, phone} {
		v := c.visitor()
		if status, s := v.uses(d, "/panel/operations"); status != http.StatusOK || s.To != "/panel/operations" ||
			!strings.Contains(v.who(), "ada@acme.example") {
			t.Errorf("she signs in: %d %+v", status, s)
		}
	}
	v := c.visitor()
	if status, s := v.uses(laptop, "//evil.example/"); status != http.StatusOK || s.To != "/panel/" {
		t.Errorf("led elsewhere: %d %+v", status, s)
	}

	// What is not right signs nobody in.
	eves := newDevice(virtualwebauthn.KeyTypeEC2)
	eve.adds(eves, "laptop")
	for name, f := range map[string]func(v *visitor, d *device, ask string) string{
		"another origin": func(_ *visitor, d *device, ask string) string {
			rp := party
			rp.Origin = "https://paas.example.org:7443"
			return signs(t, rp, d, ask)
		},
		"another RP id": func(_ *visitor, d *device, ask string) string {
			rp := party
			rp.ID = "paas.example.org"
			return signs(t, rp, d, ask)
		},
		"no verification": func(_ *visitor, d *device, ask string) string {
			d.Options.UserNotVerified = true
			return signs(t, party, d, ask)
		},
		"Ada's by Eve's key": func(_ *visitor, d *device, ask string) string {
			d.key.Key = eves.key.Key
			return signs(t, party, d, ask)
		},
		"an unknown passkey": func(_ *visitor, d *device, ask string) string {
			d.key.ID = []byte("another")
			return signs(t, party, d, ask)
		},
	} {
		v, d := c.visitor(), *laptop
		content := f(v, &d, v.asked("/panel/passkey/ask", nil))
		status, s := v.says("/panel/passkey/answer", content)
		if status < 400 || !strings.Contains(s.Why, "That did not work") || v.who() != "" {
			t.Errorf("%s: %d %+v", name, status, s)
		}
	}
	one := c.visitor()
	right := signs(t, party, laptop, one.asked("/panel/passkey/ask", nil))
	if status, s := one.says("/panel/passkey/answer", right); status != http.StatusOK {
		t.Fatalf("a right one: %d %+v", status, s)
	}
	if status, s := one.says("/panel/passkey/answer", right); status != http.StatusUnauthorized || !strings.Contains(s.Why, "was used") {
		t.Errorf("it is replayed: %d %+v", status, s)
	}
	if status, _, _ := c.visitor().send("POST", "/panel/passkey/ask", "", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("asked from another site: %d", status)
	}

	// A copy of one is refused, once the other was used.
	copied := *laptop
	copied.key.Counter -= 2
	v = c.visitor()
	if status, s := v.uses(&copied, "/panel/"); status != http.StatusUnauthorized || !strings.Contains(s.Why, "there may be a copy") ||
		v.who() != "" {
		t.Errorf("a copy: %d %+v", status, s)
	}

	// A second factor goes with the password; a passkey counts as both.
	var in user.SignedIn
	c.as("", func() {
		c.ok("POST", "/api/v1/sessions", user.SignIn{Mail: "ada@acme.example", Password: "correct horse"}, &in)
	})
	token := in.Token.Reveal()
	c.as(token, func() {
		var f user.NewSecondFactor
		c.ok("POST", "/api/v1/user/second-factor", user.BeginSecondFactor{Password: "correct horse"}, &f)
		code, err := totp.GenerateCode(f.Secret.Reveal(), time.Now())
		must(t, err)
		c.ok("PUT", "/api/v1/user/second-factor", map[string]string{"code": code}, nil)
	})
	if status, s := c.visitor().uses(phone, "/panel/"); status != http.StatusOK {
		t.Errorf("with a second factor: %d %+v", status, s)
	}

	// She renames and removes hers; the record tells of all.
	var hers operator.List[user.Passkey]
	c.ok("POST", "/api/v1/users/eve@acme.example/sign-in-as", user.SignInAs{Reason: "ticket 4711"}, &in)
	acts := in.Token.Reveal()
	c.as(acts, func() {
		if resp, text := c.do(c.client, "GET", "/api/v1/user/passkeys", nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("who acts as Eve reads hers: %s %s", resp.Status, text)
		}
	})
	actor := c.visitor()
	actor.signIn(acts, "")
	if status, _, _ := actor.ask("POST", "/panel/you/passkey/ask", url.Values{"name": {"x"}, "password": {"correct horse"}}); status !=
		http.StatusForbidden {
		t.Errorf("who acts as Eve adds a passkey: %d", status)
	}
	c.ok("DELETE", "/api/v1/users/ada@acme.example/second-factor", nil, nil)
	c.as("", func() {
		c.ok("POST", "/api/v1/sessions", user.SignIn{Mail: "ada@acme.example", Password: "correct horse"}, &in)
	})
	c.as(in.Token.Reveal(), func() {
		c.ok("GET", "/api/v1/user/passkeys", nil, &hers)
		if len(hers.Items) != 2 || hers.Items[0].Name != "laptop" || hers.Items[1].Name != "phone" || hers.Items[0].Last.IsZero() ||
			hers.Items[0].Model == "" {
			t.Fatalf("hers are %+v", hers.Items)
		}
		c.ok("PATCH", "/api/v1/user/passkeys/"+hers.Items[1].ID, user.RenamePasskey{Name: "old phone"}, nil)
	})
	back := c.visitor()
	back.uses(laptop, "/panel/")
	if who := back.who(); !strings.Contains(who, "old phone") || !strings.Contains(who, "laptop") {
		t.Errorf("her page: %s", who)
	}
	form := url.Values{"passkey": {hers.Items[1].ID}, "password": {"wrong horse"}}
	if status, _, body := back.ask("POST", "/panel/you/passkey/remove", form); status != http.StatusForbidden ||
		!strings.Contains(body, "That did not work") {
		t.Errorf("with a wrong password: %d", status)
	}
	form.Set("password", "correct horse")
	if status, to, _ := back.ask("POST", "/panel/you/passkey/remove", form); status != http.StatusSeeOther || to != "/panel/you" {
		t.Errorf("she removes one: %d %s", status, to)
	}
	if status, s := c.visitor().uses(phone, "/panel/"); status != http.StatusUnauthorized || !strings.Contains(s.Why, "no user's here") {
		t.Errorf("with the one removed: %d %+v", status, s)
	}
	c.ok("DELETE", "/api/v1/users/ada@acme.example/passkeys", nil, nil)
	if status, _ := c.visitor().uses(laptop, "/panel/"); status != http.StatusUnauthorized || back.who() != "" {
		t.Errorf("after the reset: %d", status)
	}
	var audits operator.List[operator.Audit]
	c.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
	for _, want := range []string{"user.passkey.begin", "user.passkey.add", "user.passkey.count", "user.passkey.rename",
		"user.passkey.remove", "user.passkey.reset"} {
		if !slices.ContainsFunc(audits.Items, func(a operator.Audit) bool { return a.What == want }) {
			t.Errorf("no %s is on record", want)
		}
	}
	if !slices.ContainsFunc(audits.Items, func(a operator.Audit) bool {
		return a.What == "session.begin" && a.Who == "ada@acme.example" && strings.HasSuffix(a.Object, "(passkey)")
	}) {
		t.Error("no sign-in by a passkey is on record")
	}

	// Another address of the panel is another domain: what is for the one signs in at no other.
	c.panelAt("https://paas.example.org:7443")
	other := party
	other.ID, other.Origin = "paas.example.org", "https://paas.example.org:7443"
	v = c.visitor()
	if status, s := v.says("/panel/passkey/answer", signs(t, other, eves, v.asked("/panel/passkey/ask", nil))); status !=
		http.StatusUnauthorized || !strings.Contains(s.Why, "no user's here") {
		t.Errorf("at another domain: %d %+v", status, s)
	}
}

// TestPasskeysInBrowser: a real browser makes a passkey and signs in with it, under the panel's content security policy.
func TestPasskeysInBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	c := found(t, 2, "infra1")
	c.start()
	_, port, _ := strings.Cut(c.api, ":")
	base := "https://localhost:" + port
	c.panelAt(base)
	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "ada@example.com", Password: "correct horse", Account: "admin", Role: user.Owner}, nil)
	b.do(chromedp.EmulateViewport(1360, 900), chromedp.Navigate(base+"/panel/login"), chromedp.WaitVisible("#by-passkey button"))
	_, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{})
	must(t, err)
	_, err = chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
		Options: &webauthn.VirtualAuthenticatorOptions{Protocol: webauthn.AuthenticatorProtocolCtap2,
			Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
			AutomaticPresenceSimulation: true}})
	must(t, err)
	b.shoot("login-passkey")
	b.do(chromedp.SendKeys("#mail", "ada@example.com"), chromedp.SendKeys("#password", "correct horse\r"), chromedp.WaitVisible("a.who"),
		chromedp.Navigate(base+"/panel/you"), chromedp.WaitVisible("#add-passkey"))
	if look[bool](b, `document.getElementById("no-passkeys") !== null`) {
		t.Error("the page says that passkeys are added elsewhere")
	}
	b.do(chromedp.SendKeys("#passkey-name", "laptop"), chromedp.SendKeys("#passkey-password", "wrong horse\r"),
		chromedp.WaitVisible("#passkey-why"))
	b.says("her page", "the password or the code is wrong")
	b.shoot("you-passkey-refused")
	b.do(chromedp.SendKeys("#passkey-password", "correct horse\r"), chromedp.WaitVisible("details.passkey"))
	b.says("her page", "laptop", "not used yet")
	b.shoot("you-passkey")
	b.do(chromedp.SendKeys("#passkey-name", "again"), chromedp.SendKeys("#passkey-password", "correct horse\r"),
		chromedp.WaitVisible("#passkey-why"))
	b.says("her page", "this device has a passkey of yours already")
	b.do(chromedp.Navigate(base+"/panel/"), chromedp.WaitVisible(`form[action="/panel/logout"] button`),
		chromedp.Click(`form[action="/panel/logout"] button`), chromedp.WaitVisible("#ended"),
		chromedp.Navigate(base+"/panel/login?to=/panel/operations"), chromedp.WaitVisible("#by-passkey button"),
		chromedp.Click("#by-passkey button"))
	b.eventually("she is led to where she wanted to", `location.pathname === "/panel/operations" && document.querySelector("a.who") !== null`)
	c.ok("DELETE", "/api/v1/users/ada@example.com/passkeys", nil, nil)
	b.do(chromedp.Navigate(base+"/panel/login"), chromedp.WaitVisible("#by-passkey button"), chromedp.Click("#by-passkey button"),
		chromedp.WaitVisible("#passkey-why"))
	b.says("the sign-in page", "this passkey is no user's here")
	b.do(chromedp.Navigate("https://"+c.api+"/panel/login"), chromedp.WaitVisible("#by-mail"))
	b.eventually("at another address passkeys are not offered", `document.getElementById("by-passkey").hidden`)
	_, err = chromedp.Call(b.ctx, webauthn.Disable, cdp.Empty{})
	must(t, err)
	b.quiet("401", "403") // of what a page asked by itself when its session ended, and of what was refused
}
