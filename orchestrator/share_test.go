package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// sharing is a cluster in which account acme has the environments shop and cellar, eve and dan none; each with a token that may all there.
type sharing struct {
	*cluster
	acme, eve, dan string
	acmeToken      string // id
	node, beside   string // of shop, of cellar
	op             string // that made shop
	ada            string // session of a person of acme: owner@acme.example
	vic            string // session of a viewer of eve: viewer@eve.example
}

const sharedSecret = "xyzzy-never-shown"

func shareable(t *testing.T) *sharing {
	t.Helper()
	s := &sharing{cluster: found(t, 2, "infra1", "host1")}
	s.start()
	s.join("host1", 0)
	token := map[wire.Account]operator.MadeToken{}
	for _, of := range []wire.Account{"acme", "eve", "dan"} {
		s.ok("POST", "/api/v1/accounts", account.NewAccount{Name: of}, nil)
		var made operator.MadeToken
		s.ok("POST", "/api/v1/accounts/"+string(of)+"/tokens", operator.NewToken{Name: "all",
			Scopes: []string{"admin", "exec", "platform", "patch"}}, &made)
		token[of] = made
	}
	s.acme, s.eve, s.dan, s.acmeToken = token["acme"].Text, token["eve"].Text, token["dan"].Text, token["acme"].ID
	s.ada, s.vic = s.person("owner@acme.example", "acme", user.Owner), s.person("viewer@eve.example", "eve", user.Viewer)
	s.as(s.ada, func() {
		spec, value := hello("shop", 1), secret.Text(sharedSecret)
		spec.Layers[0].Env = map[string]string{"PLAIN": "plain-value"}
		spec.Layers[0].Secrets = []operator.SecretSpec{{Name: "PASSWORD", Value: &value}}
		s.op = string(s.create(spec).ID)
		s.create(hello("cellar", 1))
		e, _ := s.env("shop")
		s.node = e.Nodes[0].CTID.String()
		e, _ = s.env("cellar")
		s.beside = e.Nodes[0].CTID.String()
		s.ok("PUT", "/api/v1/environments/shop/group", operator.EnvironmentGroup{Group: "inner"}, nil)
	})
	return s
}

// person makes one who is in an account, and gives their session.
func (s *sharing) person(mail string, of wire.Account, role user.Role) string {
	s.ok("POST", "/api/v1/users", user.NewUser{Mail: mail, Password: "correct horse", Account: of, Role: role}, nil)
	var in user.SignedIn
	s.as("", func() { s.ok("POST", "/api/v1/sessions", user.SignIn{Mail: mail, Password: "correct horse"}, &in) })
	return in.Token.Reveal()
}

// give has acme share shop with eve, who accepts.
func (s *sharing) give(role user.Role) {
	s.t.Helper()
	s.as(s.ada, func() { s.ok("POST", "/api/v1/environments/shop/shares", share.NewShare{With: "eve", Role: role}, nil) })
	s.as(s.eve, func() { s.ok("POST", "/api/v1/shares/shop/accept", nil, nil) })
}

func (s *sharing) take() {
	s.t.Helper()
	s.as(s.acme, func() { s.ok("DELETE", "/api/v1/environments/shop/shares/eve", nil, nil) })
}

// The operations that a share opens. A new one is not among them before somebody has thought of it here too.
var (
	viewersMay = []string{"getEnvironment", "getNode", "getNodeUsage", "getNodeSize", "getPorts", "getMounts", "getOperation",
		"watchOperation"}
	developersMay = []string{"startEnvironment", "stopEnvironment", "restartEnvironment", "accessLogEnvironment", "execNode", "logsNode",
		"jemNode", "restartNode", "forwardNode", "consoleNode", "topNode"}
)

