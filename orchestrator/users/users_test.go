package users

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/secret/password"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

const (
	here  = "192.0.2.1:1000"
	there = "198.51.100.1:1000"
	pass  = secret.Text("correct horse")
)

// bench is a desk, and its clock.
type bench struct {
	*Desk
	t   *testing.T
	mu  sync.Mutex
	now time.Time
}

func opened(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }
	b.Desk = New(&Desk{Store: s, Tokens: &authz.Tokens{Store: s, Now: clock}, Cluster: "demo", Key: make([]byte, 32), Now: clock})
	if _, err := s.Update(t.Context(), func(tx *store.Tx) error {
		for _, name := range []wire.Account{"acme", "shop"} {
			store.Accounts.Put(tx, string(name), store.Account{Name: name, State: account.Active})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) later(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

func (b *bench) made(mail string, of wire.Account, role user.Role) user.User {
	b.t.Helper()
	u, err := b.Create(b.t.Context(), user.NewUser{Mail: mail, Password: pass, Account: of, Role: role}, "admin")
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

func (b *bench) in(s user.SignIn, from string) (authz.Who, secret.Text) {
	b.t.Helper()
	got, err := b.SignIn(b.t.Context(), s, from, "api")
	if err != nil {
		b.t.Fatal(err)
	}
	who, p := b.Tokens.Check(got.Token)
	if p != nil {
		b.t.Fatal(p)
	}
	return who, got.Token
}

func refused(t *testing.T, err error, status int) *operator.Problem {
	t.Helper()
	var p *operator.Problem
	if !errors.As(err, &p) || p.Status != status {
		t.Fatalf("got %v, want status %d", err, status)
	}
	return p
}

func TestSignIn(t *testing.T) {
	b := opened(t)
	b.made("Ada@example.com", "acme", user.Developer)
	who, text := b.in(user.SignIn{Mail: "aDa@example.com", Password: pass}, here)
	if who.Account != "acme" || who.Name != "ada@example.com" || who.Require(authz.Write, "x") != nil ||
		who.Require(authz.Admin, "x") == nil {
		t.Errorf("signed in as %+v", who)
	}
	// What is wrong is answered the same, whatever it is.
	var first *operator.Problem
	for _, s := range []user.SignIn{{Mail: "ada@example.com", Password: "wrong horse"}, {Mail: "bob@example.com", Password: pass},
		{Mail: "", Password: ""}, {Mail: "bob@example.com", Password: "Zone of the users has this one.."}} {
		_, err := b.SignIn(t.Context(), s, here, "api")
		p := refused(t, err, http.StatusUnauthorized)
		if first == nil {
			first = p
		}
		if !reflect.DeepEqual(p, first) {
			t.Errorf("%s: %v, another answer than %v", s.Mail, p, first)
		}
	}
	// A role counts at once, and so does its end.
	w := authz.Who{Account: wire.AdminAccount, Name: "admin"}
	if _, err := b.SetMember(t.Context(), w, "acme", "ada@example.com", user.Viewer); err != nil {
		t.Fatal(err)
	}
	if who, _ = b.Tokens.Check(text); who.Require(authz.Write, "x") == nil || who.Require(authz.Read, "x") != nil {
		t.Errorf("a viewer is %+v", who)
	}
	if _, err := b.RemoveMember(t.Context(), w, "acme", who.User); err != nil {
		t.Fatal(err)
	}
	if _, p := b.Tokens.Check(text); p == nil {
		t.Error("a session goes on in an account that its user was taken out of")
	}
	_, err := b.SignIn(t.Context(), user.SignIn{Mail: "ada@example.com", Password: pass}, here, "api")
	refused(t, err, http.StatusForbidden)
}

func TestSessionsEnd(t *testing.T) {
	b := opened(t)
	b.made("ada@example.com", "acme", user.Owner)
	s := user.SignIn{Mail: "ada@example.com", Password: pass}
	_, idle := b.in(s, here)
	who, used := b.in(s, here)
	for range 3 {
		b.later(7 * time.Hour)
		if _, p := b.Tokens.Check(used); p != nil {
			t.Fatalf("while it is used: %v", p)
		}
		if err := b.Tokens.KeepUses(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Tokens = &authz.Tokens{Store: b.Store, Now: b.Now} // an orchestrator that began anew knows what was kept
	}
	if _, p := b.Tokens.Check(idle); p == nil {
		t.Error("a session goes on that was not used for 8 hours")
	}
	if n := len(b.Sessions(who)); n != 1 {
		t.Errorf("%d sessions are open, want 1", n)
	}
	b.later(3*time.Hour + time.Minute)
	if _, p := b.Tokens.Check(used); p == nil {
		t.Error("a session goes on after 24 hours")
	}
	if err := b.Tokens.KeepUses(t.Context()); err != nil || store.Sessions.Len(b.Store.View()) != 0 {
		t.Errorf("%d sessions are kept, %v", store.Sessions.Len(b.Store.View()), err)
	}
	// A new password ends all of them; a wrong one nothing.
	who, one := b.in(s, here)
	_, two := b.in(s, there)
	err := b.ChangePassword(t.Context(), who, here, user.ChangePassword{Old: "wrong horse", New: "battery staple"})
	refused(t, err, http.StatusForbidden)
	if err := b.ChangePassword(t.Context(), who, here, user.ChangePassword{Old: pass, New: "battery staple"}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []secret.Text{one, two} {
		if _, p := b.Tokens.Check(text); p == nil {
			t.Error("a session outlived the password")
		}
	}
	_, err = b.SignIn(t.Context(), s, here, "api")
	refused(t, err, http.StatusUnauthorized)
	s.Password = "battery staple"
	for range maxSessions + 3 {
		who, _ = b.in(s, here)
	}
	if n := len(b.Sessions(who)); n != maxSessions {
		t.Errorf("%d sessions, want %d", n, maxSessions)
	}
}

func TestSecondFactor(t *testing.T) {
	b := opened(t)
	b.made("ada@example.com", "acme", user.Owner)
	s := user.SignIn{Mail: "ada@example.com", Password: pass}
	who, _ := b.in(s, here)
	_, err := b.BeginFactor(t.Context(), who, here, user.BeginSecondFactor{Password: "wrong horse"})
	refused(t, err, http.StatusForbidden)
	begun, err := b.BeginFactor(t.Context(), who, here, user.BeginSecondFactor{Password: pass})
	if err != nil || !strings.Contains(begun.URI.Reveal(), "otpauth://totp/Hardnode%20demo:ada@example.com") {
		t.Fatal(begun.URI.Reveal(), err)
	}
	rec, _ := find(b.Store.View(), who.User)
	if strings.Contains(string(rec.Pending.Secret), begun.Secret.Reveal()) {
		t.Error("the secret is stored as it is")
	}
	if _, err := b.open("u-another", rec.Pending.Secret); err == nil {
		t.Error("a secret can stand in another's place")
	}
	code := func() secret.Text {
		text, err := totp.GenerateCode(begun.Secret.Reveal(), b.Now())
		if err != nil {
			t.Fatal(err)
		}
		return secret.Text(text)
	}
	_, err = b.ConfirmFactor(t.Context(), who, here, "000000")
	refused(t, err, http.StatusUnprocessableEntity)
	codes, err := b.ConfirmFactor(t.Context(), who, here, code())
	if err != nil || len(codes.Codes) != recoveries {
		t.Fatal(codes, err)
	}
	s.Code = code() // it confirmed the factor: it was used
	_, err = b.SignIn(t.Context(), s, here, "api")
	refused(t, err, http.StatusUnauthorized)
	b.later(time.Minute)
	// Of many that send one code at the same moment, one is let in.
	for _, c := range []secret.Text{code(), codes.Codes[0]} {
		s.Code = c
		var wg sync.WaitGroup
		var mu sync.Mutex
		ok := 0
		for range 6 {
			wg.Go(func() {
				if _, err := b.SignIn(t.Context(), s, here, "api"); err == nil {
					mu.Lock()
					defer mu.Unlock()
					ok++
				}
			})
		}
		wg.Wait()
		if ok != 1 {
			t.Errorf("one code let in %d", ok)
		}
	}
	b.later(time.Hour)
	// A wrong password uses no code up.
	_, err = b.SignIn(t.Context(), user.SignIn{Mail: s.Mail, Password: "wrong horse", Code: codes.Codes[1]}, here, "api")
	refused(t, err, http.StatusUnauthorized)
	s.Code = secret.Text(strings.ToUpper(codes.Codes[1].Reveal()))
	who, _ = b.in(s, here)
	if u, _ := b.Self(who); u.Recovery != recoveries-2 {
		t.Errorf("%d recovery codes are left", u.Recovery)
	}
	renewed, err := b.RenewRecovery(t.Context(), who, here, user.RenewRecovery{Password: pass, Code: codes.Codes[3]})
	if err != nil || len(renewed.Codes) != recoveries {
		t.Fatal(renewed, err)
	}
	err = b.EndFactor(t.Context(), who, here, user.EndSecondFactor{Password: pass, Code: codes.Codes[2]}) // an old one
	refused(t, err, http.StatusForbidden)
	if err := b.EndFactor(t.Context(), who, here, user.EndSecondFactor{Password: pass, Code: renewed.Codes[2]}); err != nil {
		t.Fatal(err)
	}
	s.Code = ""
	b.in(s, here)
}

// TestGuessing: guesses end soon, and lock nobody out of where they signed in before.
func TestGuessing(t *testing.T) {
	b := opened(t)
	b.made("ada@example.com", "acme", user.Owner)
	s := user.SignIn{Mail: "ada@example.com", Password: pass}
	b.in(s, here)
	right := make([]func(), 0)
	key := store.UserKey(s.Mail)
	for i := range ofUser.most { // from a hundred places
		undo, p := b.tries.begin(b.Now(), key, wire.CTID(i+1).String(), false)
		if p != nil {
			t.Fatal(p)
		}
		right = append(right, undo)
	}
	_, err := b.SignIn(t.Context(), s, there, "api")
	if p := refused(t, err, http.StatusTooManyRequests); p.After <= 0 || p.RetryAfter() == "" {
		t.Errorf("it says nothing of when: %+v", p)
	}
	b.in(s, here)
	right[0]()
	b.in(s, there)
	for range ofPlaceAndUser.most {
		_, err = b.SignIn(t.Context(), user.SignIn{Mail: s.Mail, Password: "wrong horse"}, here, "api")
		refused(t, err, http.StatusUnauthorized)
	}
	for _, mail := range []string{s.Mail} {
		_, err = b.SignIn(t.Context(), user.SignIn{Mail: mail, Password: pass}, here, "api")
		refused(t, err, http.StatusTooManyRequests)
	}
	b.later(ofPlaceAndUser.in)
	b.in(s, here)
	for i := range triesMax + 10 {
		b.tries.begin(b.Now(), wire.CTID(i+1).String(), wire.CTID(i+1).String(), true)
	}
	if n := len(b.tries.mu.by); n > triesMax+4 {
		t.Errorf("%d are remembered", n)
	}
}

// TestOwnersAreTold: an account's record tells of sign-ins of its users that did not work, once a minute, and of nobody else's.
func TestOwnersAreTold(t *testing.T) {
	b := opened(t)
	var records []operator.Audit
	b.Guesses = &authz.Guesses{Now: b.Now, Record: func(a operator.Audit) error { records = append(records, a); return nil }}
	b.made("ada@example.com", "acme", user.Owner)
	b.tellOwners()
	for _, mail := range []string{"ada@example.com", "bob@example.com", "ada@example.com"} {
		_, err := b.SignIn(t.Context(), user.SignIn{Mail: mail, Password: "wrong horse"}, there, "api")
		refused(t, err, http.StatusUnauthorized)
	}
	of := func(name wire.Account) (out []operator.Audit) {
		for _, r := range records {
			if r.Account == name {
				out = append(out, r)
			}
		}
		return out
	}
	if len(of("acme")) != 0 {
		t.Errorf("it is recorded while the guess waits for its answer: %+v", records)
	}
	b.tellOwners()
	b.tellOwners()
	got := of("acme")
	if len(got) != 1 || got[0].Object != "users/ada@example.com" || got[0].From != there || !strings.Contains(got[0].Result, "2 times") {
		t.Errorf("the account's record has %+v", got)
	}
	if n := len(records) - len(of(wire.AdminAccount)); n != 1 {
		t.Errorf("others are told too: %+v", records)
	}
}

func TestOwners(t *testing.T) {
	b := opened(t)
	b.made("ada@example.com", "acme", user.Owner)
	b.made("bob@example.com", "shop", user.Owner)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	// What is another account's is not there.
	_, err := b.Get(ada.Account, "bob@example.com")
	p := refused(t, err, http.StatusNotFound)
	_, none := b.Get(ada.Account, "nobody@example.com")
	if strings.ReplaceAll(none.Error(), "nobody", "bob") != p.Error() {
		t.Errorf("%v, of nobody %v", p, none)
	}
	for _, of := range []wire.Account{"acme", "shop", "admin"} {
		_, err = b.SetMember(t.Context(), ada, of, "bob@example.com", user.Viewer)
		refused(t, err, http.StatusNotFound)
		_, err = b.RemoveMember(t.Context(), ada, of, "bob@example.com")
		refused(t, err, http.StatusNotFound)
	}
	if _, err = b.SetMember(t.Context(), ada, "admin", "ada@example.com", user.Owner); err == nil {
		t.Error("an owner of an account became one of the cluster")
	}
	if list := b.List(ada.Account); len(list) != 1 || list[0].Mail != "ada@example.com" {
		t.Errorf("it sees %+v", list)
	}
	_, err = b.SetMember(t.Context(), ada, "acme", "ada@example.com", user.Viewer)
	refused(t, err, http.StatusConflict)
	_, err = b.RemoveMember(t.Context(), ada, "acme", ada.User)
	refused(t, err, http.StatusConflict)
	_, err = b.Create(t.Context(), user.NewUser{Mail: "ADA@example.com", Password: pass, Account: "shop", Role: user.Owner}, "admin")
	refused(t, err, http.StatusConflict)
	_, err = b.Create(t.Context(), user.NewUser{Mail: "eve@example.com", Password: pass, Account: "nosuch", Role: user.Owner}, "admin")
	refused(t, err, http.StatusNotFound)
	b.made("kim@example.com", "acme", user.Owner)
	if _, err := b.Delete(t.Context(), ada.User); err != nil || store.Sessions.Len(b.Store.View()) != 0 {
		t.Errorf("%d sessions are left, %v", store.Sessions.Len(b.Store.View()), err)
	}
}

// TestLastOwner: nobody, those who run the cluster neither, leaves an account without an owner, unless it is being closed.
func TestLastOwner(t *testing.T) {
	b := opened(t)
	admin := authz.Who{Account: wire.AdminAccount, Name: "admin"}
	ada := b.made("ada@example.com", "acme", user.Owner)
	b.made("dev@example.com", "acme", user.Developer)
	b.made("root@example.com", wire.AdminAccount, user.Owner)
	if _, err := b.SetMember(t.Context(), admin, "shop", "ada@example.com", user.Owner); err != nil {
		t.Fatal(err)
	}
	self, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	set := func(w authz.Who, of wire.Account, who string, r user.Role) error {
		_, err := b.SetMember(t.Context(), w, of, who, r)
		return err
	}
	remove := func(w authz.Who, of wire.Account, who string) error {
		_, err := b.RemoveMember(t.Context(), w, of, who)
		return err
	}
	del := func(who string) error { _, err := b.Delete(t.Context(), who); return err }
	left := func(what string, err error, of wire.Account) {
		t.Helper()
		p := refused(t, err, http.StatusConflict)
		if want := "it is the last owner of account " + string(of); p.Reason != want ||
			!strings.Contains(p.Next, "hnctl user role USER owner --account "+string(of)) ||
			strings.Contains(p.Next, "hnctl account close") != (of != wire.AdminAccount) {
			t.Errorf("%s: %+v, want %q and what to do", what, p, want)
		}
	}
	left("demoted by an admin", set(admin, "acme", ada.ID, user.Developer), "acme")
	left("demoted by themselves", set(self, "acme", ada.ID, user.Viewer), "acme")
	left("removed by an admin", remove(admin, "acme", ada.ID), "acme")
	left("deleted", del("ada@example.com"), "acme")
	left("the cluster's", del("root@example.com"), wire.AdminAccount)
	left("the cluster's, demoted", set(admin, wire.AdminAccount, "root@example.com", user.Viewer), wire.AdminAccount)
	if u, err := b.Get(wire.AdminAccount, ada.ID); err != nil || len(u.Members) != 2 || u.Members[0].Role != user.Owner {
		t.Fatalf("after the refusals it is %+v, %v", u, err)
	}
	// Another owner makes room; of several accounts the one that is left without is named.
	if err := set(admin, "acme", "dev@example.com", user.Owner); err != nil {
		t.Fatal(err)
	}
	if err := set(self, "acme", ada.ID, user.Viewer); err != nil {
		t.Error(err)
	}
	left("deleted, with a second account", del(ada.ID), "shop")
	// An account that is being closed goes with its people.
	if _, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
		a, _ := store.Accounts.Read(tx, "shop")
		a.State = account.Closing
		store.Accounts.Put(tx, "shop", a)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := del(ada.ID); err != nil {
		t.Error(err)
	}
	// Of two owners who are taken out at once one stays.
	b.made("one@example.com", "acme", user.Owner)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, who := range []string{"one@example.com", "dev@example.com"} {
		wg.Go(func() { errs[i] = remove(admin, "acme", who) })
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("of two owners at once: %v, %v", errs[0], errs[1])
	}
}

// TestHashesAtOnce: whatever comes, no more than two passwords are hashed at the same moment.
func TestHashesAtOnce(t *testing.T) {
	b := opened(t)
	var mu sync.Mutex
	at, most := 0, 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			b.hashing(t.Context(), func() {
				mu.Lock()
				at++
				most = max(most, at)
				mu.Unlock()
				password.Is(unknownUser, "x")
				mu.Lock()
				at--
				mu.Unlock()
			})
		})
	}
	wg.Wait()
	if most > hashesAtOnce {
		t.Errorf("%d at once", most)
	}
	if _, err := password.Is(unknownUser, "x"); err != nil {
		t.Errorf("the password of nobody can't be compared with: %v", err)
	}
}
