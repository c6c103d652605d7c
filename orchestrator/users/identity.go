package users

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/idp"
	"hardnode.dev/orchestrator/store"
)

// The bounds on tickets: what somebody holds whom the identity provider has vouched for, until they have their session.
const (
	ticketFor  = 5 * time.Minute
	ticketsMax = 5000 // the oldest goes first
	ticketMiss = 5    // wrong codes
)

// ticket is what a session is taken by, once, with what its challenge was made of.
type ticket struct {
	claim idp.Claim
	check string // RFC 7636, S256
	until time.Time
	wrong int
}

type tickets struct {
	sync.Mutex
	by map[string]*ticket // by hash
}

func (t *tickets) put(hash string, x *ticket, now time.Time) {
	t.Lock()
	defer t.Unlock()
	if t.by == nil {
		t.by = map[string]*ticket{}
	}
	oldest := ""
	for h, o := range t.by {
		if !now.Before(o.until) {
			delete(t.by, h)
		} else if oldest == "" || o.until.Before(t.by[oldest].until) {
			oldest = h
		}
	}
	if len(t.by) >= ticketsMax {
		delete(t.by, oldest)
	}
	t.by[hash] = x
}

// take gives a ticket to one of those who ask for it, until it is put back.
func (t *tickets) take(hash string, now time.Time) *ticket {
	t.Lock()
	defer t.Unlock()
	x := t.by[hash]
	delete(t.by, hash)
	if x == nil || !now.Before(x.until) {
		return nil
	}
	return x
}

func ticketHash(text secret.Text) string {
	sum := sha256.Sum256([]byte("ticket " + text.Reveal()))
	return hex.EncodeToString(sum[:])
}

