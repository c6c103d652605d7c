// Package users keeps the people who sign in.
//
// Owns: the records of users and services, of their sessions, and of the links that people get by mail; passwords and second factors,
// and how much may be guessed, hashed and asked for.
// In: what people and admins ask; a mail address, a password and a code; the secret of a link.
// Out: users and sessions as people read them; the token of a session, and the secret of a link, once; letters.
// Never: keeps a password, a token or a secret as text, tells who is a user to whoever asks, or decides what a role may do (wire/user
// does).
package users

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/secret/password"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/store"
)

// Desk keeps users. Errors of it are Problems. Make it with New.
type Desk struct {
	Store   *store.Store
	Tokens  *authz.Tokens
	Guesses *authz.Guesses // slows down and records what is wrong; nil: nobody does
	Cluster string         // its name, for authenticator apps
	Key     []byte         // 32 bytes: second factors are sealed with it
	Now     func() time.Time
	Log     *slog.Logger

	// Mail takes letters in; nil: nobody does.
	Mail interface {
		Queue(tx *store.Tx, l mail.Letter) error
	}
	// MakeAccount makes the account of somebody who signs up, with a transaction.
	MakeAccount func(tx *store.Tx, n account.NewAccount, by string) error

	once   sync.Once
	hashes chan struct{}
	gate   *limit.Gate
	tries  tries
	failed failed
	asks   chan ask
	asked  asked // by strangers
	made   asked // by those who may

	tickets tickets
}

// New is d, ready.
func New(d *Desk) *Desk {
	d.gate = &limit.Gate{All: signInsAll, Each: signInsEach}
	d.asks = make(chan ask, maxAsks)
	return d
}

func (d *Desk) now() time.Time { return d.Now().UTC().Truncate(time.Second) }

func (d *Desk) log() *slog.Logger { return logging.Or(d.Log) }

// keepEvery is how often the store is told when sessions were used.
const keepEvery = time.Minute

// Run has the links made that strangers ask for, keeps when sessions were used, and removes sessions and links that ended, until ctx ends.
// For the leader alone.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-d.asks:
			d.answer(ctx, a)
			continue
		case <-tick.C:
		}
		if err := d.Tokens.KeepUses(ctx); err != nil && ctx.Err() == nil {
			d.log().Error("the use of sessions can't be kept", logging.Err, err)
		}
		if err := d.sweepLinks(ctx); err != nil && ctx.Err() == nil {
			d.log().Error("old links can't be forgotten", logging.Err, err)
		}
		d.tellOwners()
		d.endTokens(ctx)
	}
}

// endTokens has tokens on record as ended whose makers left while another orchestrator was at work, and forgets old ones.
func (d *Desk) endTokens(ctx context.Context) {
	ended, err := d.Tokens.Sweep(ctx)
	if err != nil && ctx.Err() == nil {
		d.log().Error("tokens of who left can't be ended", logging.Err, err)
	}
	for _, t := range ended {
		if d.Guesses == nil {
			return
		}
		if err := d.Guesses.Record(operator.Audit{Who: "nobody", Account: t.Account.Owner(), What: "token.end", Object: "tokens/" + t.ID,
			Result: "ok: " + t.Over.Why}); err != nil {
			d.log().Error("a token's end is not on record", "token", t.ID, logging.Err, err)
		}
	}
}

func none(who string) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "users/"+who, "there is no such user", "GET /users lists them")
}

// find is a person by id or mail address: a service is none.
func find(v *store.View, who string) (u store.User, ok bool) {
	for u := range store.UsersOf.Of(v, who) {
		return u, !u.Service
	}
	u, ok = store.Users.Get(v, store.UserKey(who))
	return u, ok && !u.Service
}

// sees tells whether a caller's account sees a user: one of its own.
func sees(caller wire.Account, u store.User) bool {
	return caller == wire.AdminAccount || u.Role(caller) != ""
}

