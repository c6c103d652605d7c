package users

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/secret/password"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/idp"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/store"
)

// The bounds on links that people ask for who may: an account sends nobody many mails.
var (
	ofLinkTo = bound{5, time.Hour}   // for one person, from one account
	ofLinks  = bound{100, time.Hour} // from one account
)

// linkHash is how a link's secret is known.
func linkHash(text secret.Text) string {
	sum := sha256.Sum256([]byte("link " + text.Reveal()))
	return hex.EncodeToString(sum[:])
}

// mails tells whether links go by mail.
func (d *Desk) mails(v *store.View) bool { return d.Mail != nil && mail.Ready(v) }

// link makes a link in place of the one of its kind that the person has, and gives its secret.
func (d *Desk) link(tx *store.Tx, l store.Link) (store.Link, secret.Text) {
	raw := make([]byte, 32)
	rand.Read(raw) // never fails (crypto/rand)
	id := make([]byte, 8)
	rand.Read(id)
	text := secret.Text(hex.EncodeToString(raw))
	l.ID, l.Hash, l.Created = "l-"+hex.EncodeToString(id), linkHash(text), d.now()
	l.Until = l.Created.Add(l.Kind.Life())
	store.Links.Put(tx, l.Key(), l)
	return l, text
}

// deliver has a link go by mail. Without mail it is a path, for whoever asked to hand over.
func (d *Desk) deliver(tx *store.Tx, l store.Link, text secret.Text) (mailed bool, path secret.Text, err error) {
	path = secret.Text(user.LinkPath + text.Reveal())
	if !d.mails(tx.View()) {
		return false, path, nil
	}
	return true, "", d.Mail.Queue(tx, d.letter(l, mail.Panel(tx.View())+path.Reveal()))
}

// paced is nil when an account may have another link made for a person.
func (d *Desk) paced(of wire.Account, to string) *operator.Problem {
	for _, c := range []struct {
		key string
		bound
	}{{"link " + string(of) + " " + store.UserKey(to), ofLinkTo}, {"links " + string(of), ofLinks}} {
		if after := d.made.take(d.Now(), c.key, c.bound); after > 0 {
			return operator.TooMany("users/"+user.Normal(to), "too many links were made", "try again in "+after.Round(time.Second).String(),
				after)
		}
	}
	return nil
}

// Invite invites a person into an account that the caller sees. Whether there is a user of that address is not told.
func (d *Desk) Invite(ctx context.Context, w authz.Who, n user.NewInvite) (out user.MadeInvite, err error) {
	of := cmp.Or(n.Account, w.Account).Owner()
	for _, c := range []struct {
		field string
		err   error
	}{{"mail", user.ValidateMail(n.Mail)}, {"role", n.Role.Validate()}} {
		if c.err != nil {
			return out, operator.NewProblem(operator.Invalid, c.field, c.err.Error(), "change it")
		}
	}
	if !w.Account.Sees(of) {
		return out, operator.NewProblem(operator.NotFound, "accounts/"+string(of), "there is no such account", "see hnctl account list")
	}
	if p := d.paced(of, n.Mail); p != nil {
		return out, p
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		if p := d.accountThere(tx, of); p != nil {
			return p
		}
		if u, ok := store.Users.Read(tx, store.UserKey(n.Mail)); ok && u.Role(of) != "" {
			return operator.NewProblem(operator.Conflict, "users/"+u.Mail, "the user is in account "+string(of)+" already",
				"give another role: hnctl user role "+u.Mail+" ROLE --account "+string(of))
		}
		maker, p := authz.MakerOf(tx, w)
		if p != nil {
			return p
		}
		l, text := d.link(tx, store.Link{Kind: user.LinkInvite, Mail: user.Normal(n.Mail), Account: of, Role: n.Role, By: w.Name,
			Maker: maker})
		out.Invite = shownInvite(l)
		out.Mailed, out.Link, err = d.deliver(tx, l, text)
		return err
	})
	return out, err
}

func shownInvite(l store.Link) user.Invite {
	return user.Invite{ID: l.ID, Mail: l.Mail, Account: l.Account, Role: l.Role, Created: l.Created, By: l.By, Until: l.Until}
}

