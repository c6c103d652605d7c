package users

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/idp"
	"hardnode.dev/orchestrator/store"
)

// verifier is what a ticket's challenge is made of in these tests.
const verifier = secret.Text("a verifier of a browser, or of hnctl, of 43 characters or more")

func claim(subject, mail string) idp.Claim {
	return idp.Claim{Issuer: "https://sso.example", Subject: subject, Mail: mail, Name: "SSO"}
}

func believed(c idp.Claim) idp.Claim { c.Believed = true; return c }

// come is who comes from the provider: their session, or why there is none.
func (b *bench) come(c idp.Claim, code secret.Text, of wire.Account) (user.SignedIn, error) {
	ticket, err := b.Ticket(b.t.Context(), c, Challenge(verifier), here)
	if err != nil {
		return user.SignedIn{}, err
	}
	return b.Redeem(b.t.Context(), oidc.OidcSignIn{Ticket: ticket, Verifier: verifier, Code: code, Account: of}, here, "panel")
}

// bindTo binds a user as they do themselves.
func (b *bench) bindTo(mail string, c idp.Claim) {
	b.t.Helper()
	w, _ := b.in(user.SignIn{Mail: mail, Password: pass}, here)
	proof, err := b.Prove(b.t.Context(), w, here, pass, "")
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.Bind(b.t.Context(), w.User, proof, c); err != nil {
		b.t.Fatal(err)
	}
}