// TestSharedWalk walks all operations of the API that name an environment, a node or an operation: those of what is shared that the role
// does not open are refused, and by no other is anything of its account told or changed.
func TestSharedWalk(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	named := strings.NewReplacer("{env}", "shop", "{ctid}", s.node, "{op}", s.op, "{account}", "eve", "{user}", "owner@acme.example")
	for _, role := range share.Roles {
		s.give(role)
		s.as(s.eve, func() {
			for path, methods := range s.operations() {
				for method, id := range methods {
					opens := slices.Contains(viewersMay, id) || role == user.Developer && slices.Contains(developersMay, id)
					of := strings.Contains(path, "{env}") || strings.Contains(path, "{ctid}") || strings.Contains(path, "{op}")
					if !of || opens {
						continue
					}
					q := asking(s.cluster, s.op, s.acmeToken)[id]
					if id == "editEnvironment" {
						q.body = hello("shop", 2)
					}
					status, text := s.ask(method, variable.ReplaceAllString(named.Replace(path), "x"), q)
					if status != http.StatusForbidden {
						t.Errorf("%s: %s is answered %d %s", role, id, status, text)
					}
					for _, word := range []string{"cellar", "owner@", "inner", sharedSecret} {
						if strings.Contains(text, word) {
							t.Errorf("%s: %s tells of %q: %s", role, id, word, text)
						}
					}
				}
			}
		})
		s.take()
	}
	e := store.Envs.Find(s.o.store.View(), "shop")
	if e.Want != store.WantRunning || e.Account != "acme" || e.Spec.Layers[0].Nodes != 1 || e.Group != "inner" {
		t.Errorf("the environment is %+v", e)
	}
}

// TestSharedReads: a share lets its account find the environment in its lists, marked, and read it; not its secrets, and not who its
// account's people are. Another account sees nothing of it.
func TestSharedReads(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	s.as(s.ada, func() { // a rule of its layer names another environment
		s.ok("PUT", "/api/v1/nodes/"+s.node+"/firewall?layer=true", operator.FirewallRules{Rules: []firewall.PacketRule{{Name: "beside",
			Direction: firewall.In, Action: firewall.Allow, Priority: 1, Peer: "cellar.internal"}}}, nil)
		if e, _ := s.env("shop"); len(e.Spec.Layers[0].Firewall) != 1 {
			t.Errorf("its own account reads %+v", e.Spec)
		}
	})
	s.give(user.Viewer)
	lists := []string{"environments", "nodes", "operations", "operations?env=shop", "environments/shop", "nodes/" + s.node,
		"operations/" + s.op, "nodes/" + s.node + "/ports", "nodes/" + s.node + "/mounts"}
	hidden := []string{"cellar", "owner@", "inner", sharedSecret, "plain-value", `"` + s.beside + `"`, s.acmeToken}
	for who, token := range map[string]string{"eve's token": s.eve, "a viewer of eve's": s.vic} {
		s.as(token, func() {
			for _, path := range lists {
				status, text := s.cluster.ask("GET", "/api/v1/"+path, asked{})
				if status != http.StatusOK || !strings.Contains(text, "shop") && !strings.Contains(text, s.node) {
					t.Errorf("%s reads %s: %d %s", who, path, status, text)
				}
				for _, word := range hidden {
					if strings.Contains(text, word) {
						t.Errorf("%s reads %q in %s: %s", who, word, path, text)
					}
				}
			}
			e, _ := s.env("shop")
			if e.Shared == nil || e.Shared.By != "acme" || e.Shared.Role != "viewer" || e.Account != "acme" || len(e.Nodes) != 1 ||
				len(e.Spec.Layers[0].Env) != 1 {
				t.Errorf("%s reads %+v", who, e)
			}
			var list operator.List[operator.Environment]
			s.ok("GET", "/api/v1/environments", nil, &list)
			if len(list.Items) != 1 || list.Items[0].Shared == nil {
				t.Errorf("%s's list is %+v", who, list.Items)
			}
			var a account.Account
			s.ok("GET", "/api/v1/accounts/eve", nil, &a)
			if a.Use[0].Used != 0 || a.Use[1].Used != 0 {
				t.Errorf("what is shared counts for eve: %+v", a.Use)
			}
		})
	}
	s.as(s.dan, func() {
		for _, path := range lists[:4] {
			if _, text := s.cluster.ask("GET", "/api/v1/"+path, asked{}); strings.Contains(text, "shop") {
				t.Errorf("dan reads %s: %s", path, text)
			}
		}
		if _, ok := s.env("shop"); ok {
			t.Error("dan reads it")
		}
	})
	s.as(s.acme, func() {
		if e, _ := s.env("shop"); e.Shared != nil || e.Group != "inner" || e.Spec.Layers[0].Env["PLAIN"] != "plain-value" {
			t.Errorf("its own account reads %+v", e)
		}
	})
	// A token that is for some environments of eve's is for no other account's.
	s.as(s.eve, func() {
		s.create(hello("mine", 1))
		var narrow operator.MadeToken
		s.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "narrow", Scopes: []string{"read"},
			Environments: []wire.EnvName{"mine"}}, &narrow)
		s.as(narrow.Text, func() {
			if _, ok := s.env("shop"); ok || strings.Contains(s.list("environments"), "shop") {
				t.Error("a token for some environments reads it")
			}
		})
	})
}

