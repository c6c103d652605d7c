package users

import (
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
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/store"
)

const panelAt = "https://paas.example.com"

// mailing gives the bench a mail server that nobody asks.
func (b *bench) mailing() {
	b.t.Helper()
	b.Mail = &mail.Desk{Store: b.Store, Keys: certs.Sealer(make([]byte, 32)), Cluster: "demo", Now: b.Now}
	b.put(func(tx *store.Tx) {
		store.MailServers.Put(tx, store.Only, store.MailServer{Host: "mail.example.com", Port: 587, From: "paas@example.com",
			Panel: panelAt})
	})
}

func (b *bench) put(f func(*store.Tx)) {
	b.t.Helper()
	if _, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

// posted is what waits to be sent to somebody, subject and text; it is sent.
func (b *bench) posted(to string) (out []string) {
	b.t.Helper()
	b.put(func(tx *store.Tx) {
		out = nil
		for id, m := range store.Outbox.Refs(tx.View()) {
			if m.To != to {
				continue
			}
			text, err := b.Mail.(*mail.Desk).Keys.Open(m.ID, m.Text)
			if err != nil {
				b.t.Fatal(err)
			}
			out = append(out, m.Subject+"\n"+string(text.Reveal()))
			store.Outbox.Delete(tx, id)
		}
	})
	return out
}

// sent is the secret of the link in the one mail to somebody.
func (b *bench) sent(to string) secret.Text {
	b.t.Helper()
	mails := b.posted(to)
	if len(mails) != 1 {
		b.t.Fatalf("%d mails wait for %s: %q", len(mails), to, mails)
	}
	_, after, ok := strings.Cut(mails[0], "\n\n"+panelAt+user.LinkPath)
	text, _, _ := strings.Cut(after, "\n")
	if !ok || len(text) != 64 {
		b.t.Fatalf("the mail has no link: %s", mails[0])
	}
	return secret.Text(text)
}

func chosen(text secret.Text) Answer { return Answer{Password: text, Again: text} }

func (b *bench) use(text secret.Text, a Answer) error {
	return b.UseLink(b.t.Context(), text, a, there)
}

func (b *bench) bad(text secret.Text, why string) {
	b.t.Helper()
	if _, _, err := b.Link(b.t.Context(), text, there); err == nil {
		b.t.Errorf("%s: the link is good", why)
	}
	refused(b.t, b.use(text, chosen("battery staple")), http.StatusNotFound)
}

func TestInvite(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.mailing()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("bob@example.com", "shop", user.Owner)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	bob, _ := b.in(user.SignIn{Mail: "bob@example.com", Password: pass}, here)
	invite := func(w authz.Who, n user.NewInvite) (user.MadeInvite, error) { return b.Invite(t.Context(), w, n) }
	ok := func(w authz.Who, n user.NewInvite) user.MadeInvite {
		t.Helper()
		made, err := invite(w, n)
		if err != nil || made.Link != "" || !made.Mailed {
			t.Fatal(made, err)
		}
		return made
	}
	_, err := invite(bob, user.NewInvite{Mail: "eve@example.com", Role: user.Owner, Account: "acme"})
	refused(t, err, http.StatusNotFound)
	_, err = invite(ada, user.NewInvite{Mail: "Ada@example.com", Role: user.Owner})
	refused(t, err, http.StatusConflict)
	_, err = invite(ada, user.NewInvite{Mail: "eve", Role: user.Owner})
	refused(t, err, http.StatusUnprocessableEntity)
	_, err = invite(admin, user.NewInvite{Mail: "eve@example.com", Role: user.Owner, Account: "nosuch"})
	refused(t, err, http.StatusNotFound)

	first := ok(ada, user.NewInvite{Mail: "Eve@example.com", Role: user.Viewer})
	old := b.sent("eve@example.com")
	made := ok(ada, user.NewInvite{Mail: "eve@example.com", Role: user.Developer})
	text := b.sent("eve@example.com")
	b.bad(old, "a newer one was made")
	if list := b.Invites("acme"); len(list) != 1 || list[0].ID != made.ID || list[0].ID == first.ID || list[0].Role != user.Developer ||
		list[0].By != "ada@example.com" {
		t.Errorf("invited are %+v", list)
	}
	if list := b.Invites("shop"); len(list) != 0 {
		t.Errorf("another account reads %+v", list)
	}
	refused(t, b.RevokeInvite(t.Context(), "shop", made.ID), http.StatusNotFound)
	for _, l := range store.Links.All(b.Store.View()) {
		if strings.Contains(fmt.Sprintf("%+v", l), text.Reveal()) {
			t.Error("the secret is kept as it is")
		}
	}
	for range 3 { // programs that look into mail follow links
		if l, known, err := b.Link(t.Context(), text, here); err != nil || known || l.Account != "acme" {
			t.Fatal(l, known, err)
		}
	}
	refused(t, b.use(text, Answer{Password: "battery staple", Again: "battery stable"}), http.StatusUnprocessableEntity)
	refused(t, b.use(text, chosen("short")), http.StatusUnprocessableEntity)
	if err := b.use(text, chosen("battery staple")); err != nil {
		t.Fatal(err)
	}
	b.bad(text, "it was used")
	if eve, _ := b.in(user.SignIn{Mail: "eve@example.com", Password: "battery staple"}, there); eve.Role != "developer" ||
		eve.Account != "acme" || len(b.Invites("acme")) != 0 {
		t.Errorf("she is %+v", eve)
	}

	// Who is a user already proves to be the one.
	ok(ada, user.NewInvite{Mail: "bob@example.com", Role: user.Viewer})
	text = b.sent("bob@example.com")
	if _, known, _ := b.Link(t.Context(), text, here); !known {
		t.Error("the user is not known")
	}
	refused(t, b.use(text, chosen("battery staple")), http.StatusUnauthorized)
	if x := b.failed.taken()[store.UserKey("bob@example.com")]; x == nil || x.n != 1 {
		t.Errorf("his owners are told of %+v", x)
	}
	if err := b.use(text, Answer{Password: pass}); err != nil {
		t.Fatal(err)
	}
	b.in(user.SignIn{Mail: "bob@example.com", Password: pass, Account: "acme"}, here)

	// Who is no owner any more has invited nobody.
	b.made("eva@example.com", "acme", user.Owner)
	eva, _ := b.in(user.SignIn{Mail: "eva@example.com", Password: pass}, here)
	ok(eva, user.NewInvite{Mail: "eva2@example.com", Role: user.Owner})
	text = b.sent("eva2@example.com")
	if _, err := b.SetMember(t.Context(), admin, "acme", eva.User, user.Developer); err != nil {
		t.Fatal(err)
	}
	b.bad(text, "its maker is no owner")
	if list := b.Invites("acme"); len(list) != 0 {
		t.Errorf("invited are %+v", list)
	}

	// Invites end: by a word, by time, with the account.
	gone := ok(ada, user.NewInvite{Mail: "kim@example.com", Role: user.Viewer})
	text = b.sent("kim@example.com")
	if err := b.RevokeInvite(t.Context(), "acme", gone.ID); err != nil {
		t.Fatal(err)
	}
	b.bad(text, "it was revoked")
	ok(ada, user.NewInvite{Mail: "kim@example.com", Role: user.Viewer})
	text = b.sent("kim@example.com")
	b.later(7*24*time.Hour - time.Second)
	if _, _, err := b.Link(t.Context(), text, here); err != nil {
		t.Error(err)
	}
	b.later(time.Second)
	b.bad(text, "its time is over")
	if err := b.sweepLinks(t.Context()); err != nil || store.Links.Len(b.Store.View()) != 0 || len(b.Invites("acme")) != 0 {
		t.Errorf("%d links are kept, %v", store.Links.Len(b.Store.View()), err)
	}
	// One account sends nobody many mails.
	for range ofLinkTo.most {
		ok(ada, user.NewInvite{Mail: "kim@example.com", Role: user.Viewer})
		b.posted("kim@example.com")
	}
	_, err = invite(ada, user.NewInvite{Mail: "kim@example.com", Role: user.Viewer})
	refused(t, err, http.StatusTooManyRequests)
	ok(bob, user.NewInvite{Mail: "kim@example.com", Role: user.Viewer})
	// Who is put in by a person is not invited any more.
	if _, err := b.Create(t.Context(), user.NewUser{Mail: "kim@example.com", Password: pass, Account: "acme", Role: user.Viewer},
		"admin"); err != nil {
		t.Fatal(err)
	}
	if list := b.Invites("acme"); len(list) != 0 {
		t.Errorf("invited are %+v", list)
	}
}

func TestReset(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.mailing()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("kim@example.com", "acme", user.Owner)
	b.made("bob@example.com", "shop", user.Owner)
	s := user.SignIn{Mail: "ada@example.com", Password: pass}
	ada, session := b.in(s, here)
	begun, err := b.BeginFactor(t.Context(), ada, here, user.BeginSecondFactor{Password: pass})
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
	if _, err := b.ConfirmFactor(t.Context(), ada, here, code()); err != nil {
		t.Fatal(err)
	}
	bob, _ := b.in(user.SignIn{Mail: "bob@example.com", Password: pass}, here)
	_, err = b.Reset(t.Context(), bob, "ada@example.com")
	p := refused(t, err, http.StatusNotFound)
	_, err = b.Reset(t.Context(), bob, "nobody@example.com")
	if strings.ReplaceAll(refused(t, err, http.StatusNotFound).Error(), "nobody", "ada") != p.Error() {
		t.Errorf("%v, of nobody %v", p, err)
	}
	asked := func() secret.Text {
		t.Helper()
		if r, err := b.Reset(t.Context(), admin, "ada@example.com"); err != nil || !r.Mailed || r.Link != "" {
			t.Fatal(r, err)
		}
		return b.sent("ada@example.com")
	}
	old := asked()
	text := asked()
	b.bad(old, "a newer one was made")
	b.holder(session) // nothing happened yet
	if err := b.use(text, chosen("battery staple")); err != nil {
		t.Fatal(err)
	}
	if _, p := b.Tokens.Check(session); p == nil {
		t.Error("a session outlived the password")
	}
	if mails := b.posted("ada@example.com"); len(mails) != 1 || !strings.Contains(mails[0], "was changed") ||
		!strings.Contains(mails[0], "All your sessions have ended") || strings.Contains(mails[0], "/panel/link/") {
		t.Errorf("she is told %q", mails)
	}
	b.bad(text, "it was used")
	b.later(time.Minute)
	_, err = b.SignIn(t.Context(), user.SignIn{Mail: s.Mail, Password: pass, Code: code()}, here, "api")
	refused(t, err, http.StatusUnauthorized)
	_, err = b.SignIn(t.Context(), user.SignIn{Mail: s.Mail, Password: "battery staple"}, here, "api")
	refused(t, err, http.StatusUnauthorized) // the second factor stays
	ada, _ = b.in(user.SignIn{Mail: s.Mail, Password: "battery staple", Code: code()}, here)

	// A link ends with another password, with its hour, and with its user.
	b.later(time.Hour)
	text = asked()
	if err := b.ChangePassword(t.Context(), ada, here, user.ChangePassword{Old: "battery staple", New: pass, Code: code()}); err != nil {
		t.Fatal(err)
	}
	b.bad(text, "the password was changed")
	text = asked()
	b.later(time.Hour)
	b.bad(text, "its hour is over")
	text = asked()
	if _, err := b.Delete(t.Context(), ada.User); err != nil {
		t.Fatal(err)
	}
	b.bad(text, "the user is gone")
	b.made("ada@example.com", "acme", user.Owner)
	b.bad(text, "it is another user of that address")
}

// TestLinkOnce: of many who use one link at the same moment one does.
func TestLinkOnce(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.mailing()
	if _, err := b.Invite(t.Context(), admin, user.NewInvite{Mail: "eve@example.com", Role: user.Owner, Account: "acme"}); err != nil {
		t.Fatal(err)
	}
	invited := b.sent("eve@example.com")
	b.made("ada@example.com", "acme", user.Owner)
	if _, err := b.Reset(t.Context(), admin, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []secret.Text{invited, b.sent("ada@example.com")} {
		var wg sync.WaitGroup
		var mu sync.Mutex
		ok := 0
		for i := range 6 {
			wg.Go(func() {
				if b.use(text, chosen(secret.Text(fmt.Sprintf("battery staple %d", i)))) == nil {
					mu.Lock()
					defer mu.Unlock()
					ok++
				}
			})
		}
		wg.Wait()
		if ok != 1 {
			t.Errorf("one link did for %d", ok)
		}
	}
}

// TestNoMail: where the cluster sends no mail, who asks gets the link, unless it is good for more than is theirs.
func TestNoMail(t *testing.T) {
	b := opened(t)
	admin := b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("eve@example.com", "acme", user.Developer)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	made, err := b.Invite(t.Context(), ada, user.NewInvite{Mail: "kim@example.com", Role: user.Viewer})
	if err != nil || made.Mailed || !strings.HasPrefix(made.Link.Reveal(), user.LinkPath) {
		t.Fatal(made, err)
	}
	if err := b.use(secret.Text(strings.TrimPrefix(made.Link.Reveal(), user.LinkPath)), chosen("battery staple")); err != nil {
		t.Error(err)
	}
	if r, err := b.Reset(t.Context(), ada, "eve@example.com"); err != nil || r.Link == "" {
		t.Error(r, err)
	}
	handed, err := b.Reset(t.Context(), ada, "eve@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.SetMember(t.Context(), admin, "shop", "eve@example.com", user.Owner); err != nil {
		t.Fatal(err)
	}
	b.bad(secret.Text(strings.TrimPrefix(handed.Link.Reveal(), user.LinkPath)), "it would be good for more now")
	_, err = b.Reset(t.Context(), ada, "eve@example.com")
	if p := refused(t, err, http.StatusForbidden); strings.Contains(p.Error(), "shop") {
		t.Errorf("it learns of another account: %v", p)
	}
	if r, err := b.Reset(t.Context(), admin, "eve@example.com"); err != nil || r.Link == "" {
		t.Error(r, err)
	}
	if p := b.Forgot("eve@example.com", there); p == nil {
		t.Error("a link is promised that can't be sent")
	}
}

// answered has what strangers asked for done.
func (b *bench) answered() (n int) {
	for {
		select {
		case a := <-b.asks:
			b.answer(b.t.Context(), a)
			n++
		default:
			return n
		}
	}
}

// TestForgot: who asks learns nothing, and the user gets few mails.
func TestForgot(t *testing.T) {
	b := opened(t)
	b.mailing()
	var records []operator.Audit
	b.Guesses = &authz.Guesses{Now: b.Now, Record: func(a operator.Audit) error { records = append(records, a); return nil }}
	b.made("ada@example.com", "acme", user.Owner)
	rev := b.Store.View().Revision()
	for range 2 * ofAsked.most { // more than is sent for: answered the same
		for _, to := range []string{"Ada@example.com", "bob@example.com"} {
			if p := b.Forgot(to, fmt.Sprintf("192.0.2.%d:1", len(b.asked.tries.mu.by)+2)); p != nil {
				t.Fatalf("%s: %v", to, p)
			}
		}
	}
	if b.Store.View().Revision() != rev || len(records) != 0 {
		t.Error("something is written before it is answered: that takes time")
	}
	if n := b.answered(); n != 2*ofAsked.most {
		t.Errorf("%d are looked at", n)
	}
	if n := len(b.posted("bob@example.com")); n != 0 {
		t.Errorf("nobody gets %d mails", n)
	}
	if mails := b.posted("ada@example.com"); len(mails) != ofAsked.most {
		t.Errorf("she gets %d mails", len(mails))
	}
	if store.Links.Len(b.Store.View()) != 1 || len(records) != ofAsked.most || records[0].Account != "acme" ||
		records[0].What != "user.forgot" {
		t.Errorf("%d links, the record has %+v", store.Links.Len(b.Store.View()), records)
	}
	b.later(time.Hour)
	if p := b.Forgot("ada@example.com", there); p != nil {
		t.Fatal(p)
	}
	b.answered()
	if err := b.use(b.sent("ada@example.com"), chosen("battery staple")); err != nil {
		t.Error(err)
	}
	b.in(user.SignIn{Mail: "ada@example.com", Password: "battery staple"}, here)
	for i := range ofAsker.most {
		b.Forgot(fmt.Sprintf("x%d@example.com", i), "198.51.100.9:1")
	}
	if p := b.Forgot("ada@example.com", "198.51.100.9:2"); p == nil || p.Status != http.StatusTooManyRequests {
		t.Errorf("one client asks without end: %v", p)
	}
	if p := b.Forgot("no address", there); p == nil {
		t.Error("no address is taken for one")
	}
}

// TestSignUp: where a group is open, somebody whose mail address it is makes an account; a name that is known is not theirs to take.
func TestSignUp(t *testing.T) {
	b := opened(t)
	b.setup()
	b.mailing()
	b.MakeAccount = func(tx *store.Tx, n account.NewAccount, by string) error {
		if _, there := store.Accounts.Read(tx, string(n.Name)); there {
			return operator.NewProblem(operator.Conflict, "accounts/"+string(n.Name), "there is an account of that name",
				"choose another name")
		}
		store.Accounts.Put(tx, string(n.Name), store.Account{Name: n.Name, Group: n.Group, Contact: n.Contact, State: account.Active,
			By: by})
		return nil
	}
	open := func(is bool) {
		b.put(func(tx *store.Tx) { store.Groups.Put(tx, "small", store.AccountGroup{Name: "small", SignUp: is}) })
	}
	open(false)
	for _, group := range []string{"small", "default", "nosuch"} {
		if p := b.SignUp(group, "eve@example.com", here); p == nil || p.Status != http.StatusNotFound || b.SignsUp(group) {
			t.Errorf("group %s: %v", group, p)
		}
	}
	open(true)
	b.made("ada@example.com", "acme", user.Owner)
	for _, to := range []string{"ada@example.com", "Eve@example.com"} {
		if p := b.SignUp("small", to, here); p != nil {
			t.Fatal(p)
		}
	}
	b.answered()
	if mails := b.posted("ada@example.com"); len(mails) != 1 || strings.Contains(mails[0], "/panel/link/") {
		t.Errorf("who is a user gets %q", mails)
	}
	text := b.sent("eve@example.com")
	a := chosen("battery staple")
	refused(t, b.use(text, a), http.StatusUnprocessableEntity) // no name
	a.Account = "acme"
	refused(t, b.use(text, a), http.StatusConflict)
	a.Account = "eves"
	open(false)
	refused(t, b.use(text, a), http.StatusNotFound)
	open(true)
	if err := b.use(text, a); err != nil {
		t.Fatal(err)
	}
	b.bad(text, "it was used")
	eve, _ := b.in(user.SignIn{Mail: "eve@example.com", Password: "battery staple"}, here)
	if rec, _ := store.Accounts.Get(b.Store.View(), "eves"); eve.Account != wire.Account("eves") || eve.Role != "owner" ||
		rec.Group != "small" || rec.Contact != "eve@example.com" {
		t.Errorf("she is %+v of %+v", eve, rec)
	}
}