// shown is a user as a caller's account sees them; of other accounts it learns nothing.
func (d *Desk) shown(v *store.View, caller wire.Account, u store.User) user.User {
	out := user.User{ID: u.ID, Mail: u.Mail, Name: u.Name, SecondFactor: u.Factor != nil, Last: u.Last, Created: u.Created, By: u.By,
		Members: []user.Membership{}}
	for _, m := range u.Members {
		if caller.Sees(m.Name) {
			out.Members = append(out.Members, user.Membership{Account: m.Name, Role: m.Role, Since: m.Since, By: m.By})
		}
	}
	if u.Factor != nil {
		out.Recovery = len(u.Factor.Recovery)
	}
	for i := range store.IdentityOf.Of(v, u.ID) {
		out.Identity = &user.Identity{Issuer: i.Issuer, Mail: i.Mail, Since: i.Since}
	}
	for range store.PasskeysOf.Of(v, u.ID) {
		out.Passkeys++
	}
	for s := range store.SessionsOf.Of(v, u.ID) {
		if caller.Sees(s.Account) && d.Now().Before(s.Ends(d.Tokens.LastUse(&s))) {
			out.Sessions++
		}
	}
	return out
}

// List is all users that a caller's account sees, by mail address.
func (d *Desk) List(caller wire.Account) []user.User {
	v := d.Store.View()
	out := []user.User{}
	for _, u := range store.Users.Refs(v) {
		if sees(caller, *u) && !u.Service {
			out = append(out, d.shown(v, caller, *u))
		}
	}
	slices.SortFunc(out, func(a, b user.User) int { return strings.Compare(a.Mail, b.Mail) })
	return out
}

// Get is one user that a caller's account sees, by id or mail address.
func (d *Desk) Get(caller wire.Account, who string) (user.User, error) {
	v := d.Store.View()
	u, ok := find(v, who)
	if !ok || !sees(caller, u) {
		return user.User{}, none(who)
	}
	return d.shown(v, caller, u), nil
}

// Self is the caller, with all accounts that they are in.
func (d *Desk) Self(w authz.Who) (user.User, error) {
	v := d.Store.View()
	u, ok := find(v, w.User)
	if !ok {
		return user.User{}, none(w.User)
	}
	return d.shown(v, wire.AdminAccount, u), nil
}

// Create makes a user who is in one account; by is who asks.
func (d *Desk) Create(ctx context.Context, n user.NewUser, by string) (out user.User, err error) {
	for _, c := range []struct {
		field string
		err   error
	}{{"mail", user.ValidateMail(n.Mail)}, {"name", account.ValidateTitle("name", n.Name)}, {"role", n.Role.Validate()},
		{"password", user.ValidatePassword(n.Password, n.Mail)}} {
		if c.err != nil {
			return out, operator.NewProblem(operator.Invalid, c.field, c.err.Error(), "change it")
		}
	}
	kept, err := d.keep(ctx, n.Password)
	if err != nil {
		return out, err
	}
	raw := make([]byte, 8)
	rand.Read(raw) // never fails (crypto/rand)
	now := d.now()
	u := store.User{ID: "u-" + hex.EncodeToString(raw), Mail: user.Normal(n.Mail), Name: n.Name, Password: kept, Created: now, By: by,
		Members: []store.Member{{Name: n.Account, Role: n.Role, Since: now, By: by}}}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, there := store.Users.Read(tx, store.UserKey(u.Mail)); there {
			return operator.NewProblem(operator.Conflict, "users/"+u.Mail, "there is a user with that mail address",
				"put them into the account: PUT /accounts/"+string(n.Account)+"/users/"+u.Mail)
		}
		if p := d.accountThere(tx, n.Account); p != nil {
			return p
		}
		store.Users.Put(tx, store.UserKey(u.Mail), u)
		endLinks(tx, u.Mail, n.Account)
		return nil
	})
	if err != nil {
		return out, err
	}
	return d.Get(wire.AdminAccount, u.ID)
}

// accountThere is nil when there is an account that a user can be put into: one with a record, or that of the admins.
func (d *Desk) accountThere(tx *store.Tx, name wire.Account) *operator.Problem {
	if _, ok := store.Accounts.Read(tx, string(name)); !ok && name != wire.AdminAccount {
		return operator.NewProblem(operator.NotFound, "accounts/"+string(name), "there is no such account",
			"make it: hnctl account create "+string(name))
	}
	return nil
}

// keep hashes a password.
func (d *Desk) keep(ctx context.Context, text secret.Text) (kept string, err error) {
	if p := d.hashing(ctx, func() { kept, err = password.Keep(text.Reveal()) }); p != nil {
		return "", p
	}
	return kept, err
}

