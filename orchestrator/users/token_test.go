package users

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// setup is the admin token that the cluster came with.
func (b *bench) setup() authz.Who {
	b.t.Helper()
	const text = secret.Text("hnt.setup")
	if _, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error {
		store.Tokens.Put(tx, authz.Hash(text), store.Token{ID: authz.AdminID, Name: "admin", Account: wire.AdminAccount,
			Hash: authz.Hash(text), Scopes: []string{"admin"}, Maker: authz.Setup()})
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return b.holder(text)
}

func (b *bench) holder(text secret.Text) authz.Who {
	b.t.Helper()
	who, p := b.Tokens.Check(text)
	if p != nil {
		b.t.Fatal(p)
	}
	return who
}

// token has somebody make a token.
func (b *bench) token(by authz.Who, of wire.Account, name string, scopes ...string) (operator.MadeToken, authz.Who) {
	b.t.Helper()
	made, err := b.Tokens.Create(b.t.Context(), by, of, operator.NewToken{Name: name, Scopes: scopes})
	if err != nil {
		b.t.Fatal(err)
	}
	return made, b.holder(secret.Text(made.Text))
}

func (b *bench) listed(by wire.Account, name string) operator.Token {
	b.t.Helper()
	list := b.Tokens.List(by)
	at := slices.IndexFunc(list, func(t operator.Token) bool { return t.Name == name })
	if at < 0 {
		b.t.Fatalf("there is no token %s: %+v", name, list)
	}
	return list[at]
}

// TestTokenDoesWhatItsMakerMay: a role that is lowered bounds what its user's tokens do, at once, and what they hold open ends.
func TestTokenDoesWhatItsMakerMay(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("kim@example.com", "acme", user.Owner)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	all, asAll := b.token(ada, "acme", "all", "admin")
	patch, _ := b.token(ada, "acme", "patch", "patch")
	metrics, _ := b.token(ada, "acme", "metrics", "metrics")
	again, _ := b.token(asAll, "acme", "again", "admin") // made by a token of hers
	held, end := b.Tokens.While(t.Context(), asAll)
	defer end()
	if m := b.listed("acme", "again").Maker; m == nil || m.Kind != operator.ByToken || m.Name != "all" || m.User != ada.User {
		t.Errorf("its maker is %+v", m)
	}
	lower := func(to user.Role) {
		if _, err := b.SetMember(t.Context(), admin, "acme", ada.User, to); err != nil {
			t.Fatal(err)
		}
	}
	may := func(text string, s authz.Scope) bool {
		return b.holder(secret.Text(text)).Require(s, "x") == nil
	}
	lower(user.Developer)
	<-held.Done() // never, if it goes on
	for _, text := range []string{all.Text, again.Text} {
		if may(text, authz.Admin) || !may(text, authz.Write) || !may(text, authz.Exec) {
			t.Errorf("with a developer's role: %+v", b.holder(secret.Text(text)))
		}
	}
	if _, err := b.Tokens.Create(t.Context(), asAll, "acme", operator.NewToken{Name: "more", Scopes: []string{"read"}}); err == nil {
		t.Error("a token of a developer's made another")
	}
	lower(user.Viewer)
	if may(all.Text, authz.Write) || !may(all.Text, authz.Read) {
		t.Errorf("with a viewer's role: %+v", b.holder(secret.Text(all.Text)))
	}
	p := b.holder(secret.Text(all.Text)).Require(authz.Write, "x")
	if p == nil || !strings.Contains(p.Reason, "who made it is viewer of account acme") {
		t.Errorf("it does not say why: %v", p)
	}
	for name, text := range map[string]string{"patch": patch.Text, "metrics": metrics.Text} {
		now := b.holder(secret.Text(text))
		if reads := now.Require(authz.Read, "x") == nil; reads != (name == "patch") || now.Require(authz.Patch, "x") == nil ||
			now.Require(authz.Metrics, "x") == nil {
			t.Errorf("%s with a viewer's role: %+v", name, now)
		}
	}
	if got := b.listed("acme", "all"); got.Reason == "" || !got.Ended.IsZero() || !slices.Equal(got.Scopes, []string{"admin"}) {
		t.Errorf("it reads %+v", got)
	}
	lower(user.Owner)
	if !may(all.Text, authz.Admin) || b.listed("acme", "all").Reason != "" {
		t.Error("an owner's token does less than an owner")
	}
}

// TestTokensEndWithTheirMaker: who leaves an account leaves no token behind that works; of what others made nothing changes.
func TestTokensEndWithTheirMaker(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("kim@example.com", "acme", user.Owner)
	b.made("kai@example.com", "shop", user.Owner)
	if _, err := b.SetMember(t.Context(), admin, "shop", "ada@example.com", user.Owner); err != nil {
		t.Fatal(err)
	}
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	inShop, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass, Account: "shop"}, here)
	one, asOne := b.token(ada, "acme", "one", "read", "write")
	_, asMore := b.token(ada, "acme", "more", "admin")
	two, _ := b.token(asMore, "acme", "two", "admin")
	shop, _ := b.token(inShop, "shop", "one", "read")
	given, _ := b.token(admin, "acme", "given", "admin")
	if m := b.listed("acme", "given").Maker; m == nil || *m != (operator.TokenMaker{Kind: operator.ByCluster}) {
		t.Errorf("the account learns that %+v made its token", m)
	}
	if m := b.listed(wire.AdminAccount, "given").Maker; m == nil || m.Name != "admin" || m.Kind != operator.ByToken {
		t.Errorf("the admins read that %+v made it", m)
	}
	held, end := b.Tokens.While(t.Context(), asOne)
	defer end()

	ended, err := b.RemoveMember(t.Context(), admin, "acme", ada.User)
	if err != nil || len(ended) != 3 {
		t.Fatalf("%d tokens ended: %v", len(ended), err)
	}
	<-held.Done()
	refusedNow := func(text, why string) {
		t.Helper()
		if _, p := b.Tokens.Check(secret.Text(text)); p == nil || p.Status != http.StatusUnauthorized || !strings.Contains(p.Reason, why) {
			t.Errorf("got %v, want %q", p, why)
		}
	}
	for _, text := range []string{one.Text, two.Text} {
		refusedNow(text, "who made it is not in account acme any more")
	}
	b.holder(secret.Text(shop.Text))
	b.holder(secret.Text(given.Text))
	if got := b.listed("acme", "one"); got.Ended.IsZero() || got.Reason == "" || !slices.Equal(got.Scopes, []string{"read", "write"}) {
		t.Errorf("it reads %+v", got)
	}
	for _, r := range store.Tokens.Refs(b.Store.View()) {
		if r.Over != nil && (len(r.Scopes) > 0 || r.Narrow != nil) {
			t.Errorf("an earlier orchestrator lets it do %v", r.Scopes)
		}
	}
	// Who comes back has no token of before; the name is free.
	if _, err := b.SetMember(t.Context(), admin, "acme", ada.User, user.Owner); err != nil {
		t.Fatal(err)
	}
	refusedNow(one.Text, "not in account acme")
	ada, _ = b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	again, _ := b.token(ada, "acme", "one", "read")

	if ended, err = b.Delete(t.Context(), ada.User); err != nil || len(ended) != 2 {
		t.Fatalf("%d tokens ended: %v", len(ended), err)
	}
	refusedNow(again.Text, "who made it is no user any more")
	refusedNow(shop.Text, "who made it is no user any more")
	b.later(authz.KeptOver)
	if _, err := b.Tokens.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := store.Tokens.Len(b.Store.View()); n != 2 { // the admins', and what they gave
		t.Errorf("%d tokens are kept", n)
	}
	refusedNow(one.Text, "the token is not known")
}