// TestIdentity: a user is who the provider's subject is bound to, whatever mail address it says.
func TestIdentity(t *testing.T) {
	b := opened(t)
	b.mailing()
	ada := b.made("ada@example.com", "acme", user.Owner)
	b.made("eve@example.com", "shop", user.Owner)
	_, err := b.come(claim("1", "ada@example.com"), "", "")
	if p := refused(t, err, http.StatusUnauthorized); !strings.Contains(p.Reason, "no user here is bound") {
		t.Errorf("bound to nobody: %v", p)
	}
	b.bindTo("ada@example.com", claim("1", "a@sso.example"))
	if got := b.posted("ada@example.com"); len(got) != 1 || !strings.Contains(got[0], "a@sso.example there") {
		t.Errorf("she is told %q", got)
	}
	in, err := b.come(claim("1", "eve@example.com"), "", "")
	if err != nil || in.Mail != "ada@example.com" || in.Account != "acme" || in.Kind != "panel" {
		t.Fatalf("she signs in: %+v %v", in, err)
	}
	if u, _ := b.Get(wire.AdminAccount, ada.ID); u.Identity == nil || u.Identity.Mail != "a@sso.example" || u.Last.IsZero() {
		t.Errorf("she is %+v", u)
	}
	_, err = b.come(claim("1", ""), "", "shop")
	refused(t, err, http.StatusForbidden) // not her account
	other := claim("1", "")
	other.Issuer = "https://other.example"
	_, err = b.come(other, "", "")
	refused(t, err, http.StatusUnauthorized)
	// What is bound to one user can't be bound to another.
	w, _ := b.in(user.SignIn{Mail: "eve@example.com", Password: pass}, here)
	proof, err := b.Prove(t.Context(), w, here, pass, "")
	if err != nil {
		t.Fatal(err)
	}
	refused(t, b.Bind(t.Context(), w.User, proof, claim("1", "")), http.StatusConflict)
	refused(t, b.Bind(t.Context(), ada.ID, proof, claim("2", "")), http.StatusForbidden) // it is Eve's proof
	// Another subject takes the place of the one before.
	b.bindTo("ada@example.com", claim("3", ""))
	_, err = b.come(claim("1", ""), "", "")
	refused(t, err, http.StatusUnauthorized)
	if _, err = b.come(claim("3", ""), "", ""); err != nil {
		t.Error(err)
	}
	// It ends by her password, by who runs the cluster, and with her.
	w, _ = b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	refused(t, b.EndIdentity(t.Context(), w, here, user.EndIdentity{Password: "wrong horse"}), http.StatusForbidden)
	if err := b.EndIdentity(t.Context(), w, here, user.EndIdentity{Password: pass}); err != nil {
		t.Fatal(err)
	}
	refused(t, b.EndIdentity(t.Context(), w, here, user.EndIdentity{Password: pass}), http.StatusConflict)
	b.bindTo("ada@example.com", claim("4", ""))
	in, err = b.come(claim("4", ""), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ResetIdentity(t.Context(), ada.ID); err != nil {
		t.Fatal(err)
	}
	if _, p := b.Tokens.Check(in.Token); p == nil {
		t.Error("her session goes on after the reset")
	}
	b.bindTo("ada@example.com", claim("5", ""))
	b.made("bob@example.com", "acme", user.Owner)
	if _, err := b.Delete(t.Context(), ada.ID); err != nil {
		t.Fatal(err)
	}
	if n := store.Identities.Len(b.Store.View()); n != 0 {
		t.Errorf("%d identities are left of who was deleted", n)
	}
	_, err = b.come(claim("5", ""), "", "")
	refused(t, err, http.StatusUnauthorized)
}

// TestBindAfterPassword: who began to bind with a password can't go on once there is another one.
func TestBindAfterPassword(t *testing.T) {
	b := opened(t)
	b.made("ada@example.com", "acme", user.Owner)
	w, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	proof, err := b.Prove(t.Context(), w, here, pass, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.ChangePassword(t.Context(), w, here, user.ChangePassword{Old: pass, New: "another horse"}); err != nil {
		t.Fatal(err)
	}
	p := refused(t, b.Bind(t.Context(), w.User, proof, claim("1", "")), http.StatusForbidden)
	if !strings.Contains(p.Reason, "password was changed") {
		t.Error(p)
	}
	if _, err := b.Prove(t.Context(), w, here, "wrong horse", ""); err == nil {
		t.Error("a wrong password proves something")
	}
}

// TestBelievedMail: the provider's word for a mail address binds only where it counts, and never one of those who run the cluster, a
// service, or who is bound already.
func TestBelievedMail(t *testing.T) {
	b := opened(t)
	b.mailing()
	var audits []operator.Audit
	b.Guesses = &authz.Guesses{Record: func(a operator.Audit) error { audits = append(audits, a); return nil }, Now: b.Now}
	b.made("ada@example.com", "acme", user.Owner)
	b.made("root@example.com", wire.AdminAccount, user.Owner)
	b.made("both@example.com", "acme", user.Owner)
	if _, err := b.SetMember(t.Context(), authz.Who{Account: wire.AdminAccount, Name: "admin"}, wire.AdminAccount, "both@example.com",
		user.Viewer); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]idp.Claim{"not believed": claim("1", "ada@example.com"),
		"one of those who run the cluster": believed(claim("2", "root@example.com")),
		"one who also does":                believed(claim("3", "both@example.com")),
		"nobody's address":                 believed(claim("4", "new@example.com")), "no address": believed(claim("5", ""))} {
		if _, err := b.come(c, "", ""); refused(t, err, http.StatusUnauthorized) == nil {
			t.Error(name)
		}
	}
	if n := store.Identities.Len(b.Store.View()); n != 0 {
		t.Fatalf("%d are bound", n)
	}
	in, err := b.come(believed(claim("1", "ada@example.com")), "", "")
	if err != nil || in.Mail != "ada@example.com" {
		t.Fatalf("%+v %v", in, err)
	}
	if len(audits) != 1 || audits[0].What != "user.identity.bind" || audits[0].Account != "acme" {
		t.Errorf("the record is %+v", audits)
	}
	if got := b.posted("ada@example.com"); len(got) != 1 {
		t.Errorf("she is told %q", got)
	}
	_, err = b.come(believed(claim("6", "ada@example.com")), "", "") // another subject with her address does not take her place
	refused(t, err, http.StatusUnauthorized)
}

// TestFactorAndProvider: who has a second factor gives a code of it, unless the provider's sign-in counts as both; wrong ones are counted.
func TestFactorAndProvider(t *testing.T) {
	b := opened(t)
	b.made("ada@example.com", "acme", user.Owner)
	b.bindTo("ada@example.com", claim("1", ""))
	w, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	begun, err := b.BeginFactor(t.Context(), w, here, user.BeginSecondFactor{Password: pass})
	if err != nil {
		t.Fatal(err)
	}
	code := func() secret.Text {
		text, err := totp.GenerateCode(begun.Secret.Reveal(), b.Now())
		if err != nil {
			t.Fatal(err)
		}
		return secret.Text(text)
	}
	codes, err := b.ConfirmFactor(t.Context(), w, here, code())
	if err != nil {
		t.Fatal(err)
	}
	b.later(time.Minute)
	_, err = b.come(claim("1", ""), "", "")
	if p := refused(t, err, http.StatusUnauthorized); p.Object != oidc.CodeNeeded {
		t.Errorf("without a code: %v", p)
	}
	if _, err := b.come(claim("1", ""), code(), ""); err != nil {
		t.Errorf("with a code: %v", err)
	}
	_, err = b.come(claim("1", ""), code(), "")
	refused(t, err, http.StatusUnauthorized) // it was used
	if _, err := b.come(claim("1", ""), codes.Codes[0], ""); err != nil {
		t.Errorf("with a recovery code: %v", err)
	}
	both := claim("1", "")
	both.Both = true
	if _, err := b.come(both, "", ""); err != nil {
		t.Errorf("where the provider sees to it: %v", err)
	}
	// One ticket is good for a few wrong codes, and all of them count as wrong passwords do.
	ticket, err := b.Ticket(t.Context(), claim("1", ""), Challenge(verifier), here)
	if err != nil {
		t.Fatal(err)
	}
	redeem := func(code secret.Text) error {
		_, err := b.Redeem(t.Context(), oidc.OidcSignIn{Ticket: ticket, Verifier: verifier, Code: code}, there, "api")
		return err
	}
	for range ticketMiss {
		refused(t, redeem("000000"), http.StatusUnauthorized)
	}
	b.later(time.Minute)
	if p := refused(t, redeem(code()), http.StatusUnauthorized); !strings.Contains(p.Reason, "was used") {
		t.Errorf("after %d wrong codes: %v", ticketMiss, p)
	}
	for range ofPlaceAndUser.most - ticketMiss {
		ticket, _ = b.Ticket(t.Context(), claim("1", ""), Challenge(verifier), here)
		refused(t, redeem("000000"), http.StatusUnauthorized)
	}
	ticket, _ = b.Ticket(t.Context(), claim("1", ""), Challenge(verifier), here)
	refused(t, redeem(code()), http.StatusTooManyRequests)
	_, err = b.SignIn(t.Context(), user.SignIn{Mail: "ada@example.com", Password: pass, Code: code()}, there, "api")
	refused(t, err, http.StatusTooManyRequests)
	b.later(ofPlaceAndUser.in)
}

// TestTicket: a ticket is good once, soon, and with its own verifier alone.
func TestTicket(t *testing.T) {
	b := opened(t)
	b.made("ada@example.com", "acme", user.Owner)
	b.bindTo("ada@example.com", claim("1", ""))
	made := func(check string) oidc.OidcSignIn {
		ticket, err := b.Ticket(t.Context(), claim("1", ""), check, here)
		if err != nil {
			t.Fatal(err)
		}
		return oidc.OidcSignIn{Ticket: ticket, Verifier: verifier}
	}
	redeem := func(s oidc.OidcSignIn) error { _, err := b.Redeem(t.Context(), s, here, "api"); return err }
	good := made(Challenge(verifier))
	if err := redeem(good); err != nil {
		t.Fatal(err)
	}
	refused(t, redeem(good), http.StatusUnauthorized)
	stolen := made(Challenge(verifier))
	refused(t, redeem(oidc.OidcSignIn{Ticket: stolen.Ticket, Verifier: "another"}), http.StatusUnauthorized)
	refused(t, redeem(stolen), http.StatusUnauthorized) // it was burnt
	refused(t, redeem(oidc.OidcSignIn{Ticket: "x", Verifier: verifier}), http.StatusUnauthorized)
	refused(t, redeem(oidc.OidcSignIn{}), http.StatusUnauthorized)
	none := made("")
	none.Verifier = ""
	refused(t, redeem(none), http.StatusUnauthorized)
	late := made(Challenge(verifier))
	b.later(ticketFor)
	refused(t, redeem(late), http.StatusUnauthorized)
	ended := made(Challenge(verifier))
	if err := b.ResetIdentity(t.Context(), "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	refused(t, redeem(ended), http.StatusUnauthorized)
	b.bindTo("ada@example.com", claim("1", ""))
	one := made(Challenge(verifier))
	var wg sync.WaitGroup
	var mu sync.Mutex
	in := 0
	for range 8 {
		wg.Go(func() {
			if _, err := b.Redeem(context.WithoutCancel(t.Context()), one, here, "api"); err == nil {
				mu.Lock()
				defer mu.Unlock()
				in++
			}
		})
	}
	wg.Wait()
	if in != 1 {
		t.Errorf("%d sessions of one ticket", in)
	}
	for i := range ticketsMax + 10 {
		b.tickets.put(fmt.Sprint(i), &ticket{until: b.Now().Add(ticketFor)}, b.Now())
	}
	if n := len(b.tickets.by); n > ticketsMax {
		t.Errorf("%d tickets are kept", n)
	}
}

// TestBindOnce: of many who bind one subject, or one user, at the same moment, one does.
func TestBindOnce(t *testing.T) {
	b := opened(t)
	for i := range 4 {
		b.made(fmt.Sprintf("u%d@example.com", i), "acme", user.Owner)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			u, _ := b.Get(wire.AdminAccount, fmt.Sprintf("u%d@example.com", i))
			b.Store.Update(context.WithoutCancel(t.Context()), func(tx *store.Tx) error {
				rec, _ := store.Users.Read(tx, store.UserKey(u.Mail))
				if p := b.bind(tx, &rec, claim("1", "")); p != nil {
					return p
				}
				store.Users.Put(tx, store.UserKey(u.Mail), rec)
				return nil
			})
		})
		wg.Go(func() {
			b.Ticket(context.WithoutCancel(t.Context()), believed(claim(fmt.Sprint("x", i), "u0@example.com")), Challenge(verifier), here)
		})
	}
	wg.Wait()
	of := map[string]int{}
	for _, i := range store.Identities.Refs(b.Store.View()) {
		of[i.User]++
	}
	for id, n := range of {
		if n != 1 {
			t.Errorf("user %s has %d identities", id, n)
		}
	}
}

