package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// TestUsers: people sign in without a token, do what their role says in their account, and no more; what they did is recorded as theirs.
func TestUsers(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "acme"}, nil)
	made := map[user.Role]user.User{}
	for _, r := range user.Roles {
		var u user.User
		c.ok("POST", "/api/v1/users", user.NewUser{Mail: string(r) + "@acme.example", Password: "correct horse", Account: "acme",
			Role: r}, &u)
		made[r] = u
	}
	enter := func(mail string) (in user.SignedIn) {
		c.as("", func() { c.ok("POST", "/api/v1/sessions", user.SignIn{Mail: mail, Password: "correct horse"}, &in) })
		return in
	}
	for _, k := range []struct {
		role               user.Role
		creates, seesUsers bool
	}{{user.Viewer, false, false}, {user.Developer, true, false}, {user.Owner, true, true}} {
		in := enter(string(k.role) + "@acme.example")
		c.as(in.Token.Reveal(), func() {
			p := c.call("POST", "/api/v1/environments", hello("of-acme-"+"x", 1), nil)
			if creates := p == nil || p.Code == operator.Conflict; creates != k.creates {
				t.Errorf("%s creates an environment: %v", k.role, p)
			}
			if p := c.call("GET", "/api/v1/users", nil, nil); (p == nil) != k.seesUsers {
				t.Errorf("%s lists users: %v", k.role, p)
			}
			if p := c.call("POST", "/api/v1/users", user.NewUser{Mail: "x@acme.example", Password: "correct horse", Account: "acme",
				Role: user.Owner}, nil); p == nil || p.Code != operator.Denied {
				t.Errorf("%s makes a user: %v", k.role, p)
			}
			var self user.User
			c.ok("GET", "/api/v1/user", nil, &self)
			if self.ID != made[k.role].ID || self.Sessions != 1 {
				t.Errorf("%s is %+v", k.role, self)
			}
		})
	}
	in := enter("owner@acme.example")
	c.as(in.Token.Reveal(), func() {
		var audits operator.List[operator.Audit]
		c.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
		if !slices.ContainsFunc(audits.Items, func(a operator.Audit) bool {
			return a.What == "env.create" && a.Who == "developer@acme.example" && a.User == made[user.Developer].ID
		}) {
			t.Errorf("the record is %+v", audits.Items)
		}
		c.ok("DELETE", "/api/v1/sessions/current", nil, nil)
		if resp, _ := c.do(c.client, "GET", "/api/v1/user", nil); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("after its end a session answers %s", resp.Status)
		}
	})
	// What a user made with a token ends with them, on record.
	in = enter("owner@acme.example")
	var made1 operator.MadeToken
	c.as(in.Token.Reveal(), func() {
		c.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "hers", Scopes: []string{"admin"}}, &made1)
	})
	for _, path := range []string{"/accounts/acme/users/", "/users/"} { // not even by who runs the cluster
		p := c.call("DELETE", "/api/v1"+path+made[user.Owner].ID, nil, nil)
		if p == nil || p.Code != operator.Conflict || !strings.Contains(p.Reason, "last owner of account acme") {
			t.Errorf("the last owner goes: %v", p)
		}
	}
	c.ok("PUT", "/api/v1/accounts/acme/users/"+made[user.Viewer].ID, user.SetMember{Role: user.Owner}, nil)
	c.ok("DELETE", "/api/v1/accounts/acme/users/"+made[user.Owner].ID, nil, nil)
	c.as(made1.Text, func() {
		if resp, text := c.do(c.client, "GET", "/api/v1/environments", nil); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("the token of who left: %s %s", resp.Status, text)
		}
	})
	var audits operator.List[operator.Audit]
	c.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
	if !slices.ContainsFunc(audits.Items, func(a operator.Audit) bool {
		return a.What == "token.end" && a.Object == "tokens/"+made1.ID && strings.Contains(a.Result, "not in account acme any more")
	}) {
		t.Errorf("the record is %+v", audits.Items)
	}
	c.ok("PUT", "/api/v1/accounts/acme/users/"+made[user.Owner].ID, user.SetMember{Role: user.Owner}, nil)
	var owner user.User
	c.ok("PUT", "/api/v1/accounts/acme/users/"+made[user.Viewer].ID, user.SetMember{Role: user.Owner}, &owner)
	if len(owner.Members) != 1 || owner.Members[0].Account != "acme" || owner.Members[0].Role != user.Owner {
		t.Errorf("with another role: %+v", owner)
	}
	c.as("", func() {
		if resp, text := c.do(c.client, "GET", "/api/v1/sessions", nil); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a token: %s %s", resp.Status, text)
		}
		long := strings.NewReader(`{"mail":"` + strings.Repeat("a", 9000) + `"}`)
		if resp, _ := c.do(c.client, "POST", "/api/v1/sessions", long, "Content-Type", "application/json"); resp.StatusCode < 400 {
			t.Errorf("a long body: %s", resp.Status)
		}
		p := c.call("POST", "/api/v1/sessions", user.SignIn{Mail: "owner@acme.example", Password: "wrong horse"}, nil)
		if p == nil || p.Status != http.StatusUnauthorized || strings.Contains(p.Error(), "owner@") {
			t.Errorf("a wrong password: %v", p)
		}
	})
}