// TestTokenLeftByAnother: a maker who left while an orchestrator was at work that does not heed it takes their tokens along all the same.
func TestTokenLeftByAnother(t *testing.T) {
	b := opened(t)
	b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	made, _ := b.token(ada, "acme", "one", "read")
	var records []operator.Audit
	b.Guesses = &authz.Guesses{Now: b.Now, Record: func(a operator.Audit) error { records = append(records, a); return nil }}
	if _, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
		u, _ := store.Users.Read(tx, store.UserKey("ada@example.com"))
		u.Members = nil
		store.Users.Put(tx, store.UserKey(u.Mail), u)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, p := b.Tokens.Check(secret.Text(made.Text)); p == nil {
		t.Error("it is taken")
	}
	b.endTokens(t.Context())
	b.endTokens(t.Context())
	if got := b.listed("acme", "one"); got.Ended.IsZero() || len(records) != 1 || records[0].What != "token.end" ||
		records[0].Account != "acme" {
		t.Errorf("it is %+v, the record has %+v", got, records)
	}
}

// TestTokenMadeWhileLeaving: of who makes tokens while they are taken out, none is left that works.
func TestTokenMadeWhileLeaving(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("kim@example.com", "acme", user.Owner)
	for range 8 {
		if _, err := b.SetMember(t.Context(), admin, "acme", "ada@example.com", user.Owner); err != nil {
			t.Fatal(err)
		}
		ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				b.Tokens.Create(t.Context(), ada, "acme", operator.NewToken{Name: rand.Text(), Scopes: []string{"admin"}})
			})
		}
		wg.Go(func() { b.RemoveMember(t.Context(), admin, "acme", ada.User) })
		wg.Wait()
		for _, r := range store.Tokens.All(b.Store.View()) {
			if r.ID != authz.AdminID && r.Over == nil {
				t.Errorf("token %s outlived its maker", r.Name)
			}
		}
	}
}