// TestLinkByProvider: who was sent a link comes in without a password; whoever they are at the provider, the link decides whose user it is.
func TestLinkByProvider(t *testing.T) {
	b := opened(t)
	b.mailing()
	b.MakeAccount = func(tx *store.Tx, n account.NewAccount, _ string) error {
		store.Accounts.Put(tx, string(n.Name), store.Account{Name: n.Name, State: account.Active})
		return nil
	}
	b.made("ada@example.com", "acme", user.Owner)
	invite := func(mail string, of wire.Account) (text secret.Text) {
		t.Helper()
		b.put(func(tx *store.Tx) {
			_, text = b.link(tx, store.Link{Kind: user.LinkInvite, Mail: mail, Account: of, Role: user.Developer, By: "admin"})
		})
		return text
	}
	by := func(c idp.Claim, a Answer) Answer { a.By = &c; return a }
	// Somebody new: no password, and they sign in by the provider.
	if err := b.use(invite("new@example.com", "acme"), by(claim("7", "else@sso.example"), Answer{Name: "New"})); err != nil {
		t.Fatal(err)
	}
	in, err := b.come(claim("7", ""), "", "")
	if err != nil || in.Mail != "new@example.com" || in.Role != user.Developer {
		t.Fatalf("%+v %v", in, err)
	}
	_, err = b.SignIn(t.Context(), user.SignIn{Mail: "new@example.com", Password: ""}, here, "api")
	refused(t, err, http.StatusUnauthorized)
	_, err = b.SignIn(t.Context(), user.SignIn{Mail: "new@example.com", Password: pass}, here, "api")
	refused(t, err, http.StatusUnauthorized)
	w, _ := b.Tokens.Check(in.Token)
	if p := refused(t, b.EndIdentity(t.Context(), w, here, user.EndIdentity{Password: ""}), http.StatusConflict); !strings.Contains(p.Next,
		"forgot") {
		t.Errorf("who has no password is told %v", p)
	}
	// Into another account: only as themselves.
	text := invite("new@example.com", "shop")
	refused(t, b.use(text, by(claim("8", "new@example.com"), Answer{})), http.StatusUnauthorized)
	refused(t, b.use(text, Answer{}), http.StatusUnauthorized)
	if err := b.use(text, by(claim("7", ""), Answer{})); err != nil {
		t.Fatal(err)
	}
	if u, _ := b.Get(wire.AdminAccount, "new@example.com"); len(u.Members) != 2 {
		t.Errorf("they are in %+v", u.Members)
	}
	// A subject that is another user's makes nobody, and leaves the link.
	text = invite("more@example.com", "acme")
	refused(t, b.use(text, by(claim("7", ""), Answer{})), http.StatusConflict)
	if _, _, err := b.Link(t.Context(), text, here); err != nil {
		t.Errorf("the link was used up: %v", err)
	}
	if err := b.use(text, by(claim("9", ""), Answer{})); err != nil {
		t.Error(err)
	}
	// Sign-up by its link, and a new password never by the provider.
	b.put(func(tx *store.Tx) { store.Groups.Put(tx, "default", store.AccountGroup{Name: "default", SignUp: true}) })
	var signUp, reset secret.Text
	b.put(func(tx *store.Tx) {
		_, signUp = b.link(tx, store.Link{Kind: user.LinkSignUp, Mail: "cy@example.com", Group: "default", Account: wire.AdminAccount})
		u, _ := store.Users.Get(tx.View(), store.UserKey("ada@example.com"))
		_, reset = b.resetLink(tx, u, "", nil)
	})
	if err := b.use(signUp, by(claim("10", ""), Answer{})); operator.AsProblem(err).Status != http.StatusUnprocessableEntity {
		t.Errorf("without the account's name: %v", err)
	}
	if err := b.use(signUp, by(claim("10", ""), Answer{Account: "cys"})); err != nil {
		t.Fatal(err)
	}
	if in, err := b.come(claim("10", ""), "", ""); err != nil || in.Account != "cys" || in.Role != user.Owner {
		t.Errorf("%+v %v", in, err)
	}
	refused(t, b.use(reset, by(claim("11", ""), Answer{})), http.StatusUnprocessableEntity)
	var p *operator.Problem
	if _, err := b.come(claim("11", ""), "", ""); !errors.As(err, &p) {
		t.Error("a link for a new password bound somebody")
	}
}
