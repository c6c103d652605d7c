package users

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/secret/password"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// The bounds on work that anybody can cause. An Argon2id hash takes 19 MiB (OWASP's figure: m=19456, t=2, p=1): two at once are 38 MiB,
// whatever comes.
const (
	hashesAtOnce = 2
	hashWait     = 10 * time.Second
	signInsAll   = 64 // that wait or are looked at
	signInsEach  = 8  // of them, from one place
	maxSessions  = 20 // of one user; the one used longest ago goes first
	maxPlaces    = 8  // remembered of one user
)

// unknownUser is a password that nobody has: comparing with it takes as long as with a user's.
const unknownUser = "$argon2id$v=19$m=19456,t=2,p=1$Wm9uZSBvZiB0aGUgdXNlcnMgaGFzIHRoaXMgb25lLi4$Wm9uZSBvZiB0aGUgdXNlcnMgaGFzIHRoaXMgb25lLi4"

// hashing waits for a place to hash in, and runs f there.
func (d *Desk) hashing(ctx context.Context, f func()) *operator.Problem {
	d.once.Do(func() { d.hashes = make(chan struct{}, hashesAtOnce) })
	t := time.NewTimer(hashWait)
	defer t.Stop()
	select {
	case d.hashes <- struct{}{}:
		defer func() { <-d.hashes }()
		f()
		return nil
	case <-t.C:
	case <-ctx.Done():
	}
	return operator.TooMany("session", "many sign in at this moment", "try again in a moment", 5*time.Second)
}

// place is where a request comes from, as it is counted.
func place(from string) string { return limit.Key(limit.Addr(from)).String() }

// wrong is the answer to all that does not sign in: it does not tell which part was wrong, or whether there is such a user.
func wrong() *operator.Problem {
	p := operator.NewProblem(operator.Denied, "session", "the mail address, the password or the code is wrong",
		"try again; whoever has a second factor gives a code that was not used yet")
	p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	return p
}

// entered takes a place among those who sign in.
func (d *Desk) entered(from string) (leave func(), p *operator.Problem) {
	leave, ok := d.gate.Enter(limit.Addr(from))
	if !ok {
		return nil, operator.TooMany("session", "many sign in at this moment", "try again in a moment", 5*time.Second)
	}
	return leave, nil
}

// SignIn begins a session of a user. kind is where: api or panel.
func (d *Desk) SignIn(ctx context.Context, s user.SignIn, from, kind string) (out user.SignedIn, err error) {
	leave, p := d.entered(from)
	if p != nil {
		return out, p
	}
	defer leave()
	key := store.UserKey(s.Mail)
	rec, there := store.Users.Get(d.Store.View(), key)
	there = there && !rec.Service // an older orchestrator may have taken one for a person
	right, p := d.tries.begin(d.Now(), key, place(from), slices.Contains(rec.Places, place(from)))
	if p != nil {
		return out, p
	}
	kept := unknownUser
	if there && rec.Password != "" {
		kept = rec.Password
	}
	same := false
	if p := d.hashing(ctx, func() { same, err = password.Is(kept, s.Password.Reveal()) }); p != nil {
		right() // nothing was looked at
		return out, p
	}
	if err != nil {
		return out, err
	}
	var refused *operator.Problem
	if same && kept != unknownUser {
		out, err = d.begin(ctx, s, kept, from, kind)
		if err == nil || !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
			right()
			return out, err
		}
	}
	if there {
		d.failed.add(key, from, d.Now())
	}
	p = wrong()
	if d.Guesses != nil {
		p = d.Guesses.Wrong(ctx, from, p)
	}
	return user.SignedIn{}, p
}

// begin makes the session of a user whose password is right; kept is what it was compared with.
func (d *Desk) begin(ctx context.Context, s user.SignIn, kept, from, kind string) (out user.SignedIn, err error) {
	_, err = d.Store.Update(ctx, func(tx *store.Tx) (err error) {
		u, ok := store.Users.Read(tx, store.UserKey(s.Mail))
		if !ok || u.Service || u.Password != kept || !d.pass(&u, s.Code) {
			return wrong()
		}
		out, err = d.enter(tx, u, s.Account, from, kind)
		return err
	})
	return out, err
}

