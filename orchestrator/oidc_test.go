package main

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/idp/idptest"
	people "hardnode.dev/orchestrator/users"
)

// person is an identity provider's word for somebody.
func person(subject, mail string) idptest.Is {
	return idptest.Is{Claims: map[string]any{"sub": subject, "email": mail, "email_verified": true}}
}

// provider runs an identity provider and names it to the cluster.
func (c *cluster) provider(panel string, change func(*oidc.SetOidcSettings)) *idptest.Provider {
	c.t.Helper()
	p := idptest.Start(c.t)
	c.named(p, panel, change)
	return p
}

func (c *cluster) named(p *idptest.Provider, panel string, change func(*oidc.SetOidcSettings)) {
	c.t.Helper()
	text := secret.Text(idptest.Secret)
	s := oidc.SetOidcSettings{Issuer: p.URL, Client: idptest.Client, Secret: &text, Name: "Example SSO", Panel: panel, CA: p.CA,
		Inside: true}
	if change != nil {
		change(&s)
	}
	var now oidc.OidcSettings
	c.ok("PUT", "/api/v1/cluster/oidc", s, &now)
	if !now.Secret || now.Redirect != panel+oidc.BackPath {
		c.t.Errorf("the settings are %+v", now)
	}
}

var refresh = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]*)"`)