// TestWaysOfGuests: an account that an environment is shared with tries to come from it to what else is its account's, to keep it, and to
// become more in it than it is.
func TestWaysOfGuests(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	s.give(user.Developer)
	var service user.Service
	s.as(s.acme, func() { s.ok("POST", "/api/v1/services", user.NewService{Name: "robot", Role: user.Viewer}, &service) })
	domain := store.Clusters.Find(s.o.store.View(), store.Only).Domain
	give := func(x any) func(string) any { return func(string) any { return x } }
	narrow := func(name string) any {
		return operator.NewToken{Name: "narrow", Scopes: []string{"read"}, Environments: []wire.EnvName{wire.EnvName(name)}}
	}
	refused := []way{
		{tried: "delete it", method: "DELETE", path: "environments/shop"},
		{tried: "change what it is made of", method: "PUT", path: "environments/shop", body: give(hello("shop", 2))},
		{tried: "give its nodes more", method: "PUT", path: "nodes/" + s.node + "/size", body: give(operator.ResizeNode{})},
		{tried: "share it on", method: "POST", path: "environments/shop/shares",
			body: give(share.NewShare{With: "dan", Role: user.Viewer})},
		{tried: "make its own share a larger one", method: "POST", path: "environments/shop/shares",
			body: give(share.NewShare{With: "eve", Role: user.Developer})},
		{tried: "read with whom it is shared", method: "GET", path: "environments/shop/shares"},
		{tried: "end another's share", method: "DELETE", path: "environments/shop/shares/dan"},
		{tried: "read with what its account's other environments it talks", method: "GET", path: "nodes/" + s.node + "/firewall"},
		{tried: "open its firewall", method: "PUT", path: "nodes/" + s.node + "/firewall", body: give(operator.FirewallRules{})},
		{tried: "take a name of its account's", method: "PUT", path: "environments/shop/domains/new.shop." + domain,
			body: give(struct{}{})},
		{tried: "swap its names for others", method: "POST", path: "environments/shop/domains/swap",
			body: give(operator.SwapDomains{With: "cellar"})},
		{tried: "carry it away as a backup", method: "GET", path: "nodes/" + s.node + "/backup?recipient=age1" + strings.Repeat("q", 58),
			session: true},
		{tried: "put another's data into it", method: "GET", path: "nodes/" + s.node + "/import?backups=1", session: true},
		{tried: "stop the operation of its account", method: "POST", path: "operations/" + s.op + "/cancel"},
		{tried: "run its own cluster's audit", method: "GET", path: "/metrics"},
	}
	for _, w := range refused {
		w.status = http.StatusForbidden
		s.as(s.eve, func() { s.tries(w) })
	}
	words := []string{"cellar", "owner@", "robot", service.ID, s.acmeToken, "inner", sharedSecret}
	nothing := []way{ // what one asked oneself one's own record has: that is read first
		{tried: "read its account's record", method: "GET", path: "audit?limit=1000", silent: true},
		{tried: "look in the record for one of its account's people", method: "GET", path: "audit?who=owner@acme.example", silent: true},
		{tried: "read the environment beside it", method: "GET", path: "environments/%s", there: "cellar", nothing: "nosuch"},
		{tried: "start that", method: "POST", path: "environments/%s/start", there: "cellar", nothing: "nosuch"},
		{tried: "read the node beside its", method: "GET", path: "nodes/%s", there: s.beside, nothing: "4711"},
		{tried: "open a shell in that", method: "GET", path: "nodes/%s/exec?argv=true", there: s.beside, nothing: "4711", session: true},
		{tried: "find its account's other operations", method: "GET", path: "operations?limit=500", silent: true},
		{tried: "find its account's other nodes", method: "GET", path: "nodes?limit=1000", silent: true},
		{tried: "read its account", method: "GET", path: "accounts/%s", there: "acme", nothing: "nosuch"},
		{tried: "find its account's tokens", method: "GET", path: "tokens?limit=1000", silent: true},
		{tried: "find its account's people", method: "GET", path: "users?limit=1000", silent: true},
		{tried: "find its account's services", method: "GET", path: "services", silent: true},
		{tried: "make a token for it that outlives the share", method: "POST", path: "tokens", there: "shop", nothing: "nosuch",
			body: narrow},
		{tried: "bring an environment of one's own to it", method: "POST", path: "environments/nosuch/domains/swap", there: "shop",
			nothing: "nosuch", body: func(name string) any { return operator.SwapDomains{With: wire.EnvName(name)} }},
		{tried: "share what is shared, from one's own list", method: "POST", path: "environments/%s/shares", there: "cellar",
			nothing: "nosuch", body: give(share.NewShare{With: "dan", Role: user.Viewer})},
		{tried: "accept what is offered to nobody", method: "POST", path: "shares/%s/accept", there: "cellar", nothing: "nosuch"},
	}
	for _, w := range nothing {
		s.as(s.eve, func() { s.tries(w, words...) })
	}
	s.as(s.vic, func() { // their share is a developer's, they are a viewer
		for _, w := range []way{{tried: "start it as a viewer", method: "POST", path: "environments/shop/start"},
			{tried: "open a shell as a viewer", method: "GET", path: "nodes/" + s.node + "/exec?argv=true", session: true},
			{tried: "give the share back as a viewer", method: "DELETE", path: "shares/shop"}} {
			w.status = http.StatusForbidden
			s.tries(w)
		}
	})
	s.as(s.dan, func() { // it was offered to another
		s.tries(way{tried: "accept another's offer", method: "POST", path: "shares/%s/accept", there: "shop", nothing: "nosuch"})
	})
	// The same key of two accounts' requests is two keys.
	var theirs, own operator.Accepted
	s.as(s.acme, func() { s.ok("POST", "/api/v1/environments/shop/stop", nil, &theirs, "Idempotency-Key", "one") })
	s.ended(theirs.Operation.ID)
	s.as(s.eve, func() { s.ok("POST", "/api/v1/environments/shop/stop", nil, &own, "Idempotency-Key", "one") })
	if own.Operation.ID == theirs.Operation.ID || own.Operation.By != "account eve" || own.Operation.Account != "acme" {
		t.Errorf("with the key of another: %+v", own.Operation)
	}
	s.as(s.eve, func() { // their own they end, unless it has ended by itself
		s.tries(way{tried: "end what its account began", method: "POST", path: "operations/" + string(theirs.Operation.ID) + "/cancel",
			status: http.StatusForbidden})
		status, text := s.cluster.ask("POST", "/api/v1/operations/"+string(own.Operation.ID)+"/cancel", asked{})
		if status != http.StatusOK && !(status == http.StatusConflict && strings.Contains(text, "done")) {
			t.Errorf("eve ends their own: %d %s", status, text)
		}
	})
}