// enter makes the session of a user who has shown who they are, in one of their accounts ("": the first).
func (d *Desk) enter(tx *store.Tx, u store.User, account wire.Account, from, kind string) (out user.SignedIn, err error) {
	if len(u.Members) == 0 {
		return out, operator.NewProblem(operator.Denied, "session", "you are in no account", "ask an owner of one to take you in")
	}
	if account == "" {
		account = u.Members[0].Name
	}
	if u.Role(account) == "" {
		return out, operator.NewProblem(operator.Denied, "account", "you are not in account "+string(account), "sign in to one of: "+
			strings.Join(accountsOf(u), ", "))
	}
	raw := make([]byte, 24)
	rand.Read(raw) // never fails (crypto/rand)
	id := hex.EncodeToString(raw[:4])
	text := secret.Text(authz.SessionPrefix + id + "." + hex.EncodeToString(raw[4:]))
	now := d.now()
	u.Last = now
	u.Places = append(slices.DeleteFunc(slices.Clone(u.Places), func(p string) bool { return p == place(from) }), place(from))
	u.Places = u.Places[max(0, len(u.Places)-maxPlaces):]
	store.Users.Put(tx, store.UserKey(u.Mail), u)
	rec := store.Session{ID: id, User: u.ID, Account: account, Hash: authz.Hash(text), Kind: kind, From: from, Begun: now, Used: now}
	open := slices.SortedFunc(store.SessionsOf.Of(tx.View(), u.ID), func(a, b store.Session) int {
		return d.Tokens.LastUse(&a).Compare(d.Tokens.LastUse(&b))
	})
	for i := 0; i <= len(open)-maxSessions; i++ {
		store.Sessions.Delete(tx, open[i].Hash)
	}
	store.Sessions.Put(tx, rec.Hash, rec)
	out = user.SignedIn{UserSession: d.shownSession(rec, u, ""), Token: text}
	out.Current = true
	return out, nil
}

func accountsOf(u store.User) []string {
	out := make([]string, len(u.Members))
	for i, m := range u.Members {
		out[i] = string(m.Name)
	}
	return out
}

func (d *Desk) shownSession(s store.Session, u store.User, current string) user.UserSession {
	used := d.Tokens.LastUse(&s)
	return user.UserSession{ID: s.ID, Mail: u.Mail, Account: s.Account, Role: u.Role(s.Account), Kind: s.Kind, From: s.From, Begun: s.Begun,
		Used: used.Truncate(time.Minute), Ends: s.Ends(used).Truncate(time.Minute), Current: s.ID == current}
}

// Sessions are a caller's own, the newest first.
func (d *Desk) Sessions(w authz.Who) []user.UserSession {
	v := d.Store.View()
	out := []user.UserSession{}
	for u := range store.UsersOf.Of(v, w.User) {
		for s := range store.SessionsOf.Of(v, w.User) {
			if d.Now().Before(s.Ends(d.Tokens.LastUse(&s))) {
				out = append(out, d.shownSession(s, u, w.ID))
			}
		}
	}
	for u := range store.UsersOf.Of(v, w.User) {
		for a := range store.ActingOf.Of(v, w.User) {
			if d.Now().Before(a.Until) {
				out = append(out, actingSession(a, u))
			}
		}
	}
	slices.SortFunc(out, func(a, b user.UserSession) int { return b.Begun.Compare(a.Begun) })
	return out
}

// EndSession ends one session of a user, "current" being the caller's own.
func (d *Desk) EndSession(ctx context.Context, w authz.Who, id string) error {
	if id == "current" {
		id = w.ID
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		for s := range store.SessionsOf.Of(tx.View(), w.User) {
			if s.ID == id {
				store.Sessions.Delete(tx, s.Hash)
				return nil
			}
		}
		for a := range store.ActingOf.Of(tx.View(), w.User) {
			if a.ID == id {
				store.Actings.Delete(tx, a.Hash)
				return nil
			}
		}
		return operator.NewProblem(operator.NotFound, "sessions/"+id, "you have no such session", "GET /sessions lists them")
	})
	return err
}

// EndSessions ends all sessions of a user.
func (d *Desk) EndSessions(ctx context.Context, who string) error {
	return d.changeOf(ctx, who, func(tx *store.Tx, u *store.User) error { endSessions(tx, u.ID); return nil })
}

func endSessions(tx *store.Tx, id string) {
	for s := range store.SessionsOf.Of(tx.View(), id) {
		store.Sessions.Delete(tx, s.Hash)
	}
	for a := range store.ActingOf.Of(tx.View(), id) {
		store.Actings.Delete(tx, a.Hash)
	}
}