// led is where a page leads to.
func led(body string) string {
	m := refresh.FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// away has a visitor sign in with the provider, by a form; what the page says that they come back to is returned.
func (v *visitor) away(p *idptest.Provider, form string, fields url.Values) (status int, body string) {
	v.c.t.Helper()
	status, _, body = v.ask("POST", form, fields)
	at := led(body)
	if status != http.StatusOK || !strings.HasPrefix(at, p.URL+"/authorize?") {
		v.c.t.Fatalf("%s: %d %s", form, status, body)
	}
	to := p.Visit(v.c.t, at)
	status, _, body = v.ask("GET", to.RequestURI(), nil, "Sec-Fetch-Site", "cross-site")
	return status, body
}

func (v *visitor) password(mail string) {
	v.c.t.Helper()
	if status, to, body := v.ask("POST", "/panel/login", url.Values{"mail": {mail}, "password": {"correct horse"}}); status != 303 {
		v.c.t.Fatalf("%s: %d %s %s", mail, status, to, body)
	}
}

// who is what a visitor's page about themselves says, "" if nobody is signed in.
func (v *visitor) who() string {
	status, _, body := v.ask("GET", "/panel/you", nil)
	if status != http.StatusOK {
		return ""
	}
	return body
}

// TestOIDC: users sign in with the identity provider at the panel and for hnctl, once they are bound to it; on record, and no others.
func TestOIDC(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	panel := "https://" + c.api
	stranger := c.visitor()
	if _, _, body := stranger.ask("GET", "/panel/login", nil); strings.Contains(body, "by-provider") {
		t.Error("without a provider the sign-in page offers one")
	}
	for _, path := range []string{oidc.BackPath, oidc.HnctlPath} {
		if status, _, _ := stranger.ask("GET", path, nil); status < 400 {
			t.Errorf("%s without a provider: %d", path, status)
		}
	}
	for _, path := range []string{"/panel/oidc", "/panel/oidc/code"} {
		if status, _, body := stranger.ask("POST", path, url.Values{"ticket": {"x"}}); status != http.StatusNotFound {
			t.Errorf("%s without a provider: %d %s", path, status, body)
		}
	}
	p := c.provider(panel, nil)
	var ways oidc.SignInWays
	c.as("", func() { c.ok("GET", "/api/v1/sign-in", nil, &ways) })
	if ways.Oidc == nil || ways.Oidc.Name != "Example SSO" || ways.Oidc.Hnctl != panel+oidc.HnctlPath {
		t.Errorf("the ways are %+v", ways)
	}
	c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "acme"}, nil)
	for _, mail := range []string{"ada@acme.example", "eve@acme.example"} {
		c.ok("POST", "/api/v1/users", user.NewUser{Mail: mail, Password: "correct horse", Account: "acme", Role: user.Owner}, nil)
	}

	// Nobody is bound yet: the same for whoever has a user's mail address.
	p.Do(person("1", "ada@acme.example"))
	status, body := stranger.away(p, "/panel/oidc", url.Values{})
	if status != http.StatusUnauthorized || !strings.Contains(body, "no user here is bound to that") || stranger.who() != "" {
		t.Errorf("bound to nobody: %d %s", status, body)
	}

	// Ada binds herself, with her password.
	ada := c.visitor()
	ada.password("ada@acme.example")
	if status, _, body := ada.ask("POST", "/panel/you/bind", url.Values{"password": {"wrong horse"}}); status != http.StatusForbidden ||
		!strings.Contains(body, "the password or the code is wrong") {
		t.Errorf("with a wrong password: %d %s", status, body)
	}
	status, body = ada.away(p, "/panel/you/bind", url.Values{"password": {"correct horse"}})
	if status != http.StatusOK || led(body) != "/panel/you" || !strings.Contains(ada.who(), "ada@acme.example for you") {
		t.Errorf("she binds herself: %d %s\n%s", status, body, ada.who())
	}
	// She signs in by it, and is led to where she wanted to.
	back := c.visitor()
	status, body = back.away(p, "/panel/oidc", url.Values{"to": {"/panel/operations"}})
	if status != http.StatusOK || led(body) != "/panel/operations" || !strings.Contains(back.who(), "ada@acme.example") {
		t.Errorf("she signs in: %d %s", status, body)
	}
	if status, _, _ := back.ask("GET", "/panel/operations", nil); status != http.StatusOK {
		t.Errorf("her page: %d", status)
	}
	status, body = c.visitor().away(p, "/panel/oidc", url.Values{"to": {"//evil.example/"}})
	if status != http.StatusOK || led(body) != "/panel/" {
		t.Errorf("led elsewhere: %d %s", status, body)
	}
	// A second subject can't be hers too, nor hers Eve's.
	eve := c.visitor()
	eve.password("eve@acme.example")
	if status, body := eve.away(p, "/panel/you/bind", url.Values{"password": {"correct horse"}}); status != http.StatusConflict ||
		!strings.Contains(body, "another user signs in by this one") {
		t.Errorf("Eve takes Ada's: %d %s", status, body)
	}

	// What another browser began is nobody's here: Ada is not signed in as Eve by a link that Eve sends her.
	p.Do(person("2", "eve@acme.example"))
	eve.away(p, "/panel/you/bind", url.Values{"password": {"correct horse"}})
	_, _, body = eve.ask("POST", "/panel/oidc", url.Values{})
	sent := p.Visit(t, led(body)).RequestURI()
	other := c.visitor()
	if status, _, body := other.ask("GET", sent, nil); status != http.StatusUnauthorized || other.who() != "" {
		t.Errorf("another browser's: %d %s", status, body)
	}
	_, _, body = other.ask("POST", "/panel/oidc", url.Values{}) // also once it has a cookie of its own
	if status, _, _ := other.ask("GET", sent, nil); led(body) == "" || status != http.StatusUnauthorized || other.who() != "" {
		t.Error("another browser's, with a cookie")
	}
	if status, _, _ := eve.ask("GET", sent, nil); status != http.StatusOK {
		t.Errorf("her own: %d", status)
	}
	if status, _, body := eve.ask("GET", sent, nil); status != http.StatusUnauthorized {
		t.Errorf("once more: %d %s", status, body)
	}
	if status, _, _ := c.visitor().ask("POST", "/panel/oidc", url.Values{}, "Sec-Fetch-Site", "cross-site"); status != 403 {
		t.Errorf("a form of another site: %d", status)
	}

	// hnctl has a session by a port of the browser's machine, and what its challenge was made of.
	p.Do(person("1", "ada@acme.example"))
	const verifier = "the verifier of hnctl, which it never sends before the end"
	ask := url.Values{"port": {"45678"}, "challenge": {people.Challenge(verifier)}, "state": {"a-state-of-hnctl-s-own"}}
	status, _, body = back.ask("GET", oidc.HnctlPath+"?"+ask.Encode(), nil)
	if status != http.StatusOK || !strings.Contains(body, "45678") {
		t.Errorf("hnctl's page: %d %s", status, body)
	}
	for name, bad := range map[string]string{"port": "80", "challenge": "x", "state": "<script>alert(1)</script>"} {
		q := url.Values{"port": ask["port"], "challenge": ask["challenge"], "state": ask["state"]}
		q.Set(name, bad)
		if status, _, _ := back.ask("GET", oidc.HnctlPath+"?"+q.Encode(), nil); status != http.StatusBadRequest {
			t.Errorf("%s %s: %d", name, bad, status)
		}
		if status, _, _ := back.ask("POST", "/panel/oidc", q); status != http.StatusBadRequest {
			t.Errorf("%s %s, asked for: %d", name, bad, status)
		}
	}
	take := func(change func(*oidc.OidcSignIn)) (in user.SignedIn, problem *operator.Problem) {
		t.Helper()
		status, body := c.visitor().away(p, "/panel/oidc", ask)
		to, err := url.Parse(led(body))
		if status != http.StatusOK || err != nil || to.Scheme != "http" || to.Host != "127.0.0.1:45678" ||
			to.Query().Get("state") != "a-state-of-hnctl-s-own" {
			t.Fatalf("hnctl is led to %q: %d %s", to, status, body)
		}
		q := oidc.OidcSignIn{Ticket: secret.Text(to.Query().Get("ticket")), Verifier: verifier}
		if change != nil {
			change(&q)
		}
		c.as("", func() { problem = c.call("POST", "/api/v1/sessions/oidc", q, &in) })
		return in, problem
	}
	in, problem := take(nil)
	if problem != nil || in.Mail != "ada@acme.example" || in.Kind != "api" {
		t.Fatalf("hnctl has %+v %v", in, problem)
	}
	if _, problem := take(func(q *oidc.OidcSignIn) { q.Verifier = "another" }); problem == nil || problem.Status != 401 {
		t.Errorf("whoever read the ticket: %v", problem)
	}
	if _, problem := take(func(q *oidc.OidcSignIn) { q.Account = "admin" }); problem == nil || problem.Status != 403 {
		t.Errorf("in an account that is not hers: %v", problem)
	}
	c.as(in.Token.Reveal(), func() {
		var self user.User
		c.ok("GET", "/api/v1/user", nil, &self)
		if self.Identity == nil || self.Identity.Issuer != p.URL {
			t.Errorf("she is %+v", self)
		}
		var audits operator.List[operator.Audit]
		c.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
		for _, want := range []string{"session.begin", "user.identity.begin", "user.identity.bind"} {
			if !slices.ContainsFunc(audits.Items, func(a operator.Audit) bool {
				return a.What == want && a.Who == "ada@acme.example" && a.Result == "ok" &&
					(want != "session.begin" || strings.HasSuffix(a.Object, "(Example SSO)"))
			}) {
				t.Errorf("no %s is on record: %+v", want, audits.Items)
			}
		}
		if resp, text := c.do(c.client, "GET", "/api/v1/cluster/oidc", nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("an account reads the settings: %s %s", resp.Status, text)
		}
	})

	// Who acts as her does not bind her.
	var acts user.SignedIn
	c.ok("POST", "/api/v1/users/ada@acme.example/sign-in-as", user.SignInAs{Reason: "ticket 4711"}, &acts)
	acting := c.visitor()
	acting.signIn(acts.Token.Reveal(), "")
	if status, _, body := acting.ask("POST", "/panel/you/bind", url.Values{"password": {"correct horse"}}); status != http.StatusForbidden {
		t.Errorf("who acts as her binds her: %d %s", status, body)
	}

	// Her second factor is asked for here too, until the provider's sign-in counts as both.
	var factor user.NewSecondFactor
	now := func() string {
		code, err := totp.GenerateCode(factor.Secret.Reveal(), time.Now())
		must(t, err)
		return code
	}
	var codes user.RecoveryCodes
	c.as(in.Token.Reveal(), func() {
		c.ok("POST", "/api/v1/user/second-factor", user.BeginSecondFactor{Password: "correct horse"}, &factor)
		c.ok("PUT", "/api/v1/user/second-factor", user.ConfirmSecondFactor{Code: secret.Text(now())}, &codes)
	})
	two := c.visitor()
	status, body = two.away(p, "/panel/oidc", url.Values{"to": {"/panel/operations"}})
	ticket := regexp.MustCompile(`name="ticket" value="([0-9a-f]{64})"`).FindStringSubmatch(body)
	if status != http.StatusOK || ticket == nil || two.who() != "" {
		t.Fatalf("she is asked for a code: %d %s", status, body)
	}
	with := func(code string) url.Values {
		return url.Values{"ticket": {ticket[1]}, "code": {code}, "to": {"/panel/operations"}}
	}
	if status, _, body := two.ask("POST", "/panel/oidc/code", with("000000")); status != http.StatusUnauthorized || two.who() != "" {
		t.Errorf("a wrong code: %d %s", status, body)
	}
	if status, _, _ := c.visitor().ask("POST", "/panel/oidc/code", with(codes.Codes[0].Reveal())); status != http.StatusUnauthorized {
		t.Errorf("another browser with her ticket: %d", status)
	}
	two.away(p, "/panel/oidc", url.Values{})
	status, body = two.away(p, "/panel/oidc", url.Values{"to": {"/panel/operations"}})
	ticket = regexp.MustCompile(`name="ticket" value="([0-9a-f]{64})"`).FindStringSubmatch(body)
	if status, _, body := two.ask("POST", "/panel/oidc/code", with(codes.Codes[1].Reveal())); status != http.StatusOK ||
		led(body) != "/panel/operations" || two.who() == "" {
		t.Errorf("a right code: %d %s", status, body)
	}
	if _, problem := take(nil); problem == nil || problem.Object != oidc.CodeNeeded {
		t.Errorf("hnctl without a code: %v", problem)
	}
	if _, problem := take(func(q *oidc.OidcSignIn) { q.Code = codes.Codes[2] }); problem != nil {
		t.Errorf("hnctl with a code: %v", problem)
	}
	c.named(p, panel, func(s *oidc.SetOidcSettings) { s.Counts = oidc.Both })
	if _, problem := take(nil); problem != nil {
		t.Errorf("where it counts as both: %v", problem)
	}

	// What ends users and accounts ends it.
	owner := "suspended"
	state := account.Suspended
	c.ok("PATCH", "/api/v1/accounts/acme", account.ChangeAccount{State: &state, Reason: owner}, nil)
	in, problem = take(nil)
	if problem != nil {
		t.Fatalf("of a suspended account: %v", problem)
	}
	c.as(in.Token.Reveal(), func() {
		if problem := c.call("POST", "/api/v1/environments", hello("x", 1), nil); problem == nil || problem.Status != 403 {
			t.Errorf("a suspended account makes something: %v", problem)
		}
	})
	c.ok("DELETE", "/api/v1/users/ada@acme.example/identity", nil, nil)
	if resp, _ := c.do(c.client, "GET", "/api/v1/user", nil, "Authorization", "Bearer "+in.Token.Reveal()); resp.StatusCode != 401 {
		t.Errorf("her session goes on: %s", resp.Status)
	}
	if status, _ := c.visitor().away(p, "/panel/oidc", url.Values{}); status != http.StatusUnauthorized {
		t.Errorf("she signs in after all: %d", status)
	}

	// Away, and removed: passwords go on.
	p.Do(idptest.Is{Down: true})
	c.stopped()
	c.start()
	gone := c.visitor()
	if status, _, body := gone.ask("POST", "/panel/oidc", url.Values{}); status != http.StatusServiceUnavailable ||
		!strings.Contains(body, "Example SSO can&#39;t be reached") || !strings.Contains(body, "by-mail") {
		t.Errorf("away: %d %s", status, body)
	}
	gone.password("eve@acme.example")
	c.ok("DELETE", "/api/v1/cluster/oidc", nil, nil)
	if _, _, body := c.visitor().ask("GET", "/panel/login", nil); strings.Contains(body, "by-provider") {
		t.Error("the sign-in page offers what was removed")
	}
}

