package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// way is one that an account tries to come to another's things by.
type way struct {
	tried string
	// method and path are what is asked, %s in the path being there: the name of something of the other's.
	method, path, there string
	// nothing is a name of nothing in its place: both are answered alike, but for that name. "": see silent and status.
	nothing string
	body    func(name string) any // nil: none
	session bool                  // it is a WebSocket
	silent  bool                  // it is answered, and no word of the other's is in it
	status  int                   // expected; 0: 404, of what is silent 200
}

// TestFortyWays: an account that may all in its own tries to see, reach, name, guess or use up what is another's, by all that the API takes
// names in: each is refused, and of what is another's it is told what it is told of nothing. What is tried here goes through the whole
// orchestrator in one process. What needs packets is tried in guests: addresses, ports and names of containers by TestAccounts and
// TestFalseNeighbours (agent/network), the registry's own port by qemu-tests.
func TestFortyWays(t *testing.T) {
	t.Parallel()
	c := found(t, 2, "infra1", "host1")
	c.start()
	c.join("host1", 0)
	const pass = "correct horse"
	var theirs, mine operator.MadeToken
	people := map[wire.Account]user.User{}
	for _, of := range []wire.Account{"acme", "eve"} {
		c.ok("POST", "/api/v1/accounts", account.NewAccount{Name: of}, nil)
		var u user.User
		c.ok("POST", "/api/v1/users", user.NewUser{Mail: "owner@" + string(of) + ".example", Password: pass, Account: of,
			Role: user.Owner}, &u)
		people[of] = u
	}
	c.ok("POST", "/api/v1/accounts/acme/tokens", operator.NewToken{Name: "deploy", Scopes: []string{"admin"}}, &theirs)
	c.ok("POST", "/api/v1/accounts/eve/tokens", operator.NewToken{Name: "all",
		Scopes: []string{"admin", "exec", "platform", "patch"}}, &mine)

	// What acme has: an environment with a node, a name and an operation; people, a service, an invite, a record. Eve has the like.
	var service user.Service
	var invite user.MadeInvite
	var shop, own operator.Operation
	var listTag string
	const key = "a key of theirs"
	stop := func(env string) (a operator.Accepted) {
		c.ok("POST", "/api/v1/environments/"+env+"/stop", nil, &a, "Idempotency-Key", key)
		return a
	}
	var stopped operator.Accepted
	domain := store.Clusters.Find(c.o.store.View(), store.Only).Domain
	c.as(theirs.Text, func() {
		shop = c.create(hello("shop", 1))
		c.ok("PUT", "/api/v1/environments/shop/domains/www.shop."+domain, front.Scheme{}, nil)
		c.ok("POST", "/api/v1/services", user.NewService{Name: "robot", Role: user.Viewer}, &service)
		c.ok("POST", "/api/v1/invites", user.NewInvite{Mail: "new@acme.example", Role: user.Viewer}, &invite)
		resp, _ := c.do(c.client, "GET", "/api/v1/environments", nil)
		listTag = resp.Header.Get("ETag")
		stopped = stop("shop")
		c.ended(stopped.Operation.ID)
		c.settle()
		c.ok("POST", "/api/v1/environments/shop/transfer", share.NewTransfer{To: "dan"}, nil)
	})
	c.as(mine.Text, func() { own = c.create(hello("mine", 1)) })
	e, _ := c.env("shop")
	node := e.Nodes[0].CTID.String()
	e, _ = c.env("mine")
	myNode := e.Nodes[0].CTID.String()
	words := []string{"shop", "acme", "robot", string(shop.ID), theirs.ID, people["acme"].ID, invite.ID, service.ID}

	named := func(f func(name string) any) func(string) any { return f }
	give := func(x any) func(string) any { return func(string) any { return x } }
	someNode, someOp, someUser := "4711", "op-0000000000000000", "nosuch@acme.example"
	ways := []way{
		{tried: "read its record", method: "GET", path: "audit?limit=1000", silent: true},
		{tried: "read its environment", method: "GET", path: "environments/%s", there: "shop", nothing: "nosuch"},
		{tried: "find it in the list of environments", method: "GET", path: "environments", silent: true},
		{tried: "find it with a filter", method: "GET", path: "environments?limit=1000", silent: true},
		{tried: "start it", method: "POST", path: "environments/%s/start", there: "shop", nothing: "nosuch"},
		{tried: "delete it", method: "DELETE", path: "environments/%s", there: "shop", nothing: "nosuch"},
		{tried: "restart it", method: "POST", path: "environments/%s/restart", there: "shop", nothing: "nosuch",
			body: give(operator.RestartEnvironment{})},
		{tried: "bring it into a group of one's own", method: "PUT", path: "environments/%s/group", there: "shop", nothing: "nosuch",
			body: give(operator.EnvironmentGroup{Group: "one"})},
		{tried: "read its access log", method: "GET", path: "environments/%s/access-log", there: "shop", nothing: "nosuch", session: true},
		{tried: "read how its site is served", method: "GET", path: "environments/%s/route", there: "shop", nothing: "nosuch"},
		{tried: "put its site into maintenance", method: "PUT", path: "environments/%s/route", there: "shop", nothing: "nosuch",
			body: give(front.Settings{})},
		{tried: "get past its maintenance", method: "POST", path: "environments/%s/route/bypass", there: "shop", nothing: "nosuch"},
		{tried: "read its names and certificates", method: "GET", path: "environments/%s/domains", there: "shop", nothing: "nosuch"},
		{tried: "take a name of its", method: "PUT", path: "environments/mine/domains/www.%s." + domain, there: "shop", nothing: "nosuch",
			body: give(front.Scheme{}), status: 403},
		{tried: "swap names with it", method: "POST", path: "environments/mine/domains/swap", there: "shop", nothing: "nosuch",
			body: named(func(name string) any { return operator.SwapDomains{With: wire.EnvName(name)} })},
		{tried: "upload a certificate for its name", method: "PUT", path: "environments/%s/certificates/x.example", there: "shop",
			nothing: "nosuch", body: give(operator.UploadCertificate{Chain: "x", Key: "x"})},
		{tried: "read its node by number", method: "GET", path: "nodes/%s", there: node, nothing: someNode},
		{tried: "find it in the list of nodes", method: "GET", path: "nodes?limit=1000", silent: true},
		{tried: "read what its node used", method: "GET", path: "nodes/%s/usage", there: node, nothing: someNode},
		{tried: "open a shell in its node", method: "GET", path: "nodes/%s/exec?argv=true", there: node, nothing: someNode, session: true},
		{tried: "read its node's log", method: "GET", path: "nodes/%s/logs", there: node, nothing: someNode, session: true},
		{tried: "reach a port of its node", method: "GET", path: "nodes/%s/forward?port=80", there: node, nothing: someNode, session: true},
		{tried: "open a port of its node", method: "PUT", path: "nodes/%s/ports", there: node, nothing: someNode,
			body: give(operator.PublishedPorts{Ports: []operator.PublishedPort{}})},
		{tried: "open its node's firewall", method: "PUT", path: "nodes/%s/firewall", there: node, nothing: someNode,
			body: give(operator.FirewallRules{Rules: []firewall.PacketRule{}})},
		{tried: "mount its node's volume", method: "PUT", path: "nodes/" + myNode + "/mounts", there: node, nothing: someNode, status: 422,
			body: named(func(name string) any {
				from, _ := wire.ParseCTID(name)
				return operator.MountedVolumes{Mounts: []operator.NodeMount{{Name: "m", Path: "/mnt", From: from, Volume: "data"}}}
			})},
		{tried: "take a snapshot of its node", method: "POST", path: "nodes/%s/snapshots", there: node, nothing: someNode,
			body: give(struct{}{})},
		{tried: "read its operation", method: "GET", path: "operations/%s", there: string(shop.ID), nothing: someOp},
		{tried: "cancel its operation", method: "POST", path: "operations/%s/cancel", there: string(shop.ID), nothing: someOp},
		{tried: "watch its operation", method: "GET", path: "operations/%s/events", there: string(shop.ID), nothing: someOp},
		{tried: "find it in the list of operations", method: "GET", path: "operations?limit=500", silent: true},
		{tried: "find its tokens", method: "GET", path: "tokens?limit=1000", silent: true},
		{tried: "revoke its token", method: "DELETE", path: "tokens/%s", there: theirs.ID, nothing: "00000000"},
		{tried: "make a token for its environment", method: "POST", path: "tokens", there: "shop", nothing: "nosuch",
			body: named(func(name string) any {
				return operator.NewToken{Name: "narrow", Scopes: []string{"read"}, Environments: []wire.EnvName{wire.EnvName(name)}}
			})},
		{tried: "make a token of it", method: "POST", path: "accounts/%s/tokens", there: "acme", nothing: "nosuch", status: 403,
			body: give(operator.NewToken{Name: "more", Scopes: []string{"read"}})},
		{tried: "read the account", method: "GET", path: "accounts/%s", there: "acme", nothing: "nosuch"},
		{tried: "find the account in the list", method: "GET", path: "accounts", silent: true},
		{tried: "lift its own limits", method: "PATCH", path: "accounts/%s", there: "eve", status: 403,
			body: give(account.ChangeAccount{Reason: "x"})},
		{tried: "lift its group's limits", method: "PUT", path: "account-groups/default", status: 403,
			body: give(account.SetAccountGroup{})},
		{tried: "find its people", method: "GET", path: "users?limit=1000", silent: true},
		{tried: "read one of its people by mail address", method: "GET", path: "users/%s", there: "owner@acme.example", nothing: someUser},
		{tried: "read one of its people by id", method: "GET", path: "users/%s", there: people["acme"].ID, nothing: "u-0000000000000000"},
		{tried: "have one of its people's password reset", method: "POST", path: "users/%s/reset", there: "owner@acme.example",
			nothing: someUser},
		{tried: "take one of its people into one's own account", method: "PUT", path: "accounts/eve/users/%s", there: "owner@acme.example",
			nothing: someUser, body: give(user.SetMember{Role: user.Viewer})},
		{tried: "become an owner of it", method: "PUT", path: "accounts/%s/users/owner@eve.example", there: "acme", nothing: "nosuch",
			body: give(user.SetMember{Role: user.Owner})},
		{tried: "find its invites", method: "GET", path: "invites", silent: true},
		{tried: "end its invite", method: "DELETE", path: "invites/%s", there: invite.ID, nothing: "l-0000000000000000"},
		{tried: "find its services", method: "GET", path: "services", silent: true},
		{tried: "remove its service", method: "DELETE", path: "services/%s", there: service.ID, nothing: "u-0000000000000000"},
		{tried: "add a service to it", method: "POST", path: "services", there: "acme", nothing: "nosuch",
			body: named(func(name string) any {
				return user.NewService{Name: "mole", Role: user.Owner, Account: wire.Account(name)}
			})},
		{tried: "make a token of its service", method: "POST", path: "services/%s/tokens", there: service.ID, nothing: "u-0000000000000000",
			body: give(operator.NewToken{Name: "more", Scopes: []string{"read"}})},
		{tried: "read the host that its node is on", method: "GET", path: "hosts/%s", there: "host1", nothing: "nosuch"},
		{tried: "read the cluster's metrics", method: "GET", path: "/metrics", status: 403},
		{tried: "accept it though it is offered to another", method: "POST", path: "shares/%s/accept", there: "shop", nothing: "nosuch"},
		{tried: "offer it to oneself", method: "POST", path: "environments/%s/transfer", there: "shop", nothing: "nosuch",
			body: give(share.NewTransfer{To: "eve"})},
		{tried: "offer it to a third", method: "POST", path: "environments/%s/transfer", there: "shop", nothing: "nosuch",
			body: give(share.NewTransfer{To: "dan"})},
		{tried: "take the offer of it back", method: "DELETE", path: "environments/%s/shares/dan", there: "shop", nothing: "nosuch"},
		{tried: "find the offer of it", method: "GET", path: "shares", silent: true},
		{tried: "decline the offer for another", method: "DELETE", path: "shares/%s", there: "shop", nothing: "nosuch"},
		{tried: "learn from an offer whether there is the account", method: "POST", path: "environments/mine/transfer", there: "acme",
			nothing: "nosuch", status: 409, body: named(func(name string) any { return share.NewTransfer{To: wire.Account(name)} })},
		{tried: "find its things among templates", method: "GET", path: "templates", silent: true},
	}
	if len(ways) < 40 {
		t.Fatalf("%d ways are tried, want 40", len(ways))
	}
	c.bearer = mine.Text
	for _, w := range ways {
		c.tries(w, words...)
	}

	// What is kept for one caller is none for another: an entity tag, an idempotency key, a session's account.
	resp, _ := c.do(c.client, "GET", "/api/v1/environments", nil)
	if resp, _ := c.do(c.client, "GET", "/api/v1/environments", nil, "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != 304 {
		t.Errorf("with the tag of its own list: %s", resp.Status)
	}
	if resp, text := c.do(c.client, "GET", "/api/v1/environments", nil, "If-None-Match", listTag); resp.StatusCode != 200 ||
		!strings.Contains(text, "mine") {
		t.Errorf("with the tag of another's list: %s %s", resp.Status, text)
	}
	if a := stop("mine"); a.Operation.ID == stopped.Operation.ID || a.Operation.Account != "eve" {
		t.Errorf("with the key of another's request: %+v", a.Operation)
	}
	if p := c.call("POST", "/api/v1/environments", hello("shop", 1), nil); p == nil || p.Code != operator.Conflict ||
		p.Reason != "the name is taken" || p.Next != "choose another name" {
		t.Errorf("with the name of its environment: %v", p)
	}
	c.as("", func() {
		signIn := func(mail, password string, of wire.Account) string {
			p := c.call("POST", "/api/v1/sessions", map[string]string{"mail": mail, "password": password, "account": string(of)}, nil)
			if p == nil {
				t.Errorf("%s signs in to %s", mail, of)
				return ""
			}
			return strings.NewReplacer(string(of), "?", mail, "?").Replace(fmt.Sprint(p.Status, " ", p.Error()))
		}
		if got, want := signIn("owner@eve.example", pass, "acme"), signIn("owner@eve.example", pass, "nosuch"); got != want {
			t.Errorf("signing in to it: %s, to nothing: %s", got, want)
		}
		if got, want := signIn("owner@acme.example", "wrong horse!", "eve"), signIn(someUser, "wrong horse!", "eve"); got != want {
			t.Errorf("guessing its owner's password: %s, nobody's: %s", got, want)
		}
	})
	if own.Account != "eve" || own.State != operator.OpDone {
		t.Errorf("its own: %+v", own)
	}
	// Nothing of it has changed.
	c.as(theirs.Text, func() {
		e, _ := c.env("shop")
		var d operator.Domains
		c.ok("GET", "/api/v1/environments/shop/domains", nil, &d)
		var list operator.List[user.Service]
		c.ok("GET", "/api/v1/services", nil, &list)
		if len(e.Nodes) != 1 || e.Group != "" || e.Account != "acme" ||
			len(d.Domains) != 2 || len(list.Items) != 1 || list.Items[0].Tokens != 0 {
			t.Errorf("what is its is %+v, %+v, %+v", e, d, list)
		}
	})
}

