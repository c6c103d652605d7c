package users

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// acts has somebody act as a user.
func (b *bench) acts(w authz.Who, who string, in user.SignInAs) (authz.Who, secret.Text) {
	b.t.Helper()
	got, err := b.SignInAs(b.t.Context(), w, who, in)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.holder(got.Token), got.Token
}

// over says that nobody acts by a token any more.
func (b *bench) over(how string, text secret.Text, why string) {
	b.t.Helper()
	if _, p := b.Tokens.Check(text); p == nil || p.Status != http.StatusUnauthorized || !strings.Contains(p.Reason, why) {
		b.t.Errorf("%s: got %v, want 401 and %q", how, p, why)
	}
}

// acted is a bench on which those who run the cluster act as ada, an owner of acme.
func acted(t *testing.T) (b *bench, admin authz.Who) {
	b = opened(t)
	admin = b.setup()
	b.made("ada@example.com", "acme", user.Owner)
	b.made("amy@example.com", "acme", user.Owner)
	return b, admin
}

// TestActingHour: it is over after an hour, to the second, however often it is used, or after the minutes that were asked for; what is
// held open by it ends, and nothing of it is left.
func TestActingHour(t *testing.T) {
	b, admin := acted(t)
	who, text := b.acts(admin, "ada@example.com", user.SignInAs{Reason: "ticket 4711"})
	_, short := b.acts(admin, "ada@example.com", user.SignInAs{Reason: "ticket 4712", Minutes: 5})
	ctx, end := b.Tokens.While(t.Context(), who)
	defer end()
	b.later(5*time.Minute - time.Second)
	b.holder(short)
	b.later(time.Second)
	b.over("five minutes", short, "the time to act as the user is over")
	b.later(55*time.Minute - time.Second)
	if now := b.holder(text); now.Acting == nil || !now.Expires.Equal(b.now.Add(time.Second)) {
		t.Errorf("a second before its end it is %+v", now)
	}
	if len(b.Sessions(who)) != 1 || ctx.Err() != nil {
		t.Error("it has ended before its time")
	}
	b.later(time.Second)
	b.over("an hour", text, "the time to act as the user is over")
	if got := b.Sessions(who); len(got) != 0 {
		t.Errorf("the user sees %+v", got)
	}
	if err := b.Tokens.KeepUses(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := store.Actings.Len(b.Store.View()); n != 0 {
		t.Errorf("%d are kept", n)
	}
	<-ctx.Done() // the change of the store has it looked at
	if p, ok := context.Cause(ctx).(*operator.Problem); !ok || p.Status != http.StatusUnauthorized {
		t.Errorf("what was held open ended with %v", context.Cause(ctx))
	}
}

// TestActingDoesNoMore: who acts does what the user may in that account now, and of an owner's rights a developer's; nothing that lasts
// is made, whatever scopes they came to have.
func TestActingDoesNoMore(t *testing.T) {
	b, admin := acted(t)
	b.made("eve@example.com", "shop", user.Owner)
	b.made("vic@example.com", "shop", user.Viewer)
	if _, err := b.SetMember(t.Context(), admin, "acme", "vic@example.com", user.Owner); err != nil {
		t.Fatal(err)
	}
	may := func(w authz.Who) (out string) {
		for _, s := range []authz.Scope{authz.Read, authz.Write, authz.Exec, authz.Patch, authz.Platform, authz.Metrics, authz.Admin} {
			if w.Require(s, "x") == nil {
				out += string(s) + " "
			}
		}
		return out
	}
	who, _ := b.acts(admin, "ada@example.com", user.SignInAs{Reason: "x"})
	if got := may(who); got != "read write exec " {
		t.Errorf("as an owner they may %s", got)
	}
	vic, text := b.acts(admin, "vic@example.com", user.SignInAs{Reason: "x"})
	if got := may(vic); vic.Account != "shop" || got != "read " {
		t.Errorf("as a viewer of shop, an owner of acme, they may %s in %s", got, vic.Account)
	}
	if _, err := b.SetMember(t.Context(), admin, "shop", "vic@example.com", user.Developer); err != nil {
		t.Fatal(err)
	}
	if got := may(b.holder(text)); got != "read write exec " {
		t.Errorf("as who is a developer now they may %s", got)
	}
	who.Scopes = []string{string(authz.Admin)}
	for what, try := range map[string]func() error{
		"a token": func() error {
			_, err := b.Tokens.Create(t.Context(), who, "acme", operator.NewToken{Name: "x", Scopes: []string{"read"}})
			return err
		},
		"an invite": func() error {
			_, err := b.Invite(t.Context(), who, user.NewInvite{Mail: "new@example.com", Role: user.Owner})
			return err
		},
		"a service": func() error {
			_, err := b.AddService(t.Context(), who, user.NewService{Name: "x", Role: user.Owner})
			return err
		},
		"a new password": func() error { _, err := b.Reset(t.Context(), who, "amy@example.com"); return err },
		"another acting": func() error {
			w := who
			w.Account = wire.AdminAccount
			_, err := b.SignInAs(t.Context(), w, "eve@example.com", user.SignInAs{Reason: "x"})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) { refused(t, try(), http.StatusForbidden) })
	}
	for range maxActing - 1 {
		b.acts(admin, "ada@example.com", user.SignInAs{Reason: "x"})
	}
	_, err := b.SignInAs(t.Context(), admin, "ada@example.com", user.SignInAs{Reason: "x"})
	refused(t, err, http.StatusInsufficientStorage)
	b.later(user.ActingFor)
	b.acts(admin, "ada@example.com", user.SignInAs{Reason: "x"})
}