// changeOf changes the record of a user, who is named by id or mail address.
func (d *Desk) changeOf(ctx context.Context, who string, f func(*store.Tx, *store.User) error) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		seen, ok := find(tx.View(), who)
		if !ok {
			return none(who)
		}
		u, ok := store.Users.Read(tx, store.UserKey(seen.Mail))
		if !ok || u.ID != seen.ID {
			return none(who)
		}
		if err := f(tx, &u); err != nil {
			return err
		}
		store.Users.Put(tx, store.UserKey(u.Mail), u)
		return nil
	})
	return err
}

// change changes the record of the caller.
func (d *Desk) change(ctx context.Context, w authz.Who, f func(*store.Tx, *store.User) error) error {
	return d.changeOf(ctx, w.User, f)
}

// proven changes the record of a caller who proves again who they are: who finds a session open learns no password with it, and can't lock
// its owner out. What is wrong counts as a wrong sign-in.
func (d *Desk) proven(ctx context.Context, w authz.Who, from string, text, code secret.Text, f func(*store.Tx, *store.User) error) error {
	leave, p := d.entered(from)
	if p != nil {
		return p
	}
	defer leave()
	u, ok := find(d.Store.View(), w.User)
	if !ok {
		return none(w.User)
	}
	if u.Password == "" {
		return operator.NewProblem(operator.Conflict, "user", "you have no password to prove who you are with",
			"choose one: say at the sign-in page that you forgot it")
	}
	right, p := d.tries.begin(d.Now(), store.UserKey(u.Mail), place(from), true)
	if p != nil {
		return p
	}
	same, err := false, error(nil)
	if p := d.hashing(ctx, func() { same, err = password.Is(u.Password, text.Reveal()) }); p != nil {
		right()
		return p
	}
	if err != nil {
		return err
	}
	refused := operator.NewProblem(operator.Denied, "user", "the password or the code is wrong",
		"try again; whoever has a second factor gives a code that was not used yet")
	if !same {
		return refused
	}
	kept := u.Password
	passed := false
	err = d.change(ctx, w, func(tx *store.Tx, u *store.User) error {
		if passed = u.Password == kept && d.pass(u, code); !passed {
			return refused
		}
		return f(tx, u)
	})
	if passed {
		right()
	}
	return err
}

// ChangeSelf changes what is said of a caller.
func (d *Desk) ChangeSelf(ctx context.Context, w authz.Who, c user.ChangeSelf) (out user.User, err error) {
	if c.Name != nil {
		if err := account.ValidateTitle("name", *c.Name); err != nil {
			return out, operator.NewProblem(operator.Invalid, "name", err.Error(), "change it")
		}
		if err := d.change(ctx, w, func(_ *store.Tx, u *store.User) error { u.Name = *c.Name; return nil }); err != nil {
			return out, err
		}
	}
	return d.Self(w)
}

// ChangePassword replaces a caller's password, and ends all their sessions, and the link by which they could choose another.
func (d *Desk) ChangePassword(ctx context.Context, w authz.Who, from string, c user.ChangePassword) error {
	if err := user.ValidatePassword(c.New, w.Name); err != nil {
		return operator.NewProblem(operator.Invalid, "new", err.Error(), "choose another password")
	}
	kept, err := d.keep(ctx, c.New)
	if err != nil {
		return err
	}
	return d.proven(ctx, w, from, c.Old, c.Code, func(tx *store.Tx, u *store.User) error {
		u.Password, u.Pending = kept, nil
		endSessions(tx, u.ID)
		store.Links.Delete(tx, store.LinkKey(user.LinkReset, u.Mail, ""))
		return nil
	})
}

// Delete removes a user and their sessions, and ends the tokens that they made.
func (d *Desk) Delete(ctx context.Context, who string) (ended []store.Token, err error) {
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		seen, ok := find(tx.View(), who)
		if !ok {
			return none(who)
		}
		u, ok := store.Users.Read(tx, store.UserKey(seen.Mail))
		if !ok {
			return none(who)
		}
		for _, m := range u.Members {
			if p := another(tx, m.Name, &u); p != nil {
				return p
			}
		}
		endSessions(tx, u.ID)
		ended = authz.EndTokens(tx, u.ID, "", d.now())
		endLinks(tx, u.Mail, "")
		unbind(tx, u.ID)
		endPasskeys(tx, u.ID)
		store.Users.Delete(tx, store.UserKey(u.Mail))
		return nil
	})
	return ended, err
}