// TestOIDCByLink: who was invited comes in by the provider, without a password; the provider's word for an address binds where it counts.
func TestOIDCByLink(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	panel := "https://" + c.api
	p := c.provider(panel, func(s *oidc.SetOidcSettings) { s.Domains = []string{"acme.example"} })
	var invite user.MadeInvite
	c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "acme"}, nil)
	c.ok("POST", "/api/v1/invites", user.NewInvite{Mail: "bob@acme.example", Role: user.Developer, Account: "acme"}, &invite)
	text := strings.TrimPrefix(invite.Link.Reveal(), user.LinkPath)
	bob := c.visitor()
	if _, _, body := bob.ask("GET", invite.Link.Reveal(), nil); !strings.Contains(body, "Accept with Example SSO") {
		t.Errorf("the link's page: %s", body)
	}
	p.Do(idptest.Is{Error: "access_denied"})
	if status, body := bob.away(p, "/panel/oidc/link", url.Values{"link": {text}}); status != http.StatusUnauthorized ||
		!strings.Contains(body, "did not sign you in: access_denied") || !strings.Contains(body, `name="link"`) {
		t.Errorf("he is refused there: %d %s", status, body)
	}
	p.Do(person("7", "robert@else.example"))
	status, body := bob.away(p, "/panel/oidc/link", url.Values{"link": {text}, "name": {"Bob"}})
	if status != http.StatusOK || led(body) != "/panel/login?did=invite" {
		t.Fatalf("he comes by the link: %d %s", status, body)
	}
	if status, _ := bob.away(p, "/panel/oidc", url.Values{}); status != http.StatusOK || !strings.Contains(bob.who(), "bob@acme.example") {
		t.Errorf("he signs in: %d %s", status, bob.who())
	}
	if status, _, body := bob.ask("POST", "/panel/you/unbind", url.Values{"password": {""}}); status != http.StatusConflict ||
		!strings.Contains(body, "you have no password") {
		t.Errorf("without a password he can't prove who he is: %d %s", status, body)
	}
	// The provider's word.
	for _, mail := range []string{"ada@acme.example", "cy@else.example"} {
		c.ok("POST", "/api/v1/users", user.NewUser{Mail: mail, Password: "correct horse", Account: "acme", Role: user.Owner}, nil)
	}
	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "root@acme.example", Password: "correct horse", Account: "admin", Role: user.Owner},
		nil)
	for mail, want := range map[string]int{"ada@acme.example": 200, "cy@else.example": 401, "root@acme.example": 401} {
		p.Do(person("of "+mail, mail))
		if status, body := c.visitor().away(p, "/panel/oidc", url.Values{}); status != want {
			t.Errorf("%s: %d %s", mail, status, body)
		}
	}
	p.Do(person("another", "ada@acme.example"))
	if status, _ := c.visitor().away(p, "/panel/oidc", url.Values{}); status != http.StatusUnauthorized {
		t.Errorf("another subject with her address: %d", status)
	}
}

