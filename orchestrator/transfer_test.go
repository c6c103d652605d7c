package main

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// rests stops shop, and waits until its host has said so.
func (s *sharing) rests() {
	s.t.Helper()
	var op wire.OperationID
	s.as(s.acme, func() { op = s.change("stop", "shop") })
	s.eventually("it is down, and nothing is at work on it", func() bool {
		e, _ := s.env("shop")
		return s.operation(op).State.Final() && e.State == "down" && e.Nodes[0].State == string(host.CtStopped)
	})
	s.settle()
}

// TestTransferRoles: owners give and take, and nobody else: no developer, no service or token without scope admin, nobody who acts as one
// of them, and none of those who run the cluster for the other account.
func TestTransferRoles(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	s.rests()
	dev, evesDev := s.person("dev@acme.example", "acme", user.Developer), s.person("dev@eve.example", "eve", user.Developer)
	eva, root := s.person("owner@eve.example", "eve", user.Owner), s.person("root@example.com", "admin", user.Owner)
	acting := func(mail string) (token string) {
		var in user.SignedIn
		s.as(root, func() { s.ok("POST", "/api/v1/users/"+mail+"/sign-in-as", user.SignInAs{Reason: "ticket 4711"}, &in) })
		return in.Token.Reveal()
	}
	var write operator.MadeToken
	s.as(s.acme, func() {
		s.ok("POST", "/api/v1/tokens", operator.NewToken{Name: "write", Scopes: []string{"write", "exec"}}, &write)
	})
	give := share.NewTransfer{To: "eve"}
	for who, token := range map[string]string{"a developer": dev, "a token that writes": write.Text, "who acts as the owner": acting(
		"owner@acme.example")} {
		s.as(token, func() {
			if p := s.call("POST", "/api/v1/environments/shop/transfer", give, nil); p == nil || p.Status != http.StatusForbidden {
				t.Errorf("%s gives it away: %v", who, p)
			}
		})
	}
	s.as(s.ada, func() { s.ok("POST", "/api/v1/environments/shop/transfer", give, nil) })
	s.as(acting("owner@acme.example"), func() {
		if p := s.call("DELETE", "/api/v1/environments/shop/shares/eve", nil, nil); p == nil || p.Status != http.StatusForbidden {
			t.Errorf("who acts as the owner takes the offer back: %v", p)
		}
	})
	for who, token := range map[string]string{"a developer": evesDev, "a viewer": s.vic, "who acts as the owner": acting(
		"owner@eve.example")} {
		s.as(token, func() {
			if p := s.call("POST", "/api/v1/shares/shop/accept", nil, nil); p == nil || p.Status != http.StatusForbidden {
				t.Errorf("%s takes it: %v", who, p)
			}
		})
	}
	for who, token := range map[string]string{"one of those who run the cluster": root, "its owner": s.ada, "another account": s.dan} {
		s.as(token, func() {
			if p := s.call("POST", "/api/v1/shares/shop/accept", nil, nil); p == nil || p.Status != http.StatusNotFound {
				t.Errorf("%s takes it: %v", who, p)
			}
		})
	}
	if e := store.Envs.Find(s.o.store.View(), "shop"); e.Account != "acme" {
		t.Fatalf("it is account %s's", e.Account)
	}
	s.as(eva, func() { s.ok("POST", "/api/v1/shares/shop/accept", nil, nil) })
	if e := store.Envs.Find(s.o.store.View(), "shop"); e.Account != "eve" {
		t.Fatalf("it is account %s's", e.Account)
	}
}

