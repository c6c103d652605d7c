package users

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/mail"
	"hardnode.dev/orchestrator/store"
)

// maxActing is how many act as one user at once.
const maxActing = 5

// SignInAs lets a caller who runs the cluster act as a user of an account, until when it says, or until their own token or session ends.
func (d *Desk) SignInAs(ctx context.Context, w authz.Who, who string, in user.SignInAs) (out user.SignedIn, err error) {
	if err := in.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "reason", err.Error(), "say why")
	}
	if in.Minutes < 0 || time.Duration(in.Minutes)*time.Minute > user.ActingFor {
		return out, operator.NewProblem(operator.Invalid, "minutes", fmt.Sprintf("%d: want 1 to %.0f", in.Minutes,
			user.ActingFor.Minutes()), "change it")
	}
	life := user.ActingFor
	if in.Minutes > 0 {
		life = time.Duration(in.Minutes) * time.Minute
	}
	raw := make([]byte, 24)
	rand.Read(raw) // never fails (crypto/rand)
	id := hex.EncodeToString(raw[:4])
	text := secret.Text(authz.SessionPrefix + id + "." + hex.EncodeToString(raw[4:]))
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		seen, ok := find(tx.View(), who)
		if !ok {
			return none(who)
		}
		u, ok := store.Users.Read(tx, store.UserKey(seen.Mail))
		if !ok || u.ID != seen.ID || u.Service {
			return none(who)
		}
		if u.Role(wire.AdminAccount) != "" {
			return operator.NewProblem(operator.Denied, "users/"+u.Mail, "it is one of those who run the cluster: nobody acts as them",
				"ask them")
		}
		if len(u.Members) == 0 {
			return operator.NewProblem(operator.Conflict, "users/"+u.Mail, "the user is in no account", "there is nothing to do as them")
		}
		account := u.Members[0].Name
		if in.Account != "" {
			account = in.Account
		}
		role := u.Role(account)
		if role == "" {
			return operator.NewProblem(operator.NotFound, "account", "the user is not in account "+string(account),
				"see hnctl user show "+u.Mail)
		}
		if _, p := authz.MakerOf(tx, w); p != nil { // they may have left since they were let in
			return p
		}
		now, open := d.now(), 0
		for a := range store.ActingOf.Of(tx.View(), u.ID) {
			if !now.Before(a.Until) {
				store.Actings.Delete(tx, a.Hash)
				continue
			}
			open++
		}
		if open >= maxActing {
			return operator.NewProblem(operator.Exhausted, "users/"+u.Mail, fmt.Sprintf("%d act as them already", open),
				"wait until one ends")
		}
		rec := store.Acting{ID: id, Hash: authz.Hash(text), User: u.ID, Account: account, Holder: w.Held(), By: w.Called(),
			Reason: in.Reason, Begun: now, Until: now.Add(life)}
		store.Actings.Put(tx, rec.Hash, rec)
		d.tellActing(tx, rec, u)
		out = user.SignedIn{UserSession: actingSession(rec, u), Token: text}
		out.Current = true
		return nil
	})
	return out, err
}

// actingSession is one as the user reads it among their sessions.
func actingSession(a store.Acting, u store.User) user.UserSession {
	return user.UserSession{ID: a.ID, Mail: u.Mail, Account: a.Account, Role: u.Role(a.Account), Kind: "acting", Begun: a.Begun,
		Used: a.Begun, Ends: a.Until, Acting: &user.ActingAs{By: a.By, Reason: a.Reason, Until: a.Until}}
}

// tellActing has a mail sent to the owners of the account, and to the user, where the cluster sends mail.
func (d *Desk) tellActing(tx *store.Tx, a store.Acting, u store.User) {
	if !d.mails(tx.View()) {
		return
	}
	for _, o := range store.Users.Refs(tx.View()) {
		if o.Service || o.ID != u.ID && o.Role(a.Account) != user.Owner {
			continue
		}
		if err := d.Mail.Queue(tx, d.actsAs(o.Mail, a, u)); err != nil { // the record of the account tells of it all the same
			d.log().Warn("a mail that somebody acts as a user was not written", "user", u.ID, logging.Err, err)
		}
	}
}

// actsAs tells somebody that a user is acted as.
func (d *Desk) actsAs(to string, a store.Acting, u store.User) mail.Letter {
	return mail.Letter{To: to, For: 24 * time.Hour, Notice: true, Subject: fmt.Sprintf("Support acts as %s at %s", u.Mail, d.Cluster),
		Text: fmt.Sprintf("%s, of those who run cluster %s, acts as %s in account %s from %s until %s.\n\nThe reason that they gave: "+
			"%s\n\nWhat they do is on the account's record (hnctl audit), under both names. They can't change passwords, second factors, "+
			"sessions, tokens, shares or who is in the account. %s sees it with hnctl session list, and ends it with hnctl session "+
			"end %s; an owner of the account ends it with hnctl user end-acting %s --account %s.\n", a.By, d.Cluster, u.Mail, a.Account,
			until(a.Begun), until(a.Until), a.Reason, u.Mail, a.ID, u.Mail, a.Account)}
}

// EndActing ends what those who run the cluster do as a user in an account.
func (d *Desk) EndActing(ctx context.Context, w authz.Who, of wire.Account, who string) error {
	return d.ofAccount(ctx, w, of, who, func(tx *store.Tx, u *store.User) error {
		for a := range store.ActingOf.Of(tx.View(), u.ID) {
			if a.Account == of && d.now().Before(a.Until) {
				endActing(tx, u.ID, of)
				return nil
			}
		}
		return operator.NewProblem(operator.NotFound, "users/"+who, "nobody acts as the user in account "+string(of),
			"hnctl audit says who did")
	})
}

// endActing ends what is done as a user in an account.
func endActing(tx *store.Tx, id string, of wire.Account) {
	for a := range store.ActingOf.Of(tx.View(), id) {
		if a.Account == of {
			store.Actings.Delete(tx, a.Hash)
		}
	}
}