// TestActingEnds: with what it began with, with the user's place in the account, and by the user; what ended does not come back.
func TestActingEnds(t *testing.T) {
	b, admin := acted(t)
	ctx := t.Context()
	act := func(w authz.Who) secret.Text {
		_, text := b.acts(w, "ada@example.com", user.SignInAs{Reason: "x"})
		return text
	}
	b.made("root@example.com", wire.AdminAccount, user.Owner)
	b.made("other@example.com", wire.AdminAccount, user.Owner)
	root, _ := b.in(user.SignIn{Mail: "root@example.com", Password: pass}, here)

	text := act(root)
	if err := b.EndSession(ctx, root, "current"); err != nil {
		t.Fatal(err)
	}
	b.over("who acts signed out", text, "what they began it with has ended")

	root, _ = b.in(user.SignIn{Mail: "root@example.com", Password: pass}, here)
	text = act(root)
	if _, err := b.SetMember(ctx, admin, wire.AdminAccount, "root@example.com", user.Viewer); err != nil {
		t.Fatal(err)
	}
	b.over("who acts is a viewer", text, "does not run the cluster any more")

	made, support := b.token(admin, wire.AdminAccount, "support", "admin")
	text = act(support)
	if err := b.Tokens.Revoke(ctx, made.ID, wire.AdminAccount); err != nil {
		t.Fatal(err)
	}
	b.over("the token was revoked", text, "what they began it with has ended")

	text = act(admin)
	if _, err := b.RemoveMember(ctx, admin, "acme", "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	b.over("the user left the account", text, "")
	if _, err := b.SetMember(ctx, admin, "acme", "ada@example.com", user.Owner); err != nil {
		t.Fatal(err)
	}
	b.over("the user came back", text, "")

	text = act(admin)
	if err := b.EndSessions(ctx, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	b.over("all of the user's sessions ended", text, "")

	text = act(admin)
	ada, _ := b.in(user.SignIn{Mail: "ada@example.com", Password: pass}, here)
	if err := b.ChangePassword(ctx, ada, here, user.ChangePassword{Old: pass, New: "battery staple"}); err != nil {
		t.Fatal(err)
	}
	b.over("the user has a new password", text, "")

	text = act(admin)
	if _, err := b.Delete(ctx, "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	b.over("the user is gone", text, "")
}

// TestActingIsTold: the owners of the account and the user have a mail, with both names and the reason; a token is called one, whatever
// its name is.
func TestActingIsTold(t *testing.T) {
	b, admin := acted(t)
	b.mailing()
	b.made("dev@example.com", "acme", user.Developer)
	b.made("bob@example.com", "acme", user.Developer)
	b.made("eve@example.com", "shop", user.Owner)
	_, support := b.token(admin, wire.AdminAccount, "root@example.com", "admin")
	who, _ := b.acts(support, "dev@example.com", user.SignInAs{Reason: "ticket 4711"})
	const by = `token "root@example.com"`
	if who.Acting.By != by || who.Acted() != "dev@example.com, acted as by "+by {
		t.Errorf("they are %q", who.Acted())
	}
	for _, to := range []string{"ada@example.com", "amy@example.com", "dev@example.com"} {
		mails := b.posted(to)
		if len(mails) != 1 {
			t.Fatalf("%d mails wait for %s", len(mails), to)
		}
		for _, word := range []string{"Support acts as dev@example.com at demo", by + ", of those who run cluster demo", "in account acme",
			"2026-11-28 13:00 UTC", "ticket 4711", "hnctl session end " + who.ID} {
			if !strings.Contains(mails[0], word) {
				t.Errorf("the mail to %s does not say %q: %s", to, word, mails[0])
			}
		}
	}
	for _, to := range []string{"bob@example.com", "eve@example.com"} {
		if mails := b.posted(to); len(mails) != 0 {
			t.Errorf("%s is told: %q", to, mails)
		}
	}
}