// Invites are those that nobody has accepted yet, into accounts that a caller's sees, by mail address.
func (d *Desk) Invites(caller wire.Account) []user.Invite {
	out, v := []user.Invite{}, d.Store.View()
	for _, l := range store.Links.Refs(v) {
		if l.Kind == user.LinkInvite && caller.Sees(l.Account) && d.good(v, *l) {
			out = append(out, shownInvite(*l))
		}
	}
	slices.SortFunc(out, func(a, b user.Invite) int { return strings.Compare(a.Mail+" "+a.ID, b.Mail+" "+b.ID) })
	return out
}

// RevokeInvite ends an invite into an account that a caller's sees.
func (d *Desk) RevokeInvite(ctx context.Context, caller wire.Account, id string) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		for key, seen := range store.Links.Refs(tx.View()) {
			if seen.ID != id || seen.Kind != user.LinkInvite || !caller.Sees(seen.Account) {
				continue
			}
			if l, ok := store.Links.Read(tx, key); ok && l.ID == id {
				store.Links.Delete(tx, key)
				return nil
			}
		}
		return operator.NewProblem(operator.NotFound, "invites/"+id, "there is no such invite", "GET /invites lists them")
	})
	return err
}

// Reset makes a link by which a user that a caller's account sees chooses a new password. Where there is no mail the link is the caller's
// to hand over, who could use it: of a user who is in other accounts too only those who run the cluster get it.
func (d *Desk) Reset(ctx context.Context, w authz.Who, who string) (out user.PasswordReset, err error) {
	u, ok := find(d.Store.View(), who)
	if !ok || !sees(w.Account, u) {
		return out, none(who)
	}
	if p := d.paced(w.Account, u.Mail); p != nil {
		return out, p
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		u, ok := store.Users.Read(tx, store.UserKey(u.Mail))
		if !ok || !sees(w.Account, u) {
			return none(who)
		}
		elsewhere := slices.ContainsFunc(u.Members, func(m store.Member) bool { return !w.Account.Sees(m.Name) })
		if elsewhere && !d.mails(tx.View()) {
			return operator.NewProblem(operator.Denied, "users/"+u.Mail, "the cluster sends no mail, and the link would be good for more "+
				"than account "+string(w.Account), "ask those who run the cluster")
		}
		maker, p := authz.MakerOf(tx, w)
		if p != nil {
			return p
		}
		l, text := d.resetLink(tx, u, w.Name, maker)
		out = user.PasswordReset{Mail: u.Mail, Until: l.Until}
		out.Mailed, out.Link, err = d.deliver(tx, l, text)
		return err
	})
	return out, err
}

func (d *Desk) resetLink(tx *store.Tx, u store.User, by string, maker *store.Maker) (store.Link, secret.Text) {
	l := store.Link{Kind: user.LinkReset, Mail: u.Mail, User: u.ID, By: by, Account: wire.AdminAccount, Maker: maker}
	if len(u.Members) > 0 {
		l.Account = u.Members[0].Name
	}
	return d.link(tx, l)
}

// endLinks ends the links of a person ("": all persons) into an account ("": all, and those that are into none).
func endLinks(tx *store.Tx, mail string, account wire.Account) {
	for key, l := range store.Links.Refs(tx.View()) {
		if (mail == "" || l.Mail == mail) && (account == "" || l.Account == account && l.Kind == user.LinkInvite) {
			store.Links.Delete(tx, key)
		}
	}
}

// noLink is the answer to a secret that is none, was used, or is too old.
func noLink() *operator.Problem {
	return operator.NewProblem(operator.NotFound, "link", "the link is not good any more: it was used, a newer one was made, or its time "+
		"is over", "ask for another one")
}

// Link is what a secret is good for, without using it up, and whether there is a user of its mail address. One that is wrong is a guess.
func (d *Desk) Link(ctx context.Context, text secret.Text, from string) (l store.Link, known bool, err error) {
	v := d.Store.View()
	if l, ok := d.linkOf(v, text); ok {
		return l, store.Users.Find(v, store.UserKey(l.Mail)) != nil, nil
	}
	p := noLink()
	if d.Guesses != nil {
		p = d.Guesses.Wrong(ctx, from, p)
	}
	return l, false, p
}