// TestLastToken: the last token that makes others for good is kept: one that ends with a user is none.
func TestLastToken(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("root@example.com", wire.AdminAccount, user.Owner)
	root, _ := b.in(user.SignIn{Mail: "root@example.com", Password: pass}, here)
	of, _ := b.token(root, wire.AdminAccount, "of-root", "admin")
	refused(t, b.Tokens.Revoke(t.Context(), authz.AdminID, wire.AdminAccount), http.StatusConflict)
	if err := b.Tokens.Revoke(t.Context(), of.ID, wire.AdminAccount); err != nil {
		t.Error(err)
	}
	b.token(admin, wire.AdminAccount, "next", "admin")
	if err := b.Tokens.Revoke(t.Context(), authz.AdminID, wire.AdminAccount); err != nil {
		t.Error(err)
	}
}

// TestTokensHaveALimit: an account has so many tokens and no more; what has ended takes none of them and is kept beside them, the latest;
// another account has its own.
func TestTokensHaveALimit(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	put := func(from, to int, over *store.TokenOver) {
		if _, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
			for i := from; i < to; i++ {
				rec := store.Token{ID: fmt.Sprint("t", i), Name: fmt.Sprint("t", i), Hash: fmt.Sprint("hash", i), Account: "acme",
					Over: over, Scopes: []string{}}
				store.Tokens.Put(tx, rec.Hash, rec)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	create := func(of wire.Account, name string) error {
		_, err := b.Tokens.Create(t.Context(), admin, of, operator.NewToken{Name: name, Scopes: []string{"read"}})
		return err
	}
	put(0, 500, nil)
	put(500, authz.MaxTokens-1, nil)
	put(2000, 2500, &store.TokenOver{At: b.now, Why: "x"})
	put(2500, 2000+authz.MaxTokens, &store.TokenOver{At: b.now.Add(time.Second), Why: "x"})
	if err := create("acme", "the last"); err != nil {
		t.Fatal(err)
	}
	p := refused(t, create("acme", "more"), http.StatusInsufficientStorage)
	if !strings.Contains(p.Reason, "limit tokens: account acme may have 1000") {
		t.Errorf("it says %+v", p)
	}
	if err := create("shop", "more"); err != nil {
		t.Error(err)
	}
	ended := 0
	for _, x := range b.Tokens.List("acme") {
		if !x.Ended.IsZero() {
			ended++
		}
	}
	if n := len(b.Tokens.List("acme")); n != 2*authz.MaxTokens-1 || ended != authz.MaxTokens-1 {
		t.Errorf("it has %d, %d of them ended", n, ended)
	}
	if err := b.Tokens.Revoke(t.Context(), "t7", "acme"); err != nil {
		t.Fatal(err)
	}
	if err := create("acme", "more"); err != nil {
		t.Error(err)
	}
}
