package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// visitor is a browser without JavaScript: it keeps cookies and follows nothing.
type visitor struct {
	c       *cluster
	cookies map[string]*http.Cookie
}

func (c *cluster) visitor() *visitor { return &visitor{c, map[string]*http.Cookie{}} }

func (v *visitor) ask(method, path string, form url.Values, header ...string) (status int, to, body string) {
	v.c.t.Helper()
	if form != nil {
		header = append(header, "Content-Type", "application/x-www-form-urlencoded")
	}
	return v.send(method, path, form.Encode(), header...)
}

// send is ask, with a body of any kind.
func (v *visitor) send(method, path, content string, header ...string) (status int, to, body string) {
	v.c.t.Helper()
	req, err := http.NewRequest(method, "https://"+v.c.api+path, strings.NewReader(content))
	must(v.c.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if at := req.Header.Get("Host"); at != "" {
		req.Host = at
	}
	for _, k := range v.cookies {
		req.AddCookie(k)
	}
	resp, err := v.c.client.Transport.RoundTrip(req)
	if err != nil {
		v.c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(v.c.t, err)
	for _, k := range resp.Cookies() {
		if v.cookies[k.Name] = k; k.MaxAge < 0 {
			delete(v.cookies, k.Name)
		}
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(raw)
}

func (v *visitor) signIn(token, to string) (status int, at, body string) {
	v.c.t.Helper()
	return v.ask("POST", "/panel/login", url.Values{"token": {token}, "to": {to}})
}

// sentAway asks for a page and returns what the sign-in page says that it leads to.
func (v *visitor) sentAway(path string) (login string) {
	v.c.t.Helper()
	status, to, _ := v.ask("GET", path, nil)
	if status != http.StatusSeeOther || !strings.HasPrefix(to, "/panel/login") {
		v.c.t.Fatalf("%s: %d %s, want the sign-in page", path, status, to)
	}
	if live, _, _ := v.ask("GET", path, nil, "Hardnode-Live", "1"); live != http.StatusUnauthorized {
		v.c.t.Errorf("%s, live: %d, want 401", path, live)
	}
	status, _, login = v.ask("GET", to, nil)
	if status != http.StatusOK {
		v.c.t.Fatalf("%s: %d", to, status)
	}
	return login
}

// A session that ended says why, and signing in leads back to the page.
func TestPanelSessionEnds(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	token := func(name string) (text, id string) {
		var m operator.MadeToken
		c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: name, Scopes: []string{"read"}}, &m)
		return m.Text, m.ID
	}
	const page = "/panel/operations?x=1"
	for _, k := range []struct {
		name, want string
		end        func(v *visitor)
	}{
		{"never signed in", "", func(v *visitor) { clear(v.cookies) }},
		{"idle", "8 hours", func(*visitor) { c.later(8*time.Hour + time.Minute) }},
		{"idle, noticed days later", "8 hours", func(*visitor) { c.later(50 * time.Hour) }},
		{"a day old", "24 hours", func(v *visitor) {
			for range 4 {
				c.later(6*time.Hour - time.Minute)
				if status, _, _ := v.ask("GET", page, nil); status != http.StatusOK {
					t.Fatalf("within the day: %d", status)
				}
			}
			c.later(time.Hour)
		}},
		{"token revoked", "revoked", nil},
		{"signed out", "", func(v *visitor) {
			if _, to, _ := v.ask("POST", "/panel/logout", url.Values{}); to != "/panel/login?out" {
				t.Fatalf("signing out leads to %q", to)
			}
			if _, _, body := v.ask("GET", "/panel/login?out", nil); !strings.Contains(body, "You signed out.") {
				t.Errorf("after signing out: %s", body)
			}
		}},
		{"orchestrator restarted", "restarted", func(*visitor) { c.stopped(); c.start() }},
	} {
		t.Run(k.name, func(t *testing.T) {
			v := c.visitor()
			text, id := token(strings.ReplaceAll(k.name, ",", ""))
			if status, to, body := v.signIn(text, page); status != http.StatusSeeOther || to != page {
				t.Fatalf("sign in: %d %s\n%s", status, to, body)
			}
			if k.end == nil {
				c.ok("DELETE", "/api/v1/tokens/"+id, nil, nil)
			} else {
				k.end(v)
			}
			login := v.sentAway(page)
			if got := strings.Contains(login, `id="ended"`); got != (k.want != "") || !strings.Contains(login, k.want) {
				t.Errorf("the sign-in page does not say %q:\n%s", k.want, login)
			}
			if !strings.Contains(login, `name="to" value="/panel/operations?x=1"`) {
				t.Errorf("the sign-in page does not lead back:\n%s", login)
			}
			if again := v.sentAway(page); strings.Contains(again, `id="ended"`) != (k.want != "") {
				t.Error("the second look at the sign-in page tells another story")
			}
			if status, to, _ := v.signIn(adminToken, page); status != http.StatusSeeOther || to != page {
				t.Errorf("signed in again: %d %s", status, to)
			}
			if status, to, _ := v.ask("GET", "/panel/login?to=/panel/environments", nil); status != http.StatusSeeOther ||
				to != "/panel/environments" {
				t.Errorf("the sign-in page to who is signed in: %d %s", status, to)
			}
		})
	}
}

// The way in: where it leads, who may use it, and what the cookie is.
func TestPanelSignIn(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	v := c.visitor()
	for _, to := range []string{"https://evil.test/panel/", "//evil.test", `/panel/\evil.test`, "/panel/%2f%2fevil.test", "/api/v1/hosts",
		"/panel/a\r\nX: y"} {
		if status, at, _ := v.signIn(adminToken, to); status != http.StatusSeeOther || at != "/panel/" {
			t.Errorf("%q: %d, leads to %q", to, status, at)
		}
	}
	k := v.cookies["__Host-hardnode"]
	if k == nil || k.SameSite != http.SameSiteStrictMode || !k.Secure || !k.HttpOnly || k.Path != "/" || k.Domain != "" {
		t.Errorf("cookie: %+v", k)
	}
	if status, _, body := v.signIn("wrong", "/panel/operations"); status != http.StatusUnauthorized ||
		!strings.Contains(body, "not known") ||
		!strings.Contains(body, `name="to" value="/panel/operations"`) || !strings.Contains(body, "hnctl cluster init") {
		t.Errorf("a wrong token: %d\n%s", status, body)
	}
	var m operator.MadeToken
	c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "meters", Scopes: []string{string(authz.Metrics)}}, &m)
	if status, _, body := c.visitor().signIn(m.Text, "/panel/"); status != http.StatusForbidden ||
		!strings.Contains(body, "this needs read") {
		t.Errorf("a token that may not read: %d\n%s", status, body)
	}
	// What changes something must come from a page of ours, whatever cookie comes along.
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.test"},
		{"Origin", "null"}} {
		for _, path := range []string{"/panel/login", "/panel/logout"} {
			if status, _, _ := v.ask("POST", path, url.Values{"token": {adminToken}}, h...); status != http.StatusForbidden {
				t.Errorf("POST %s with %q: %d", path, h, status)
			}
		}
	}
	// The browser keeps a Strict cookie to itself on a link from elsewhere: a page of ours leads to the same address once more.
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	if status, _, body := c.visitor().ask("GET", "/panel/operations?x=1&y=2", nil, link...); status != http.StatusOK ||
		!strings.Contains(body, `http-equiv="refresh" content="0; url=/panel/operations?x=1&amp;y=2"`) {
		t.Errorf("a link from elsewhere: %d\n%s", status, body)
	}
	if status, to, _ := c.visitor().ask("GET", "/panel/operations", nil, "Sec-Fetch-Site", "same-origin"); status != http.StatusSeeOther ||
		!strings.HasPrefix(to, "/panel/login") {
		t.Errorf("a link of ours: %d %s", status, to)
	}
}