func (d *Desk) linkOf(v *store.View, text secret.Text) (store.Link, bool) {
	for l := range store.LinksBy.Of(v, linkHash(text)) {
		return l, d.good(v, l)
	}
	return store.Link{}, false
}

// good tells whether a link's time is not over, and who made it for somebody else may still.
func (d *Desk) good(v *store.View, l store.Link) bool {
	return d.Now().Before(l.Until) && authz.Stands(v, l.Maker)
}

// Answer is what a person says on a link's page.
type Answer struct {
	Account  wire.Account // signup: its name
	Name     string
	Password secret.Text // new, or, of who has one and accepts an invite, theirs
	Again    secret.Text // the new one once more
	Code     secret.Text // of their second factor

	By *idp.Claim // whom the identity provider says that it is, in place of passwords
}

// Checked says what is wrong with an answer before anything is looked up with it.
func (a Answer) Checked(l store.Link, known bool) *operator.Problem {
	wrong := func(field string, err error) *operator.Problem {
		if err == nil {
			return nil
		}
		return operator.NewProblem(operator.Invalid, field, err.Error(), "change it")
	}
	if l.Kind == user.LinkInvite && known {
		return nil
	}
	if l.Kind == user.LinkSignUp {
		if p := wrong("account", a.Account.Validate()); p != nil {
			return p
		}
	}
	if p := wrong("name", account.ValidateTitle("name", a.Name)); p != nil {
		return p
	}
	if a.By != nil {
		return nil
	}
	if p := wrong("password", user.ValidatePassword(a.Password, l.Mail)); p != nil {
		return p
	}
	if !a.Password.Equal(a.Again) {
		return operator.NewProblem(operator.Invalid, "password", "the two passwords are not the same", "type it twice")
	}
	return nil
}

// UseLink does what a link is good for. Of two who use one at the same moment one does.
func (d *Desk) UseLink(ctx context.Context, text secret.Text, a Answer, from string) error {
	leave, p := d.entered(from)
	if p != nil {
		return p
	}
	defer leave()
	l, known, err := d.Link(ctx, text, from)
	if err != nil {
		return err
	}
	if p := a.Checked(l, known); p != nil {
		return p
	}
	if a.By != nil && l.Kind == user.LinkReset {
		return operator.NewProblem(operator.Invalid, "link", "it is for a new password, which "+a.By.Name+" has nothing to do with",
			"open the link again, and choose one")
	}
	if l.Kind == user.LinkInvite && known {
		return d.joins(ctx, l, a, from)
	}
	kept := ""
	if a.By == nil {
		if kept, err = d.keep(ctx, a.Password); err != nil {
			return err
		}
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		if p := d.used(tx, l); p != nil {
			return p
		}
		u, there := store.Users.Read(tx, store.UserKey(l.Mail))
		if l.Kind == user.LinkReset {
			return d.reset(tx, l, u, there, kept)
		}
		if there {
			return operator.NewProblem(operator.Conflict, "users/"+l.Mail, "there is a user of that address by now",
				"open the link once more, or sign in")
		}
		return d.comes(tx, l, a, kept)
	})
	return err
}

// used takes a link, in a transaction that fails if somebody else takes it.
func (d *Desk) used(tx *store.Tx, l store.Link) *operator.Problem {
	now, ok := store.Links.Read(tx, l.Key())
	if m := now.Maker; m != nil && m.User != "" { // who leaves at this moment is not missed
		for u := range store.UsersOf.Of(tx.View(), m.User) {
			store.Users.Read(tx, store.UserKey(u.Mail))
		}
	}
	if !ok || now.Hash != l.Hash || !d.good(tx.View(), now) {
		return noLink()
	}
	store.Links.Delete(tx, l.Key())
	return nil
}

// reset puts a user's new password in force. Their second factor stays.
func (d *Desk) reset(tx *store.Tx, l store.Link, u store.User, there bool, kept string) error {
	if !there || u.ID != l.User || u.Service {
		return noLink()
	}
	u.Password, u.Pending = kept, nil
	endSessions(tx, u.ID)
	store.Users.Put(tx, store.UserKey(u.Mail), u)
	if d.mails(tx.View()) {
		if err := d.Mail.Queue(tx, d.changed(u.Mail)); err != nil { // the password counts more than the word of it
			d.log().Warn("the mail of a new password was not written", "user", u.ID, "err", err)
		}
	}
	return nil
}