// TestOIDCInBrowser: the cookies, the policy of pages and the redirects let a real browser through, from another site and without scripts.
func TestOIDCInBrowser(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	c := found(t, 2, "infra1")
	c.start()
	_, port, _ := strings.Cut(c.api, ":")
	base := "https://localhost:" + port // the provider is at 127.0.0.1, which is another site
	p := c.provider(base, nil)
	p.Do(person("1", "ada@sso.example"))
	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "ada@example.com", Password: "correct horse", Account: "admin", Role: user.Owner}, nil)
	b.do(chromedp.EmulateViewport(1360, 900), chromedp.Navigate(base+"/panel/login?to=/panel/operations"),
		chromedp.WaitVisible("#by-provider"))
	b.shoot("login-provider")
	b.do(chromedp.SendKeys("#mail", "ada@example.com"), chromedp.SendKeys("#password", "correct horse\r"), chromedp.WaitVisible("a.who"),
		chromedp.Navigate(base+"/panel/you"), chromedp.WaitVisible("#bind"))
	b.shoot("you")
	b.do(chromedp.SendKeys("#password", "correct horse\r"), chromedp.WaitVisible("#bound"))
	b.says("her page", "ada@sso.example for you")
	b.shoot("you-bound")
	b.do(chromedp.Navigate(base+"/panel/"), chromedp.WaitVisible(`form[action="/panel/logout"] button`),
		chromedp.Click(`form[action="/panel/logout"] button`), chromedp.WaitVisible("#ended"),
		chromedp.Navigate(base+"/panel/login?to=/panel/operations"), chromedp.WaitVisible("#by-provider button"),
		chromedp.Click("#by-provider button"))
	b.eventually("she is led to where she wanted to", `location.pathname === "/panel/operations" && document.querySelector("a.who") !== null`)
	b.quiet("401") // of what a page asked by itself when its session ended
}