// TestPanelUsers: people sign in by mail address and password, under a cookie that nobody can have known before; what ends their session
// ends it everywhere; of what is wrong nobody learns which part it was.
func TestPanelUsers(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "acme"}, nil)
	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "ada@acme.example", Password: "correct horse", Account: "acme", Role: user.Owner}, nil)
	in := func(v *visitor, mail, password string) (status int, to, body string) {
		return v.ask("POST", "/panel/login", url.Values{"mail": {mail}, "password": {password}, "code": {""}, "to": {"/panel/operations"}})
	}
	v := c.visitor()
	status, _, first := in(v, "ada@acme.example", "wrong horse")
	if status != http.StatusUnauthorized || !strings.Contains(first, "the mail address, the password or the code is wrong") ||
		!strings.Contains(first, `value="ada@acme.example"`) || strings.Contains(first, "wrong horse") {
		t.Errorf("a wrong password: %d\n%s", status, first)
	}
	if status, _, body := in(v, "bob@acme.example", "wrong horse"); status != http.StatusUnauthorized ||
		strings.ReplaceAll(body, "bob@", "ada@") != first {
		t.Errorf("nobody's mail address is answered otherwise: %d\n%s", status, body)
	}
	// A cookie that was there before is not the one of the session.
	planted := strings.Repeat("a", 64) + ".0"
	v.cookies["__Host-hardnode"] = &http.Cookie{Name: "__Host-hardnode", Value: planted}
	if status, to, body := in(v, "Ada@acme.example", "correct horse"); status != http.StatusSeeOther || to != "/panel/operations" {
		t.Fatalf("signed in: %d %s\n%s", status, to, body)
	}
	if k := v.cookies["__Host-hardnode"]; k.Value == planted || k.SameSite != http.SameSiteStrictMode || !k.HttpOnly || !k.Secure {
		t.Errorf("the cookie is %+v", k)
	}
	other := c.visitor()
	other.cookies["__Host-hardnode"] = &http.Cookie{Name: "__Host-hardnode", Value: planted}
	other.sentAway("/panel/")
	if status, _, body := v.ask("GET", "/panel/", nil); status != http.StatusOK || !strings.Contains(body, "ada@acme.example") {
		t.Errorf("signed in: %d\n%s", status, body)
	}
	sessions := func() int { return store.Sessions.Len(c.o.store.View()) }
	if sessions() != 1 {
		t.Errorf("%d sessions are open", sessions())
	}
	if in(v, "ada@acme.example", "correct horse"); sessions() != 1 {
		t.Errorf("signed in again, %d sessions are open", sessions())
	}
	v.ask("POST", "/panel/logout", url.Values{})
	if sessions() != 0 {
		t.Errorf("signed out, %d sessions are open", sessions())
	}
	in(v, "ada@acme.example", "correct horse")
	c.ok("DELETE", "/api/v1/users/ada@acme.example/sessions", nil, nil)
	if login := v.sentAway("/panel/operations"); !strings.Contains(login, "the session was ended") {
		t.Errorf("the sign-in page does not say why:\n%s", login)
	}
}