// comes makes the user who was invited, or who makes an account of their own.
func (d *Desk) comes(tx *store.Tx, l store.Link, a Answer, kept string) error {
	of, role := l.Account, l.Role
	if l.Kind == user.LinkSignUp {
		if p := d.signUpOpen(tx, l.Group); p != nil {
			return p
		}
		of, role = a.Account, user.Owner
		if err := d.MakeAccount(tx, account.NewAccount{Name: of, Contact: l.Mail, Group: l.Group}, l.Mail); err != nil {
			return err
		}
	} else if p := d.accountThere(tx, of); p != nil {
		return p
	}
	raw := make([]byte, 8)
	rand.Read(raw)
	now := d.now()
	u := store.User{ID: "u-" + hex.EncodeToString(raw), Mail: l.Mail, Name: a.Name, Password: kept,
		Created: now, By: l.By, Members: []store.Member{{Name: of, Role: role, Since: now, By: l.By}}}
	if a.By != nil {
		if p := d.bind(tx, &u, *a.By); p != nil {
			return p
		}
	}
	store.Users.Put(tx, store.UserKey(l.Mail), u)
	return nil
}

// joins puts a user into another account, who proves that they are the one: the link alone may be another's.
func (d *Desk) joins(ctx context.Context, l store.Link, a Answer, from string) error {
	key := store.UserKey(l.Mail)
	rec, _ := store.Users.Get(d.Store.View(), key)
	right, p := d.tries.begin(d.Now(), key, place(from), slices.Contains(rec.Places, place(from)))
	if p != nil {
		return p
	}
	same, err := a.By != nil && isOf(d.Store.View(), *a.By, rec), error(nil)
	if a.By == nil {
		if p := d.hashing(ctx, func() { same, err = password.Is(cmp.Or(rec.Password, unknownUser), a.Password.Reveal()) }); p != nil {
			right()
			return p
		}
	}
	if err != nil {
		return err
	}
	refused := operator.NewProblem(operator.Denied, "link", "the password or the code is wrong",
		"try again; whoever has a second factor gives a code that was not used yet")
	refused.Status, refused.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	if a.By != nil {
		refused.Reason = "the user is bound to no such sign-in of " + a.By.Name + ", or the code is wrong"
		refused.Next = "open the link again; who has a password here accepts with that"
	}
	if !same || a.By == nil && rec.Password == "" {
		d.failed.add(key, from, d.Now())
		return refused
	}
	passed := false
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		u, ok := store.Users.Read(tx, key)
		passed = ok && u.Password == rec.Password && (a.By == nil || isOf(tx.View(), *a.By, u)) && d.passes(&u, a.By, a.Code)
		if !passed {
			return refused
		}
		if p := d.used(tx, l); p != nil {
			return p
		}
		if p := d.accountThere(tx, l.Account); p != nil {
			return p
		}
		if u.Role(l.Account) == "" {
			u.Members = append(slices.Clone(u.Members), store.Member{Name: l.Account, Role: l.Role, Since: d.now(), By: l.By})
		}
		store.Links.Delete(tx, store.LinkKey(user.LinkReset, u.Mail, "")) // it may be in the hands of who runs another account
		store.Users.Put(tx, key, u)
		return nil
	})
	if passed {
		right()
	} else {
		d.failed.add(key, from, d.Now())
	}
	return err
}

// sweepLinks forgets those whose time is over.
func (d *Desk) sweepLinks(ctx context.Context) error {
	var old []string
	v := d.Store.View()
	for key, l := range store.Links.Refs(v) {
		if !d.good(v, *l) && len(old) < 1000 {
			old = append(old, key)
		}
	}
	if len(old) == 0 {
		return nil
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		for _, key := range old {
			if l, ok := store.Links.Read(tx, key); ok && !d.good(tx.View(), l) {
				store.Links.Delete(tx, key)
			}
		}
		return nil
	})
	return err
}
