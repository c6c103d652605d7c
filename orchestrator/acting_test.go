package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
)

// TestActing: those who run the cluster act as a user, marked, on record under both names, and do nothing that lasts or that is the user's
// own: neither by any of the operations that are there, nor by one that is added.
func TestActing(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	const pass = secret.Text("correct horse")
	ids := map[string]string{}
	for mail, of := range map[string]wire.Account{"ada@acme.example": "acme", "eve@eve.example": "eve", "root@example.com": "admin"} {
		if of != wire.AdminAccount {
			c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: of}, nil)
		}
		var u user.User
		c.ok("POST", "/api/v1/users", user.NewUser{Mail: mail, Password: pass, Account: of, Role: user.Owner}, &u)
		ids[mail] = u.ID
	}
	signIn := func(mail string) (token string) {
		var in user.SignedIn
		c.as("", func() { c.ok("POST", "/api/v1/sessions", user.SignIn{Mail: mail, Password: pass}, &in) })
		return in.Token.Reveal()
	}
	ada, root := signIn("ada@acme.example"), signIn("root@example.com")
	path := func(mail string) string { return "/api/v1/users/" + mail + "/sign-in-as" }
	act := func() (token string) {
		var in user.SignedIn
		c.as(root, func() { c.ok("POST", path("ada@acme.example"), user.SignInAs{Reason: "ticket 4711"}, &in) })
		if in.Acting == nil || in.Acting.By != "root@example.com" || in.Account != "acme" || in.Ends.Sub(in.Begun) != user.ActingFor {
			t.Errorf("acting is %+v", in)
		}
		return in.Token.Reveal()
	}

	// Who may not, and as whom nobody may.
	for _, k := range []struct {
		token, mail string
		in          user.SignInAs
		want        int
	}{
		{ada, "ada@acme.example", user.SignInAs{Reason: "x"}, 403}, {ada, "eve@eve.example", user.SignInAs{Reason: "x"}, 403},
		{c.tokenOf("acme"), "ada@acme.example", user.SignInAs{Reason: "x"}, 403},
		{root, "root@example.com", user.SignInAs{Reason: "x"}, 403}, {adminToken, "root@example.com", user.SignInAs{Reason: "x"}, 403},
		{root, "ada@acme.example", user.SignInAs{Reason: "  "}, 422},
		{root, "ada@acme.example", user.SignInAs{Reason: "x", Minutes: 61}, 422},
		{root, "ada@acme.example", user.SignInAs{Reason: "x", Account: "eve"}, 404},
		{root, "nosuch@acme.example", user.SignInAs{Reason: "x"}, 404},
		{root, "ada@acme.example", user.SignInAs{Reason: "two\nlines"}, 422},
	} {
		c.as(k.token, func() {
			if p := c.call("POST", path(k.mail), k.in, nil); p == nil || p.Status != k.want {
				t.Errorf("%s as %+v: %v, want %d", k.mail, k.in, p, k.want)
			}
		})
	}

	// Nobody makes themselves a name that looks like the mark.
	for _, name := range []string{"ada@acme.example, acted as by root@example.com", `token "admin"`} {
		n := operator.NewToken{Name: name, Scopes: []string{"read"}}
		if p := c.call("POST", "/api/v1/tokens", n, nil); p == nil || p.Status != 422 {
			t.Errorf("a token is named %s: %v", name, p)
		}
		if user.ValidateMail(name) == nil {
			t.Errorf("a user is named %s", name)
		}
	}

	// What they do is marked.
	as := act()
	var op operator.Operation
	c.as(as, func() {
		var self user.User
		c.ok("GET", "/api/v1/user", nil, &self)
		if self.ID != ids["ada@acme.example"] || self.Acting == nil || self.Acting.By != "root@example.com" ||
			self.Acting.Reason != "ticket 4711" {
			t.Errorf("they are %+v", self)
		}
		op = c.create(hello("shop", 1))
	})
	if op.Account != "acme" || op.By != "ada@acme.example, acted as by root@example.com" {
		t.Errorf("the operation is %+v", op)
	}
	c.as(ada, func() {
		var audits operator.List[operator.Audit]
		c.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
		begun, done := false, false
		for _, a := range audits.Items {
			begun = begun || a.What == "user.sign-in-as" && a.Who == "root@example.com" && strings.Contains(a.Object, "ticket 4711")
			done = done || a.What == "env.create" && a.Who == "ada@acme.example" && a.By == "root@example.com" && a.Result == "ok"
		}
		if !begun || !done {
			t.Errorf("the account's record says neither: %v %v", begun, done)
		}
		if got := c.list("sessions"); !strings.Contains(got, "ticket 4711") {
			t.Errorf("the user does not see it among their sessions: %s", got)
		}
	})

	// What lasts, and what is the user's own, is refused: every operation that needs scope admin or is about who asks.
	lines := asking(c, string(op.ID), "x")
	described := c.described()
	c.as(as, func() {
		tried := 0
		for path, methods := range c.operations() {
			for method, id := range methods {
				own := ofAsker[id] && id != "getSelf" && id != "endSession" || id == "shareEnvironment" || id == "unshareEnvironment"
				if !own && !strings.Contains(described[id], "Needs scope admin") {
					continue
				}
				tried++
				q := lines[id]
				if id == "shareEnvironment" {
					q.body = share.NewShare{With: "eve", Role: user.Developer}
				}
				at := strings.NewReplacer("{env}", "shop", "{user}", "ada@acme.example", "{account}", "acme").Replace(path)
				if status, text := c.ask(method, variable.ReplaceAllString(at, "x"), q); status != http.StatusForbidden {
					t.Errorf("%s: %d %s", id, status, text)
				}
			}
		}
		if tried < 40 {
			t.Errorf("%d operations were tried", tried)
		}
	})

	// The panel says so too.
	web := c.visitor()
	web.signIn(as, "")
	if status, _, page := web.ask("GET", "/panel/environments", nil); status != http.StatusOK ||
		!strings.Contains(page, "ada@acme.example, acted as by root@example.com") {
		t.Errorf("the panel: %d %s", status, page)
	}

	// It ends with what the user says, with what it began with, and when the user comes to run the cluster. What it began goes on.
	ended := func(how, token string) {
		t.Helper()
		c.as(token, func() {
			if p := c.call("GET", "/api/v1/environments", nil, nil); p == nil || p.Status != http.StatusUnauthorized {
				t.Errorf("%s: it goes on: %v", how, p)
			}
		})
	}
	var begun wire.OperationID
	c.as(as, func() {
		begun = c.change("stop", "shop")
		c.ok("DELETE", "/api/v1/sessions/x", nil, nil) // whatever they name, it is their own
	})
	ended("who acts ends it", as)
	if op := c.ended(begun); op.State != operator.OpDone || op.By != "ada@acme.example, acted as by root@example.com" {
		t.Errorf("what they began is %+v, %v", op, op.Problem)
	}
	as = act()
	c.as(ada, func() {
		c.ok("GET", "/api/v1/user", nil, nil) // her session goes on
		c.ok("DELETE", "/api/v1/sessions", nil, nil)
	})
	ended("the user ends it", as)
	var boss, other user.User
	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "boss@acme.example", Password: pass, Account: "acme", Role: user.Owner}, &boss)
	c.ok("POST", "/api/v1/users", user.NewUser{Mail: "dev@acme.example", Password: pass, Account: "acme", Role: user.Developer}, &other)
	end := "/api/v1/accounts/acme/users/ada@acme.example/acting"
	as = act()
	for who, token := range map[string]string{"another account": c.tokenOf("eve"), "a developer": signIn("dev@acme.example"),
		"who acts": as} {
		c.as(token, func() {
			if p := c.call("DELETE", end, nil, nil); p == nil || p.Status != http.StatusForbidden && p.Status != http.StatusNotFound {
				t.Errorf("%s ends it: %v", who, p)
			}
		})
	}
	c.as(signIn("boss@acme.example"), func() {
		c.ok("DELETE", end, nil, nil)
		if p := c.call("DELETE", end, nil, nil); p == nil || !strings.Contains(p.Error(), "nobody acts as the user in account acme") {
			t.Errorf("again: %v", p)
		}
	})
	ended("an owner ends it", as)
	as = act()
	c.as(root, func() { c.ok("DELETE", "/api/v1/sessions/current", nil, nil) })
	ended("who acts signs out", as)
	root = signIn("root@example.com")
	as = act()
	c.ok("PUT", "/api/v1/accounts/admin/users/ada@acme.example", user.SetMember{Role: user.Viewer}, nil)
	ended("the user runs the cluster too", as)
}

// ofAsker are the operations about who asks.
var ofAsker = map[string]bool{"listSessions": true, "endSession": true, "endSessions": true, "getSelf": true, "changeSelf": true,
	"changePassword": true, "beginSecondFactor": true, "confirmSecondFactor": true, "endSecondFactor": true, "renewRecoveryCodes": true,
	"endIdentity": true, "listPasskeys": true, "renamePasskey": true, "removePasskey": true}

// described are the descriptions of all operations of the API, by id.
func (c *cluster) described() map[string]string {
	_, text := c.do(c.client, "GET", "/openapi.json", nil)
	var doc struct {
		Paths map[string]map[string]struct {
			ID          string `json:"operationId"`
			Description string `json:"description"`
		} `json:"paths"`
	}
	must(c.t, json.Unmarshal([]byte(text), &doc))
	out := map[string]string{}
	for _, methods := range doc.Paths {
		for _, o := range methods {
			out[o.ID] = o.Description
		}
	}
	return out
}
