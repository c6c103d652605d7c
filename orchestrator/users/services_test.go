package users

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// TestService: a service has tokens that do what its role allows, outlive whoever made it, and end with it; it is among no people, and
// nobody signs in as it or gets a link for it.
func TestService(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("kim@example.com", "acme", user.Owner)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	made, err := b.AddService(t.Context(), ada, user.NewService{Name: "ci", Role: user.Developer})
	if err != nil || made.Account != "acme" || made.Role != user.Developer || made.By != "ada@example.com" {
		t.Fatal(made, err)
	}
	_, err = b.ServiceToken(t.Context(), ada, "ci", operator.NewToken{Name: "more", Scopes: []string{"admin"}})
	if p := refused(t, err, http.StatusUnprocessableEntity); p.Object != "scopes" ||
		!strings.Contains(p.Reason, "service ci is developer") {
		t.Errorf("a scope over its role: %+v", p)
	}
	tok, err := b.ServiceToken(t.Context(), ada, "ci", operator.NewToken{Name: "deploy", Scopes: []string{"write"}})
	if err != nil || tok.Account != "acme" || tok.Maker.Kind != operator.ByService || tok.Maker.Name != "ci" || tok.Maker.User != made.ID {
		t.Fatal(tok, err)
	}
	who := b.holder(secret.Text(tok.Text))
	if who.Require(authz.Write, "x") != nil || who.Require(authz.Exec, "x") == nil || who.User != "" {
		t.Errorf("its token is %+v", who)
	}
	if list := b.Services("acme"); len(list) != 1 || list[0].Tokens != 1 || list[0].ID != made.ID {
		t.Errorf("its account sees %+v", list)
	}

	// It is nobody where people are meant.
	if list := b.List("acme"); len(list) != 2 {
		t.Errorf("among people are %+v", list)
	}
	for what, f := range map[string]func(id string) error{
		"read":         func(id string) error { _, err := b.Get("admin", id); return err },
		"given a role": func(id string) error { _, err := b.SetMember(t.Context(), admin, "shop", id, user.Owner); return err },
		"taken out":    func(id string) error { _, err := b.RemoveMember(t.Context(), admin, "acme", id); return err },
		"deleted":      func(id string) error { _, err := b.Delete(t.Context(), id); return err },
		"sent a link":  func(id string) error { _, err := b.Reset(t.Context(), admin, id); return err },
	} {
		for _, id := range []string{made.ID, "acme/ci"} {
			if got, want := refused(t, f(id), http.StatusNotFound).Error(), none(id).Error(); got != want {
				t.Errorf("%s as a person it answers %s, of nobody %s", what, got, want)
			}
		}
	}
	for _, password := range []secret.Text{"", "x", pass} {
		_, err := b.SignIn(t.Context(), user.SignIn{Mail: "acme/ci", Password: password}, there, "api")
		refused(t, err, http.StatusUnauthorized)
	}
	_, err = b.Create(t.Context(), user.NewUser{Mail: "acme/ci", Password: pass, Account: "acme", Role: user.Owner}, "admin")
	refused(t, err, http.StatusUnprocessableEntity)

	// It outlives who made it, and its tokens end with it.
	if _, err := b.RemoveMember(t.Context(), admin, "acme", ada.User); err != nil {
		t.Fatal(err)
	}
	if _, p := b.Tokens.Check(secret.Text(tok.Text)); p != nil {
		t.Errorf("after its maker left: %v", p)
	}
	kim, _ := b.in(user.SignIn{Mail: "kim@example.com", Password: pass}, here)
	ended, err := b.RemoveService(t.Context(), kim, "ci")
	if err != nil || len(ended) != 1 || ended[0].ID != tok.ID {
		t.Errorf("%+v ended, %v", ended, err)
	}
	if _, p := b.Tokens.Check(secret.Text(tok.Text)); p == nil {
		t.Error("its token outlived it")
	}
	_, err = b.RemoveService(t.Context(), kim, "ci")
	refused(t, err, http.StatusNotFound)
}

// TestServiceIsNoOwner: an account whose last person leaves has no owner, though a service of it may all that an owner may.
func TestServiceIsNoOwner(t *testing.T) {
	b := opened(t)
	b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	if _, err := b.AddService(t.Context(), ada, user.NewService{Name: "all", Role: user.Owner}); err != nil {
		t.Fatal(err)
	}
	tok, err := b.ServiceToken(t.Context(), ada, "all", operator.NewToken{Name: "all", Scopes: []string{"admin"}})
	if err != nil {
		t.Fatal(err)
	}
	all := b.holder(secret.Text(tok.Text))
	_, err = b.RemoveMember(t.Context(), all, "acme", ada.User)
	if p := refused(t, err, http.StatusConflict); !strings.Contains(p.Reason, "last owner") {
		t.Errorf("it says %+v", p)
	}
	// What it makes ends with it too.
	_, child := b.token(all, "acme", "child", "admin")
	if _, err := b.RemoveService(t.Context(), ada, "all"); err != nil {
		t.Fatal(err)
	}
	if _, p := b.Tokens.CheckHash(authz.Hash(secret.Text(tok.Text))); p == nil {
		t.Error("its token outlived it")
	}
	if _, err := b.Tokens.Create(t.Context(), child, "acme", operator.NewToken{Name: "more", Scopes: []string{"read"}}); err == nil {
		t.Error("what its token made makes others after its end")
	}
}