// Challenge is what a ticket's verifier is known by (RFC 7636, section 4.2).
func Challenge(verifier secret.Text) string {
	sum := sha256.Sum256([]byte(verifier.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// identified is the user whom the provider knows so.
func identified(v *store.View, c idp.Claim) (u store.User, ok bool) {
	i := store.Identities.Find(v, store.IdentityKey(c.Issuer, c.Subject))
	if i == nil || i.Issuer != c.Issuer || i.Subject != c.Subject {
		return u, false
	}
	for u := range store.UsersOf.Of(v, i.User) {
		return u, !u.Service
	}
	return u, false
}

// isOf tells whether it is this user whom the provider knows so.
func isOf(v *store.View, c idp.Claim, u store.User) bool {
	of, ok := identified(v, c)
	return ok && of.ID == u.ID
}

// passes is pass, but for who signed in with a provider that sees to the second factor.
func (d *Desk) passes(u *store.User, by *idp.Claim, code secret.Text) bool {
	return by != nil && by.Both || d.pass(u, code)
}

// unbind has the provider know a user as nobody.
func unbind(tx *store.Tx, id string) {
	for i := range store.IdentityOf.Of(tx.View(), id) {
		store.Identities.Delete(tx, store.IdentityKey(i.Issuer, i.Subject))
	}
}

// bind has a user signed in by whom the provider says that it is, in place of whom it knew them as. u is changed: the caller puts it.
func (d *Desk) bind(tx *store.Tx, u *store.User, c idp.Claim) *operator.Problem {
	key := store.IdentityKey(c.Issuer, c.Subject)
	store.Identities.Read(tx, key) // of two who bind one, one does
	if of, ok := identified(tx.View(), c); ok && of.ID != u.ID {
		return operator.NewProblem(operator.Conflict, "user/identity", "another user signs in by this one of "+c.Name,
			"sign in to "+c.Name+" as yourself, and try again")
	}
	unbind(tx, u.ID)
	store.Identities.Put(tx, key, store.Identity{Issuer: c.Issuer, Subject: c.Subject, User: u.ID, Mail: c.Mail, Since: d.now()})
	u.Made++ // of two that are bound to one user, one is
	if d.mails(tx.View()) {
		if err := d.Mail.Queue(tx, d.bound(u.Mail, c)); err != nil { // the user's own page tells of it all the same
			d.log().Warn("a mail that a user is bound to an identity was not written", "user", u.ID, logging.Err, err)
		}
	}
	return nil
}

// unknownIdentity is the answer to who is nobody here.
func unknownIdentity(c idp.Claim) *operator.Problem {
	as := "you"
	if c.Mail != "" {
		as = "you as " + c.Mail
	}
	p := operator.NewProblem(operator.Denied, "session", c.Name+" knows "+as+", but no user here is bound to that",
		"sign in with your password, and bind yourself at the page with your mail address; whoever was sent a link opens that")
	p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	return p
}

// Ticket is for who signed in with the provider: a session is taken by it, with what check was made of. A user who is there and is bound
// to nobody yet is bound to who it is by their mail address where the provider's word for that counts: but none of those who run the
// cluster is, who bind themselves.
func (d *Desk) Ticket(ctx context.Context, c idp.Claim, check, from string) (secret.Text, error) {
	if _, ok := identified(d.Store.View(), c); !ok {
		_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
			if _, ok := identified(tx.View(), c); ok {
				return nil
			}
			u, there := store.Users.Read(tx, store.UserKey(c.Mail))
			if !c.Believed || c.Mail == "" || !there || u.Service || u.Role(wire.AdminAccount) != "" {
				return unknownIdentity(c)
			}
			for range store.IdentityOf.Of(tx.View(), u.ID) {
				return unknownIdentity(c)
			}
			if p := d.bind(tx, &u, c); p != nil {
				return p
			}
			store.Users.Put(tx, store.UserKey(u.Mail), u)
			return nil
		})
		if err != nil {
			return "", err
		}
		u, _ := identified(d.Store.View(), c)
		for _, m := range u.Members {
			d.record(operator.Audit{Who: u.Mail, User: u.ID, Account: m.Name, From: from, What: "user.identity.bind",
				Object: "users/" + u.ID, Result: "ok: " + c.Name + " says that " + c.Mail + " is theirs"})
		}
	}
	raw := make([]byte, 32)
	rand.Read(raw) // never fails (crypto/rand)
	text := secret.Text(hex.EncodeToString(raw))
	d.tickets.put(ticketHash(text), &ticket{claim: c, check: check, until: d.Now().Add(ticketFor)}, d.Now())
	return text, nil
}

func (d *Desk) record(a operator.Audit) {
	if d.Guesses == nil {
		return
	}
	if err := d.Guesses.Record(a); err != nil {
		d.log().Error("a user's identity is not on record", logging.Err, err)
	}
}

// Redeem begins a session of who has a ticket. It is used up by that, by a verifier that is not its own, and by wrong codes.
func (d *Desk) Redeem(ctx context.Context, s oidc.OidcSignIn, from, kind string) (out user.SignedIn, err error) {
	leave, p := d.entered(from)
	if p != nil {
		return out, p
	}
	defer leave()
	hash := ticketHash(s.Ticket)
	t := d.tickets.take(hash, d.Now())
	if t == nil || len(t.check) != 43 || Challenge(s.Verifier) != t.check {
		return out, d.guessed(ctx, from, "the sign-in was used, or its time is over")
	}
	back := func() { d.tickets.put(hash, t, d.Now()) }
	rec, ok := identified(d.Store.View(), t.claim)
	if !ok {
		return out, unknownIdentity(t.claim)
	}
	right := func() {}
	if rec.Factor != nil && !t.claim.Both {
		if s.Code == "" {
			back()
			p := operator.NewProblem(operator.Denied, oidc.CodeNeeded, "a code of your second factor is needed", "give it")
			p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
			return out, p
		}
		right, p = d.tries.begin(d.Now(), store.UserKey(rec.Mail), place(from), slices.Contains(rec.Places, place(from)))
		if p != nil {
			back()
			return out, p
		}
	}
	passed := false
	_, err = d.Store.Update(ctx, func(tx *store.Tx) (err error) {
		store.Identities.Read(tx, store.IdentityKey(t.claim.Issuer, t.claim.Subject)) // who is unbound at this moment does not come in
		seen, ok := identified(tx.View(), t.claim)
		if !ok {
			return unknownIdentity(t.claim)
		}
		u, ok := store.Users.Read(tx, store.UserKey(seen.Mail))
		if !ok || u.ID != seen.ID {
			return unknownIdentity(t.claim)
		}
		if passed = d.passes(&u, &t.claim, s.Code); !passed {
			return nil
		}
		out, err = d.enter(tx, u, s.Account, from, kind)
		return err
	})
	switch {
	case err != nil:
		right()
		return user.SignedIn{}, err
	case passed:
		right()
		return out, nil
	}
	if t.wrong++; t.wrong < ticketMiss {
		back()
	}
	d.failed.add(store.UserKey(rec.Mail), from, d.Now())
	return out, d.guessed(ctx, from, "the code is wrong, or was used already")
}

// guessed refuses what may be a guess.
func (d *Desk) guessed(ctx context.Context, from, reason string) *operator.Problem {
	p := operator.NewProblem(operator.Denied, "session", reason, "sign in again")
	p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	if d.Guesses != nil {
		p = d.Guesses.Wrong(ctx, from, p)
	}
	return p
}

// Prove is nil when a caller proves again who they are, by password and code. proof is good for Bind, until the password is another one.
func (d *Desk) Prove(ctx context.Context, w authz.Who, from string, text, code secret.Text) (proof string, err error) {
	return proof, d.proven(ctx, w, from, text, code, func(_ *store.Tx, u *store.User) error { proof = proofOf(u); return nil })
}

func proofOf(u *store.User) string {
	sum := sha256.Sum256([]byte("proof " + u.ID + " " + u.Password))
	return hex.EncodeToString(sum[:])
}

// Bind has a user, who has proven who they are, signed in by whom the provider says that it is.
func (d *Desk) Bind(ctx context.Context, id, proof string, c idp.Claim) error {
	return d.changeOf(ctx, id, func(tx *store.Tx, u *store.User) error {
		if proof != proofOf(u) {
			return operator.NewProblem(operator.Denied, "user/identity", "your password was changed meanwhile", "begin again")
		}
		if p := d.bind(tx, u, c); p != nil {
			return p
		}
		return nil
	})
}

// EndIdentity has a caller sign in with the provider no more.
func (d *Desk) EndIdentity(ctx context.Context, w authz.Who, from string, e user.EndIdentity) error {
	return d.proven(ctx, w, from, e.Password, e.Code, func(tx *store.Tx, u *store.User) error {
		for range store.IdentityOf.Of(tx.View(), u.ID) {
			unbind(tx, u.ID)
			return nil
		}
		return operator.NewProblem(operator.Conflict, "user/identity", "you don't sign in with an identity provider",
			"there is nothing to do")
	})
}

// ResetIdentity has a user sign in with the provider no more, and ends their sessions.
func (d *Desk) ResetIdentity(ctx context.Context, who string) error {
	return d.changeOf(ctx, who, func(tx *store.Tx, u *store.User) error {
		unbind(tx, u.ID)
		endSessions(tx, u.ID)
		return nil
	})
}