// What is not there is 404 to people and to live.js, and the page says where to look instead.
func TestPanelNotFound(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 2<<30)
	if op := c.create(hello("hello", 1)); op.State != operator.OpDone {
		t.Fatalf("create: %+v", op)
	}
	v := c.visitor()
	v.signIn(adminToken, "")
	check := func(path string, want int, words ...string) {
		t.Helper()
		for _, header := range [][]string{nil, {"Hardnode-Live", "1"}} {
			status, _, body := v.ask("GET", path, nil, header...)
			if status != want {
				t.Errorf("%s %q: %d, want %d", path, header, status, want)
			}
			for _, w := range words {
				if !strings.Contains(body, w) {
					t.Errorf("%s %q lacks %q:\n%s", path, header, w, body)
				}
			}
		}
	}
	check("/panel/environments/hello", 200, `href="http://hello.demo.test/"`, "/panel/hosts/host1", "/panel/operations/op-")
	check("/panel/hosts/host1", 200, "/panel/environments/hello", "10.77.0.11")
	c.ok("POST", "/api/v1/hosts/host1/reboot", operator.LeaveHost{}, nil)
	op := c.drain("host1", operator.DrainHost{Reason: "fan <fails>", Stop: true})
	c.ended(op)
	check("/panel/hosts/host1", 200, "EVACUATED", "REBOOTING", "cordoned by admin: fan &lt;fails&gt;")
	check("/panel/operations", 200, "host.drain", `href="/panel/hosts/host1"`)
	check("/panel/operations/"+string(op), 200, "host.drain", `href="/panel/hosts/host1"`)
	check("/panel/environments/nope", 404, "Environment nope is not there", "/panel/environments")
	check("/panel/hosts/nope", 404, "Host nope is not there", "All hosts")
	check("/panel/operations/op-nope", 404, "Operation op-nope is not there", "/panel/operations")
	check("/panel/nope", 404, "There is no such page")
	check("/panel/environments/hello/more", 404, "There is no such page")
	check("/panel/hosts/%3Cscript%3E", 404, "&lt;script&gt;")
	id := c.change("delete", "hello")
	c.ended(id)
	check("/panel/environments/hello", 404, "It was deleted", "/panel/operations/"+string(id))
	check("/panel/operations/"+string(id), 200, "env.delete", "/panel/environments/hello")
}

// TestPanelPagesCount: a page counts as what is asked of the API with the same token, and says how much more may be asked.
func TestPanelPagesCount(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1")
	c.start()
	v := c.visitor()
	v.signIn(adminToken, "")
	req, err := http.NewRequest("GET", "https://"+c.api+"/panel/environments", nil)
	must(t, err)
	for _, k := range v.cookies {
		req.AddCookie(k)
	}
	resp, err := c.client.Transport.RoundTrip(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("RateLimit"), `"token";r=`) {
		t.Errorf("a page: %s %v", resp.Status, resp.Header)
	}
}