// TestTransferEnds: what people of the old account, and of one that it was shared with, have open of an environment ends with its transfer,
// and they find nothing of it any more; the other account finds nothing of theirs. Owners of both are written to.
func TestTransferEnds(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	s.ok("PUT", "/api/v1/cluster/mail", mail.SetMailSettings{Host: "127.0.0.1", Port: 1, Security: mail.None, From: "paas@example.com",
		Panel: "https://paas.example.com"}, nil)
	eva := s.person("owner@eve.example", "eve", user.Owner)
	s.as(s.ada, func() {
		s.ok("POST", "/api/v1/environments/shop/shares", share.NewShare{With: "dan", Role: user.Developer}, nil)
	})
	s.as(s.dan, func() { s.ok("POST", "/api/v1/shares/shop/accept", nil, nil) })
	open := map[string]*websocket.Conn{}
	for who, token := range map[string]string{"its owner": s.ada, "its account's token": s.acme, "a guest": s.dan} {
		s.as(token, func() {
			open[who] = s.dial(s.node + "/exec?argv=cat")
			must(t, open[who].Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanStdin, []byte("hello"))))
		})
	}
	var stays *websocket.Conn
	s.as(s.acme, func() {
		stays = s.dial(s.beside + "/exec?argv=cat")
		must(t, stays.Write(t.Context(), websocket.MessageBinary, host.Frame(host.ChanStdin, []byte("hello"))))
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, conn := range append(slices.Collect(maps.Values(open)), stays) {
		_, _, err := conn.Read(ctx)
		must(t, err)
	}
	s.rests()
	s.as(s.ada, func() { s.ok("POST", "/api/v1/environments/shop/transfer", share.NewTransfer{To: "eve"}, nil) })
	var got share.Share
	s.as(eva, func() { s.ok("POST", "/api/v1/shares/shop/accept", nil, &got) })
	if got.State != share.Transferred || got.Account != "acme" || got.With != "eve" || got.By != "" {
		t.Errorf("who accepts is answered %+v", got)
	}
	for who, conn := range open {
		for err := error(nil); err == nil; {
			if _, _, err = conn.Read(ctx); ctx.Err() != nil {
				t.Fatalf("the shell of %s stays open", who)
			}
		}
	}
	must(t, stays.Write(ctx, websocket.MessageBinary, host.Frame(host.ChanStdin, []byte("hello"))))
	if _, _, err := stays.Read(ctx); err != nil {
		t.Errorf("a shell in another environment ended: %v", err)
	}

	lists := []string{"environments", "environments?trash=true", "nodes?limit=1000", "shares", "templates", "tokens", "accounts"}
	for who, token := range map[string]string{"its owner before": s.ada, "a guest before": s.dan} {
		s.as(token, func() {
			for _, path := range lists {
				if text := s.list(path); strings.Contains(text, `"shop"`) || strings.Contains(text, `"`+s.node+`"`) {
					t.Errorf("%s finds it in %s: %s", who, path, text)
				}
			}
			for _, path := range []string{"environments/shop", "nodes/" + s.node, "environments/shop/shares", "environments/shop/domains",
				"nodes/" + s.node + "/firewall"} {
				if p := s.call("GET", "/api/v1/"+path, nil, nil); p == nil || p.Status != http.StatusNotFound {
					t.Errorf("%s reads %s: %v", who, path, p)
				}
			}
		})
	}
	s.as(eva, func() {
		for _, path := range append(lists, "environments/shop", "nodes/"+s.node, "operations?limit=500", "audit?limit=1000",
			"operations/"+s.op, "environments/shop/shares") {
			text := s.list(path)
			for _, word := range []string{"cellar", "owner@acme", "inner", sharedSecret, s.op, s.acmeToken} {
				if strings.Contains(strings.ReplaceAll(text, "operations/"+s.op, ""), word) {
					t.Errorf("the other account reads %q in %s: %s", word, path, text)
				}
			}
		}
		if e, _ := s.env("shop"); e.Account != "eve" || e.Shared != nil || e.Spec.Layers[0].Env["PLAIN"] != "plain-value" {
			t.Errorf("the other account reads %+v", e)
		}
	})
	for of, want := range map[string]int64{"acme": 1, "dan": 0, "eve": 1} {
		var a account.Account
		s.ok("GET", "/api/v1/accounts/"+of, nil, &a)
		if used := a.Use[0].Used; used != want {
			t.Errorf("account %s has %d environments, want %d", of, used, want)
		}
	}
	letter := s.letter("owner@acme.example")
	if !strings.Contains(letter, "Account eve has accepted environment shop") || strings.Contains(letter, "owner@eve.example") {
		t.Errorf("the old account's owner is written %s", letter)
	}
	letter = s.letter("owner@eve.example")
	if !strings.Contains(letter, "which account acme offered to account eve") || strings.Contains(letter, "owner@acme") {
		t.Errorf("the other account's owner is written %s", letter)
	}
	for m := range store.Outbox.Rows(s.o.store.View()) {
		if !slices.Contains([]string{"owner@acme.example", "owner@eve.example"}, m.To) {
			t.Errorf("%s is written to", m.To)
		}
	}
}