// TestOffersTellNothing: who offers learns of an account that is there, of one that isn't and of one that declines the same, now and later.
func TestOffersTellNothing(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	blind := strings.NewReplacer("eve", "?", "dan", "?", "nosuch", "?")
	ask := func(method, path, with string) string {
		q := asked{}
		if method == "POST" {
			q.body = share.NewShare{With: wire.Account(with), Role: user.Viewer}
		}
		status, text := "", ""
		s.as(s.acme, func() {
			n, got := s.cluster.ask(method, "/api/v1/environments/shop/shares"+path, q)
			status, text = fmt.Sprint(n), got
		})
		var out struct{ Created, Until time.Time }
		if json.Unmarshal([]byte(text), &out) == nil {
			for _, at := range []time.Time{out.Created, out.Until} {
				text = strings.ReplaceAll(text, at.Format(time.RFC3339), "AT")
			}
		}
		return status + " " + blind.Replace(text)
	}
	same := func(what string, of func(with string) string) {
		t.Helper()
		there, nothing, declined := of("eve"), of("nosuch"), of("dan")
		if there != nothing || there != declined {
			t.Errorf("%s:\nthere: %s\nnothing: %s\ndeclined: %s", what, there, nothing, declined)
		}
	}
	same("offering", func(with string) string { return ask("POST", "", with) })
	s.as(s.dan, func() {
		s.ok("DELETE", "/api/v1/shares/shop", nil, nil)
		if strings.Contains(s.list("shares"), "shop") {
			t.Error("what was declined is offered still")
		}
		s.tries(way{tried: "accept what was declined", method: "POST", path: "shares/%s/accept", there: "shop", nothing: "nosuch"})
	})
	same("offering again", func(with string) string { return ask("POST", "", with) })
	same("the list", func(with string) string {
		var list operator.List[share.Share]
		s.as(s.acme, func() { s.ok("GET", "/api/v1/environments/shop/shares", nil, &list) })
		i := slices.IndexFunc(list.Items, func(x share.Share) bool { return string(x.With) == with })
		if i < 0 {
			return "none"
		}
		x := list.Items[i]
		return fmt.Sprint(x.State, x.Role, x.Idle, x.Since.IsZero(), x.Until.Sub(x.Created))
	})
	s.as(s.acme, func() {
		var audits operator.List[operator.Audit]
		s.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
		for _, a := range audits.Items {
			if a.What == "share.leave" || strings.Contains(a.Who, "dan") {
				t.Errorf("the record tells that it was declined: %+v", a)
			}
		}
	})
	same("taking back", func(with string) string { return ask("DELETE", "/"+with, with) })
	// An account that is made later has not been offered what was offered to its name.
	ask("POST", "", "nosuch")
	s.ok("POST", "/api/v1/accounts", account.NewAccount{Name: "nosuch"}, nil)
	s.as(s.tokenOf("nosuch"), func() {
		if strings.Contains(s.list("shares"), "shop") {
			t.Error("a new account is offered what was another's")
		}
	})
}