// tries tries one way: what is asked is answered as it is of nothing, or as the way says; words are in nothing that is silent.
func (c *cluster) tries(w way, words ...string) {
	c.t.Helper()
	ask := func(name string) (int, string) {
		path := "/api/v1/" + w.path
		if strings.HasPrefix(w.path, "/") {
			path = w.path
		}
		if strings.Contains(path, "%s") {
			path = fmt.Sprintf(path, name)
		}
		q := asked{session: w.session}
		if w.body != nil {
			q.body = w.body(name)
		}
		return c.ask(w.method, path, q)
	}
	status, got := ask(w.there)
	want := w.status
	switch {
	case want == 0 && w.silent:
		want = http.StatusOK
	case want == 0:
		want = http.StatusNotFound
	}
	if status != want {
		c.t.Errorf("%s: it is answered %d, want %d: %s", w.tried, status, want, got)
	}
	if w.nothing != "" {
		if none, text := ask(w.nothing); none != status || strings.ReplaceAll(got, w.there, w.nothing) != text {
			c.t.Errorf("%s: it is told\n%d %s\nand of nothing\n%d %s", w.tried, status, got, none, text)
		}
	}
	for _, word := range words {
		if w.silent && strings.Contains(got, word) {
			c.t.Errorf("%s: %q is in %s", w.tried, word, got)
		}
	}
}