// TestServicesOfOthers: to another account a service is not there, by id or by name, and one of the same name is its own.
func TestServicesOfOthers(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("bob@example.com", "shop", user.Owner)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	bob, _ := b.in(user.SignIn{Mail: "bob@example.com", Password: pass}, here)
	made, err := b.AddService(t.Context(), ada, user.NewService{Name: "ci", Role: user.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	for _, which := range []string{made.ID, "ci"} {
		for what, f := range map[string]func(string) error{
			"removed": func(s string) error { _, err := b.RemoveService(t.Context(), bob, s); return err },
			"given a token": func(s string) error {
				_, err := b.ServiceToken(t.Context(), bob, s, operator.NewToken{Name: "x", Scopes: []string{"read"}})
				return err
			},
		} {
			got, want := refused(t, f(which), http.StatusNotFound).Error(), refused(t, f("nosuch"), http.StatusNotFound).Error()
			if strings.ReplaceAll(got, which, "nosuch") != want {
				t.Errorf("%s: of another's %s, of none %s", what, got, want)
			}
		}
	}
	_, err = b.AddService(t.Context(), bob, user.NewService{Name: "ci", Role: user.Owner, Account: "acme"})
	_, none := b.AddService(t.Context(), bob, user.NewService{Name: "ci", Role: user.Owner, Account: "nosuch"})
	got, want := refused(t, err, http.StatusNotFound).Error(), refused(t, none, http.StatusNotFound).Error()
	if strings.ReplaceAll(got, "acme", "nosuch") != want {
		t.Errorf("in another's account: %s, in none: %s", got, want)
	}
	if _, err := b.AddService(t.Context(), bob, user.NewService{Name: "ci", Role: user.Viewer}); err != nil {
		t.Error(err)
	}
	if list := b.Services("shop"); len(list) != 1 || list[0].Account != "shop" {
		t.Errorf("it sees %+v", list)
	}
	if list := b.Services(wire.AdminAccount); len(list) != 2 || list[0].Account != "acme" {
		t.Errorf("the admins see %+v", list)
	}
	if _, err := b.RemoveService(t.Context(), admin, made.ID); err != nil {
		t.Error(err)
	}
	for _, n := range []user.NewService{{Name: "No Name", Role: user.Viewer}, {Name: "", Role: user.Viewer}, {Name: "x", Role: "king"}} {
		_, err := b.AddService(t.Context(), bob, n)
		refused(t, err, http.StatusUnprocessableEntity)
	}
	_, err = b.AddService(t.Context(), bob, user.NewService{Name: "ci", Role: user.Viewer})
	refused(t, err, http.StatusConflict)
	for i := range user.MaxServices - 1 {
		if _, err := b.AddService(t.Context(), bob, user.NewService{Name: fmt.Sprintf("s%d", i), Role: user.Viewer}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = b.AddService(t.Context(), bob, user.NewService{Name: "more", Role: user.Viewer})
	if p := refused(t, err, http.StatusInsufficientStorage); !strings.Contains(p.Reason, "limit services: account shop may have 50") {
		t.Errorf("over the limit: %+v", p)
	}
	if _, err := b.AddService(t.Context(), ada, user.NewService{Name: "ci", Role: user.Viewer}); err != nil {
		t.Errorf("another account: %v", err)
	}
}

// TestServiceTokenWhileRemoved: of tokens that are made while their service is removed, none is left that works.
func TestServiceTokenWhileRemoved(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	for range 8 {
		made, err := b.AddService(t.Context(), admin, user.NewService{Name: "ci", Role: user.Viewer, Account: "acme"})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				_, err := b.ServiceToken(context.WithoutCancel(t.Context()), admin, made.ID, operator.NewToken{Name: fmt.Sprint("t", i),
					Scopes: []string{"read"}})
				var p *operator.Problem
				if err != nil && (!errors.As(err, &p) || p.Code != operator.NotFound) { // it came after the service had gone
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if _, err := b.RemoveService(t.Context(), admin, made.ID); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if _, ok := b.Service(wire.AdminAccount, made.ID); ok {
			t.Fatal("the service was not removed")
		}
		for _, r := range store.Tokens.All(b.Store.View()) {
			if _, p := b.Tokens.CheckHash(r.Hash); r.ID != authz.AdminID && p == nil {
				t.Errorf("token %s outlived its service", r.Name)
			}
		}
	}
}

// TestServiceOfOlder: an orchestrator that knows no services may have taken one for a person. It is still nobody who signs in, is in no
// account but its own, and those who run the cluster can remove it.
func TestServiceOfOlder(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("sue@example.com", "shop", user.Owner)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	sue, _ := b.in(user.SignIn{Mail: "sue@example.com", Password: pass}, here)
	made, err := b.AddService(t.Context(), ada, user.NewService{Name: "ci", Role: user.Developer})
	if err != nil {
		t.Fatal(err)
	}
	key := store.ServiceKey("acme", "ci")
	change := func(f func(*store.User)) {
		t.Helper()
		if _, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
			u, ok := store.Users.Read(tx, key)
			if !ok {
				return fmt.Errorf("there is no %s", key)
			}
			f(&u)
			store.Users.Put(tx, key, u)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	person, _ := store.Users.Get(b.Store.View(), store.UserKey("ada@example.com"))
	change(func(u *store.User) { u.Password = person.Password })
	_, err = b.SignIn(t.Context(), user.SignIn{Mail: "acme/ci", Password: pass}, there, "api")
	refused(t, err, http.StatusUnauthorized)

	change(func(u *store.User) { u.Members = append(u.Members, store.Member{Name: "shop", Role: user.Viewer}) })
	for _, w := range []authz.Who{ada, sue} {
		_, err := b.ServiceToken(t.Context(), w, made.ID, operator.NewToken{Name: "t", Scopes: []string{"read"}})
		refused(t, err, http.StatusNotFound)
		if list := b.Services(w.Account); len(list) != 0 {
			t.Errorf("account %s sees %+v", w.Account, list)
		}
	}
	_, err = b.ServiceToken(t.Context(), admin, made.ID, operator.NewToken{Name: "t", Scopes: []string{"read"}})
	refused(t, err, http.StatusNotFound)

	change(func(u *store.User) { u.Members = nil })
	if list := b.Services("admin"); len(list) != 1 || list[0].ID != made.ID || list[0].Account != "" {
		t.Errorf("those who run the cluster see %+v", list)
	}
	_, err = b.RemoveService(t.Context(), ada, made.ID)
	refused(t, err, http.StatusNotFound)
	if _, err := b.RemoveService(t.Context(), admin, made.ID); err != nil {
		t.Error(err)
	}
}

// TestSlowTokenMakesSlowOnes: a limit of its own goes on to what a token makes.
func TestSlowTokenMakesSlowOnes(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	slow, made := account.APIRate{PerSecond: 2, Burst: 4}, operator.MadeToken{}
	for _, c := range []struct {
		name string
		rate *account.APIRate
		want account.APIRate // of the token made; zero: refused
	}{
		{"one", &slow, slow},
		{"inherits", nil, slow},
		{"less", &account.APIRate{PerSecond: 1, Burst: 4}, account.APIRate{PerSecond: 1, Burst: 4}},
		{"more", &account.APIRate{PerSecond: 3, Burst: 4}, account.APIRate{}},
		{"more at once", &account.APIRate{PerSecond: 2, Burst: 5}, account.APIRate{}},
	} {
		by := admin
		if made.Text != "" {
			by = b.holder(secret.Text(made.Text))
		}
		got, err := b.Tokens.Create(t.Context(), by, "acme", operator.NewToken{Name: c.name, Scopes: []string{"admin"}, Rate: c.rate})
		switch {
		case c.want == account.APIRate{}:
			if p := refused(t, err, http.StatusUnprocessableEntity); p.Object != "rate" || !strings.Contains(p.Reason, `token "one"`) {
				t.Errorf("%s: %+v", c.name, p)
			}
		case err != nil || got.Rate != c.want:
			t.Errorf("%s: %+v, %v; want %v", c.name, got.Rate, err, c.want)
		case c.name == "one":
			made = got
		}
	}
}

// TestMadeAtOnce: of what is made at the same moment, no more comes into being than one after the other.
func TestMadeAtOnce(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	for i := range user.MaxServices - 1 {
		n := user.NewService{Name: fmt.Sprintf("s%d", i), Role: user.Viewer, Account: "acme"}
		if _, err := b.AddService(t.Context(), admin, n); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	var services, tokens atomic.Int64
	for i := range 6 {
		all.Go(func() {
			n := user.NewService{Name: fmt.Sprintf("new%d", i), Role: user.Viewer, Account: "acme"}
			if _, err := b.AddService(t.Context(), admin, n); err == nil {
				services.Add(1)
			}
		})
		all.Go(func() {
			n := operator.NewToken{Name: "same", Scopes: []string{"read"}}
			if _, err := b.Tokens.Create(t.Context(), admin, "acme", n); err == nil {
				tokens.Add(1)
			}
		})
	}
	all.Wait()
	if has := len(b.Services("acme")); services.Load() != 1 || has != user.MaxServices || tokens.Load() != 1 {
		t.Errorf("made were %d services, the account has %d; and %d tokens of one name", services.Load(), has, tokens.Load())
	}
}