// TestShareEnds: at once when it is taken back or given back, when an account of the two is suspended or closing, and when the environment
// is deleted, for what is held open too.
func TestShareEnds(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	s.person("owner@eve.example", "eve", user.Owner) // who opens it again when it was closing
	state := func(of wire.Account, to account.State) {
		s.ok("PATCH", "/api/v1/accounts/"+string(of), account.ChangeAccount{State: &to}, nil)
	}
	sees := func() (yes bool) {
		s.as(s.eve, func() { _, yes = s.env("shop") })
		return yes
	}
	for _, k := range []struct {
		how   string
		ends  func()
		again func() // nil: it is over for good
	}{
		{"its account takes it back", s.take, nil},
		{"the other gives it back", func() { s.as(s.eve, func() { s.ok("DELETE", "/api/v1/shares/shop", nil, nil) }) }, nil},
		{"its account is suspended", func() { state("acme", account.Suspended) }, func() { state("acme", account.Active) }},
		{"the other is suspended", func() { state("eve", account.Suspended) }, func() { state("eve", account.Active) }},
		{"its account is closing", func() { state("acme", account.Closing) }, func() { state("acme", account.Active) }},
		{"the other is closing", func() { state("eve", account.Closing) }, func() { state("eve", account.Active) }},
		{"it is another account's", func() { s.own("shop", "dan") }, func() { s.own("shop", "acme") }},
		{"it is deleted", func() { s.as(s.acme, func() { s.change("delete", "shop") }) }, nil},
	} {
		if !sees() {
			s.give(user.Developer)
		}
		if !sees() {
			t.Fatalf("before %s: it is not shared", k.how)
		}
		k.ends()
		if sees() {
			t.Errorf("%s: it is shared still", k.how)
		}
		s.as(s.eve, func() {
			if p := s.call("POST", "/api/v1/environments/shop/stop", nil, nil); p == nil {
				t.Errorf("%s: eve stops it", k.how)
			}
			if strings.Contains(s.list("nodes"), `"shop"`) {
				t.Errorf("%s: its node is listed still", k.how)
			}
		})
		if k.again != nil {
			k.again()
		}
	}
}

// own gives an environment to another account, as a transfer does.
func (s *sharing) own(name wire.EnvName, to wire.Account) {
	s.t.Helper()
	_, err := s.o.store.Update(s.t.Context(), func(tx *store.Tx) error {
		e, _ := store.Envs.Read(tx, string(name))
		e.Account = to
		store.Envs.Put(tx, string(name), e)
		return nil
	})
	must(s.t, err)
}

// TestShareOfLater: what was done to an earlier environment of the same name is nothing to those with whom the later one is shared; its own
// account reads it.
func TestShareOfLater(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	s.as(s.ada, func() {
		if op := s.ended(s.change("delete", "shop")); op.State != operator.OpDone {
			t.Fatalf("deleted: %+v", op)
		}
		if op := s.create(hello("shop", 1)); op.State != operator.OpDone {
			t.Fatalf("made again: %+v", op)
		}
	})
	s.give(user.Developer)
	operations := func() (list operator.List[operator.Operation]) {
		s.ok("GET", "/api/v1/operations?env=shop", nil, &list)
		return list
	}
	s.as(s.eve, func() {
		if l := operations().Items; len(l) != 1 || l[0].Kind != "env.create" || string(l[0].ID) == s.op {
			t.Errorf("a guest reads %+v", l)
		}
		if p := s.call("GET", "/api/v1/operations/"+s.op, nil, nil); p == nil || p.Code != operator.NotFound {
			t.Errorf("a guest reads the operation that made the earlier one: %v", p)
		}
	})
	s.as(s.ada, func() {
		if l := operations().Items; len(l) < 3 {
			t.Errorf("its own account reads %+v", l)
		}
	})
}

