package main

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// kept is a log that is looked into.
type kept struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (k *kept) Write(p []byte) (int, error) { k.mu.Lock(); defer k.mu.Unlock(); return k.buf.Write(p) }

func (k *kept) String() string { k.mu.Lock(); defer k.mu.Unlock(); return k.buf.String() }

// letter opens what waits to be sent to somebody.
func (c *cluster) letter(to string) (text string) {
	c.t.Helper()
	c.eventually("a mail waits for "+to, func() bool {
		for _, m := range store.Outbox.Refs(c.o.store.View()) {
			if m.To == to && len(m.Text) > 0 {
				plain, err := c.o.mail.Keys.Open(m.ID, m.Text)
				must(c.t, err)
				text = string(plain.Reveal())
				return true
			}
		}
		return false
	})
	return text
}

// TestLinks: people come by links, without JavaScript; a look at one changes nothing, and its secret is nowhere but in it.
func TestLinks(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	log := &kept{}
	c.said = log
	c.start()
	c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "acme"}, nil)
	v := c.visitor()
	var secrets []string

	// Without mail the link is a path, for whoever asked to hand over.
	var made user.MadeInvite
	c.ok("POST", "/api/v1/invites", user.NewInvite{Mail: "ada@acme.example", Role: user.Owner, Account: "acme"}, &made)
	at := made.Link.Reveal()
	if made.Mailed || !regexp.MustCompile(`^/panel/link/[0-9a-f]{64}$`).MatchString(at) {
		t.Fatalf("the link is %q", at)
	}
	of := func(at string) url.Values {
		secret := strings.TrimPrefix(at, user.LinkPath)
		secrets = append(secrets, secret)
		return url.Values{"link": {secret}, "password": {"correct horse"}, "again": {"correct horse"}}
	}
	form := of(at)
	resp, page := c.do(c.plain, "GET", at, nil)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Referrer-Policy") != "no-referrer" ||
		resp.Header.Get("Cache-Control") != "no-store" || !strings.Contains(page, "into account acme of cluster demo, as owner") ||
		strings.Contains(page, "<script") {
		t.Errorf("its page: %s %v\n%s", resp.Status, resp.Header, page)
	}
	rev := c.o.store.View().Revision()
	for range 3 {
		v.ask("GET", at, nil)
		v.ask("HEAD", at, nil)
	}
	if now := c.o.store.View(); now.Revision() != rev && store.Links.Len(now) != 1 || store.Users.Len(now) != 0 {
		t.Error("looking at a link did something")
	}
	if status, _, _ := v.ask("POST", "/panel/link", form, "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("another site uses it: %d", status)
	}
	wrong := url.Values{"link": form["link"], "password": {"correct horse"}, "again": {"another horse"}}
	if status, _, page := v.ask("POST", "/panel/link", wrong); status != http.StatusUnprocessableEntity ||
		!strings.Contains(page, "the two passwords are not the same") || strings.Contains(page, "correct horse") {
		t.Errorf("two passwords: %d\n%s", status, page)
	}
	status, to, page := v.ask("POST", "/panel/link", form, "Host", "evil.example")
	if status != http.StatusSeeOther || to != "/panel/login?did=invite" {
		t.Fatalf("accepted: %d %s\n%s", status, to, page)
	}
	if _, _, page = v.ask("GET", to, nil); !strings.Contains(page, "You are in the account now. Sign in.") {
		t.Errorf("the sign-in page says\n%s", page)
	}
	for _, ask := range []func() (int, string, string){func() (int, string, string) { return v.ask("POST", "/panel/link", form) },
		func() (int, string, string) { return v.ask("GET", at, nil) }} {
		if status, _, page := ask(); status != http.StatusNotFound || !strings.Contains(page, "it was used") {
			t.Errorf("once more: %d\n%s", status, page)
		}
	}
	in := func(mail, password string) int {
		status, _, _ := c.visitor().ask("POST", "/panel/login", url.Values{"mail": {mail}, "password": {password}})
		return status
	}
	if status := in("ada@acme.example", "correct horse"); status != http.StatusSeeOther {
		t.Errorf("signing in: %d", status)
	}

	// With mail the link goes to the address that the settings name, whatever the request says.
	if status, _, page := v.ask("POST", "/panel/forgot", url.Values{"mail": {"ada@acme.example"}}); status !=
		http.StatusServiceUnavailable || !strings.Contains(page, "sends no mail") {
		t.Errorf("without mail: %d\n%s", status, page)
	}
	c.ok("PUT", "/api/v1/cluster/mail", mail.SetMailSettings{Host: "127.0.0.1", Port: 1, Security: mail.None, From: "paas@example.com",
		Panel: "https://paas.example.com"}, nil)
	forgot := func(mail string) string {
		t.Helper()
		status, _, page := v.ask("POST", "/panel/forgot", url.Values{"mail": {mail}}, "X-Forwarded-Host", "evil.example", "Host",
			"evil.example")
		if status != http.StatusOK {
			t.Errorf("forgot: %d\n%s", status, page)
		}
		return strings.ReplaceAll(page, mail, "")
	}
	if forgot("ada@acme.example") != forgot("bob@acme.example") {
		t.Error("who is a user is answered otherwise than who is none")
	}
	text := c.letter("ada@acme.example")
	at = regexp.MustCompile(`https://paas\.example\.com(/panel/link/[0-9a-f]{64})`).FindStringSubmatch(text)[1]
	if strings.Contains(text, "evil") {
		t.Errorf("the mail is %s", text)
	}
	form = of(at)
	form.Set("password", "battery staple")
	form.Set("again", "battery staple")
	if status, to, page := v.ask("POST", "/panel/link", form); status != http.StatusSeeOther || to != "/panel/login?did=reset" {
		t.Fatalf("reset: %d %s\n%s", status, to, page)
	}
	if in("ada@acme.example", "correct horse") != http.StatusUnauthorized ||
		in("ada@acme.example", "battery staple") != http.StatusSeeOther {
		t.Error("the password is not the new one")
	}

	// People make accounts where a group is open, and nowhere else.
	for _, at := range []string{"/panel/signup/default", "/panel/signup/nosuch"} {
		if status, _, _ := v.ask("GET", at, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", at, status)
		}
		if status, _, _ := v.ask("POST", at, url.Values{"mail": {"eve@example.com"}}); status != http.StatusNotFound {
			t.Errorf("%s: %d", at, status)
		}
	}
	c.tokenOf("shop") // known by a token alone
	c.ok("PUT", "/api/v1/account-groups/default", account.SetAccountGroup{SignUp: true, Days: 14}, nil)
	if _, _, page := v.ask("GET", "/panel/login", nil); !strings.Contains(page, `href="/panel/signup/default"`) {
		t.Errorf("the sign-in page does not lead to it:\n%s", page)
	}
	if status, _, page := v.ask("POST", "/panel/signup/default", url.Values{"mail": {"eve@example.com"}}); status != http.StatusOK {
		t.Errorf("sign up: %d\n%s", status, page)
	}
	text = c.letter("eve@example.com")
	form = of(regexp.MustCompile(`/panel/link/[0-9a-f]{64}`).FindString(text))
	for _, name := range []string{"shop", "acme", "admin"} {
		form.Set("account", name)
		if status, _, page := v.ask("POST", "/panel/link", form); status != http.StatusConflict ||
			!strings.Contains(page, "there is an account of that name") {
			t.Errorf("account %s: %d\n%s", name, status, page)
		}
	}
	form.Set("account", "eves")
	if status, to, page := v.ask("POST", "/panel/link", form); status != http.StatusSeeOther || to != "/panel/login?did=signup" {
		t.Fatalf("sign up: %d %s\n%s", status, to, page)
	}
	var eves account.Account
	c.ok("GET", "/api/v1/accounts/eves", nil, &eves)
	if eves.State != account.Trial || eves.By != "eve@example.com" || in("eve@example.com", "correct horse") != http.StatusSeeOther {
		t.Errorf("the account is %+v", eves)
	}

	// Owners invite into their own account, and are told who is.
	var session user.SignedIn
	c.as("", func() {
		c.ok("POST", "/api/v1/sessions", user.SignIn{Mail: "ada@acme.example", Password: "battery staple"}, &session)
	})
	c.as(session.Token.Reveal(), func() {
		other := user.NewInvite{Mail: "x@example.com", Role: user.Viewer, Account: "eves"}
		if p := c.call("POST", "/api/v1/invites", other, nil); p == nil || p.Code != operator.NotFound {
			t.Errorf("into another's account: %v", p)
		}
		made = user.MadeInvite{}
		c.ok("POST", "/api/v1/invites", user.NewInvite{Mail: "kim@example.com", Role: user.Viewer}, &made)
		if made.Link != "" || !made.Mailed || made.Account != "acme" {
			t.Errorf("made %+v", made)
		}
		var list operator.List[user.Invite]
		c.ok("GET", "/api/v1/invites", nil, &list)
		if len(list.Items) != 1 || list.Items[0].Mail != "kim@example.com" {
			t.Errorf("invited are %+v", list.Items)
		}
		var audits operator.List[operator.Audit]
		c.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
		seen := map[string]bool{}
		for _, a := range audits.Items {
			seen[a.What+" "+a.Object] = true
		}
		for _, want := range []string{"user.invite users/kim@example.com (viewer of acme)", "link.invite users/ada@acme.example",
			"link.reset users/ada@acme.example", "user.forgot users/ada@acme.example"} {
			if !seen[want] {
				t.Errorf("the record lacks %s: %v", want, seen)
			}
		}
		c.ok("DELETE", "/api/v1/invites/"+made.ID, nil, nil)
	})
	secrets = append(secrets, regexp.MustCompile(`[0-9a-f]{64}`).FindString(c.letter("kim@example.com")))
	audit, err := os.ReadFile(filepath.Join(c.dir, "data", "audit.jsonl"))
	must(t, err)
	for _, s := range secrets {
		if len(s) != 64 || strings.Contains(string(audit), s) || strings.Contains(log.String(), s) {
			t.Errorf("the secret %.8s… is in the record or in the log", s)
		}
	}
	if log.String() == "" {
		t.Error("nothing was logged: this looks into another log")
	}
}