// SetMember gives a user a role in an account. Only those who run the cluster put somebody in who is in it under no role yet: to an account
// a user of another one is nobody.
func (d *Desk) SetMember(ctx context.Context, w authz.Who, of wire.Account, who string, role user.Role) (out user.User, err error) {
	if err := role.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "role", err.Error(), "change it")
	}
	err = d.ofAccount(ctx, w, of, who, func(tx *store.Tx, u *store.User) error {
		if p := d.accountThere(tx, of); p != nil {
			return p
		}
		if role != user.Owner {
			if p := another(tx, of, u); p != nil {
				return p
			}
		}
		members := slices.Clone(u.Members)
		at := slices.IndexFunc(members, func(m store.Member) bool { return m.Name == of })
		if at < 0 {
			members, at = append(members, store.Member{Name: of, Since: d.now(), By: w.Name}), len(members)
			endLinks(tx, u.Mail, of)
			store.Links.Delete(tx, store.LinkKey(user.LinkReset, u.Mail, "")) // it may be in the hands of who runs another account
		}
		if members[at].Role != role {
			members[at].Since, members[at].By = d.now(), w.Name
		}
		members[at].Role = role
		u.Members = members
		return nil
	})
	if err != nil {
		return out, err
	}
	return d.Get(w.Account, who)
}

// RemoveMember takes a user out of an account; their sessions in it end, and the tokens that they made there.
func (d *Desk) RemoveMember(ctx context.Context, w authz.Who, of wire.Account, who string) (ended []store.Token, err error) {
	err = d.ofAccount(ctx, w, of, who, func(tx *store.Tx, u *store.User) error {
		if u.Role(of) == "" {
			return operator.NewProblem(operator.NotFound, "users/"+who, "the user is not in account "+string(of), "GET /users lists them")
		}
		if p := another(tx, of, u); p != nil {
			return p
		}
		u.Members = slices.DeleteFunc(slices.Clone(u.Members), func(m store.Member) bool { return m.Name == of })
		for s := range store.SessionsOf.Of(tx.View(), u.ID) {
			if s.Account == of {
				store.Sessions.Delete(tx, s.Hash)
			}
		}
		endActing(tx, u.ID, of)
		ended = authz.EndTokens(tx, u.ID, of, d.now())
		endLinks(tx, u.Mail, of)
		return nil
	})
	return ended, err
}

// ofAccount changes a user of an account, for a caller who may. What a caller does not see is not there.
func (d *Desk) ofAccount(ctx context.Context, w authz.Who, of wire.Account, who string, f func(*store.Tx, *store.User) error) error {
	if !w.Account.Sees(of) {
		return noAccount(of)
	}
	return d.changeOf(ctx, who, func(tx *store.Tx, u *store.User) error {
		if !sees(w.Account, *u) {
			return none(who)
		}
		return f(tx, u)
	})
}

// another is nil when an account has a person as its owner besides u, u is none, or the account is being closed: it goes with its people
// then. Those who run the cluster are held to it like everybody: an account that nobody owns is nobody's to ask for help for. Of two owners
// who leave at once one is refused: the records of both are read for that.
func another(tx *store.Tx, of wire.Account, u *store.User) *operator.Problem {
	if u.Role(of) != user.Owner {
		return nil
	}
	if a, ok := store.Accounts.Read(tx, string(of)); ok && a.State == account.Closing {
		return nil
	}
	for key, o := range store.Users.Refs(tx.View()) {
		if o.ID == u.ID || o.Role(of) != user.Owner || o.Service {
			continue
		}
		if now, ok := store.Users.Read(tx, key); ok && now.Role(of) == user.Owner {
			return nil
		}
	}
	next := fmt.Sprintf("make another one first: hnctl user role USER owner --account %s", of)
	if of != wire.AdminAccount {
		next += fmt.Sprintf("; or have those who run the cluster close the account: hnctl account close %s", of)
	}
	return operator.NewProblem(operator.Conflict, "users/"+u.Mail, "it is the last owner of account "+string(of), next)
}