// TestShareFollowsRename: who an environment is shared with goes on to see it under its other name, and nothing of one that comes to be
// under the old one; they can't rename it.
func TestShareFollowsRename(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	s.give(user.Developer)
	s.as(s.ada, func() {
		s.ok("POST", "/api/v1/environments/shop/shares", share.NewShare{With: "dan", Role: user.Viewer}, nil)
		s.ok("POST", "/api/v1/environments/shop/stop", nil, nil)
		s.eventually("it is stopped", func() bool {
			return s.call("POST", "/api/v1/environments/shop/rename",
				operator.RenameEnvironment{Name: "store"}, nil) == nil
		})
		s.create(hello("shop", 1))
	})
	s.as(s.eve, func() {
		if _, there := s.env("shop"); there {
			t.Error("eve sees another environment of the old name")
		}
		if e, there := s.env("store"); !there || e.Shared == nil || e.Shared.Role != "developer" || len(e.Nodes) != 1 {
			t.Errorf("what is shared with eve is %+v", e)
		}
		mine := operator.RenameEnvironment{Name: "mine"}
		if p := s.call("POST", "/api/v1/environments/store/rename", mine, nil); p == nil || p.Code != operator.Denied {
			t.Errorf("eve renames it: %v", p)
		}
	})
	s.as(s.dan, func() {
		s.ok("POST", "/api/v1/shares/store/accept", nil, nil)
		if e, there := s.env("store"); !there || e.Shared == nil {
			t.Errorf("what was offered to dan is %+v", e)
		}
	})
	s.as(s.acme, func() {
		var list operator.List[share.Share]
		s.ok("GET", "/api/v1/environments/shop/shares", nil, &list)
		if len(list.Items) != 0 {
			t.Errorf("the new one is shared by %+v", list.Items)
		}
	})
}

// TestShareEndsSessions: a shell, and a watch, that somebody has open by a share end with it; both accounts read that it was open.
func TestShareEndsSessions(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	s.give(user.Developer)
	var conn *websocket.Conn
	s.as(s.eve, func() {
		conn = s.dial(s.node + "/exec?argv=cat")
		must(t, conn.Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanStdin, []byte("hello"))))
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, _, err := conn.Read(ctx); err != nil {
		t.Fatal(err)
	}
	s.take()
	for err := error(nil); err == nil; {
		if _, _, err = conn.Read(ctx); ctx.Err() != nil {
			t.Fatal("the shell stays open when the share has ended")
		}
	}
	record := func(token string) (out []string) {
		s.as(token, func() {
			var list operator.List[operator.Audit]
			s.ok("GET", "/api/v1/audit?limit=1000", nil, &list)
			for _, a := range list.Items {
				if strings.HasPrefix(a.What, "node.exec") || strings.HasPrefix(a.What, "share.") {
					out = append(out, fmt.Sprint(a.What, " ", a.Who, " ", a.Account, " ", a.With, " ", a.From != "", " ", a.Result))
				}
			}
		})
		return out
	}
	of, with := record(s.acme), record(s.eve)
	for _, k := range []struct {
		whose string
		list  []string
		want  string
	}{
		{"acme", of, "share.offer owner@acme.example acme  true ok"}, {"acme", of, "share.accept account eve eve acme false ok"},
		{"acme", of, "node.exec account eve eve acme false ok"}, {"acme", of, "share.end all acme eve true ok"},
		{"eve", with, "share.accept all eve acme true ok"}, {"eve", with, "node.exec all eve acme true ok"},
		{"eve", with, "share.end account acme acme eve false ok"},
	} {
		if !slices.Contains(k.list, k.want) {
			t.Errorf("%s does not read %q in\n%s", k.whose, k.want, strings.Join(k.list, "\n"))
		}
	}
	if slices.ContainsFunc(with, func(l string) bool { return strings.HasPrefix(l, "share.offer") }) {
		t.Errorf("eve reads who offered: %v", with)
	}
}
