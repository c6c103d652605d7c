package users

import (
	"context"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// The bounds on what anybody may ask for who is not signed in: each is a mail.
var (
	ofAskers = bound{300, time.Hour} // of all
	ofAsker  = bound{10, time.Hour}  // of one client
	ofAsked  = bound{3, time.Hour}   // for one address; what is more is answered the same, and nothing is sent
)

// maxAsks is how many wait to be looked at.
const maxAsks = 64

// ask is what somebody asked for a mail address. It is looked at apart from the answer, whose time thus tells nothing.
type ask struct {
	kind        user.LinkKind
	mail, group string
	from        string
}

// asked counts what was asked for, by any key.
type asked struct{ tries tries }

// take counts one more under a key; it gives how long to wait where that is over the bound.
func (a *asked) take(now time.Time, key string, b bound) (after time.Duration) {
	a.tries.mu.Lock()
	defer a.tries.mu.Unlock()
	a.tries.forget(now)
	x := a.tries.of(key, now, b.in)
	if x.n >= b.most {
		return x.end.Sub(now)
	}
	x.n++
	return 0
}

// ask takes what a stranger asks for. What it is answered with has nothing to do with who is a user.
func (d *Desk) ask(a ask) *operator.Problem {
	if err := user.ValidateMail(a.mail); err != nil {
		return operator.NewProblem(operator.Invalid, "mail", err.Error(), "change it")
	}
	a.mail = user.Normal(a.mail)
	for _, c := range []struct {
		key string
		bound
	}{{"place " + place(a.from), ofAsker}, {"all", ofAskers}} {
		if after := d.asked.take(d.Now(), c.key, c.bound); after > 0 {
			return operator.TooMany("mail", "this was asked for too often", fmt.Sprintf("try again in %s", after.Round(time.Second)), after)
		}
	}
	if d.asked.take(d.Now(), string(a.kind)+" "+store.UserKey(a.mail), ofAsked) > 0 {
		return nil
	}
	select {
	case d.asks <- a:
		return nil
	default:
		return operator.TooMany("mail", "many ask at this moment", "try again in a moment", 10*time.Second)
	}
}

// Forgot has a link sent by which a user chooses a new password. Whether there is such a user nobody learns from it.
func (d *Desk) Forgot(mail, from string) *operator.Problem {
	if !d.mails(d.Store.View()) {
		return operator.NewProblem(operator.Unavailable, "mail", "this cluster sends no mail", "ask an owner of your account")
	}
	return d.ask(ask{kind: user.LinkReset, mail: mail, from: from})
}

// SignUp has a link sent by which somebody makes an account of a group.
func (d *Desk) SignUp(group, mail, from string) *operator.Problem {
	if !d.SignsUp(group) {
		return closed()
	}
	return d.ask(ask{kind: user.LinkSignUp, mail: mail, group: group, from: from})
}

// SignsUp tells whether people may make accounts of a group by themselves, now.
func (d *Desk) SignsUp(group string) bool {
	v := d.Store.View()
	g := store.Groups.Find(v, group)
	return g != nil && g.SignUp && d.mails(v)
}

func closed() *operator.Problem {
	return operator.NewProblem(operator.NotFound, "group", "nobody makes an account here by themselves", "ask those who run the cluster")
}

// signUpOpen is nil while people may make accounts of a group by themselves.
func (d *Desk) signUpOpen(tx *store.Tx, group string) *operator.Problem {
	if g, ok := store.Groups.Read(tx, group); !ok || !g.SignUp {
		return closed()
	}
	return nil
}

// answer does what was asked for.
func (d *Desk) answer(ctx context.Context, a ask) {
	var told *store.User
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		told = nil
		if !d.mails(tx.View()) {
			return nil
		}
		u, there := store.Users.Read(tx, store.UserKey(a.mail))
		switch {
		case a.kind == user.LinkReset && !there:
			return nil
		case a.kind == user.LinkReset:
			told = &u
			l, text := d.resetLink(tx, u, "", nil)
			_, _, err := d.deliver(tx, l, text)
			return err
		case there:
			return d.Mail.Queue(tx, d.hasOne(a.mail))
		}
		if p := d.signUpOpen(tx, a.group); p != nil {
			return nil // it was closed since
		}
		l, text := d.link(tx, store.Link{Kind: a.kind, Mail: a.mail, Group: a.group, Account: wire.AdminAccount, By: a.mail})
		_, _, err := d.deliver(tx, l, text)
		return err
	})
	if err != nil && ctx.Err() == nil {
		d.log().Warn("a mail that was asked for is not sent", "kind", string(a.kind), logging.Err, err)
	}
	if told == nil || err != nil || d.Guesses == nil {
		return
	}
	for _, m := range told.Members {
		if err := d.Guesses.Record(operator.Audit{Who: "nobody", Account: m.Name, From: a.from, What: "user.forgot",
			Object: "users/" + told.Mail, Result: "ok: a link was sent to them"}); err != nil {
			d.log().Error("a forgotten password is not on record", "user", told.ID, logging.Err, err)
		}
	}
}
