package authz

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// SessionPrefix is what a session's token begins with.
const SessionPrefix = "hns."

// uses are when sessions were used that the store has not been told of.
type uses struct {
	sync.Mutex
	at map[string]time.Time // by hash
}

// session is who holds a session: what they may do is what their role in its account is now.
func (t *Tokens) session(v *store.View, hash string) (Who, *operator.Problem) {
	s := store.Sessions.Find(v, hash)
	if s == nil {
		return t.acting(v, hash)
	}
	if now := t.Now(); !now.Before(s.Ends(t.used(s))) {
		return ended("the session ended")
	}
	for u := range store.UsersOf.Of(v, s.User) {
		role := u.Role(s.Account)
		if u.Service {
			return ended("a service has no sessions")
		}
		if role == "" {
			return ended("the user is not in account " + string(s.Account) + " any more")
		}
		return Who{ID: s.ID, Name: u.Mail, Account: s.Account, Scopes: role.Scopes(), Expires: s.Begun.Add(store.SessionLongest),
			User: u.ID, Role: string(role), hash: hash, Rates: ratesOf(v, s.Account, account.APIRate{})}, nil
	}
	return ended("the user is not there any more")
}

// acting is who acts as a user: as long as they run the cluster by what they began it with, the time is not over, and the user does not run
// it too. They do no more than a developer: what is an owner's, the account's people and tokens above all, nobody does for them.
func (t *Tokens) acting(v *store.View, hash string) (Who, *operator.Problem) {
	a := store.Actings.Find(v, hash)
	if a == nil {
		return unknown("the token is not known; it may have been revoked")
	}
	if !t.Now().Before(a.Until) {
		return ended("the time to act as the user is over")
	}
	holder, p := t.CheckHash(a.Holder)
	if p != nil || holder.Acting != nil || holder.RequireCluster("") != nil || holder.Require(Admin, "") != nil {
		return ended("who acts as the user does not run the cluster any more, or what they began it with has ended")
	}
	for u := range store.UsersOf.Of(v, a.User) {
		role := u.Role(a.Account)
		if u.Service || role == "" || u.Role(wire.AdminAccount) != "" {
			break
		}
		return Who{ID: a.ID, Name: u.Mail, Account: a.Account, Scopes: bounded(role.Scopes(), user.Developer.Scopes()), Expires: a.Until,
			User: u.ID, Role: string(role), hash: hash, Rates: ratesOf(v, a.Account, account.APIRate{}),
			Acting: &user.ActingAs{By: a.By, Reason: a.Reason, Until: a.Until}}, nil
	}
	return ended("nobody acts as this user in account " + string(a.Account))
}

func ended(reason string) (Who, *operator.Problem) {
	p := operator.NewProblem(operator.Denied, "token", reason, "sign in again: POST /sessions")
	p.Status, p.Title = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized)
	return Who{}, p
}

// used is when a session was used last.
func (t *Tokens) used(s *store.Session) time.Time {
	t.uses.Lock()
	defer t.uses.Unlock()
	if at := t.uses.at[s.Hash]; at.After(s.Used) {
		return at
	}
	return s.Used
}

// Used notes that a person used a session, now. It is nothing to a token.
func (t *Tokens) Used(w Who) {
	if w.User == "" {
		return
	}
	t.uses.Lock()
	defer t.uses.Unlock()
	if t.uses.at == nil {
		t.uses.at = map[string]time.Time{}
	}
	t.uses.at[w.hash] = t.Now().UTC()
}

// LastUse is when a session was used last, whether the store has been told or not.
func (t *Tokens) LastUse(s *store.Session) time.Time { return t.used(s) }

// KeepUses tells the store when sessions were used, and removes those that have ended.
func (t *Tokens) KeepUses(ctx context.Context) error {
	now := t.Now().UTC()
	t.uses.Lock()
	at := maps.Clone(t.uses.at)
	t.uses.Unlock()
	changed := map[string]time.Time{}
	for hash, s := range store.Sessions.Refs(t.Store.View()) {
		used := s.Used
		if at[hash].After(used) {
			used = at[hash]
		}
		if !used.Equal(s.Used) || !now.Before(s.Ends(used)) {
			changed[hash] = used
		}
	}
	_, err := t.Store.Update(ctx, func(tx *store.Tx) error {
		for hash, a := range store.Actings.Refs(tx.View()) {
			if !now.Before(a.Until) {
				store.Actings.Delete(tx, hash)
			}
		}
		for hash, used := range changed {
			s, ok := store.Sessions.Read(tx, hash)
			switch {
			case !ok:
			case !now.Before(s.Ends(used)):
				store.Sessions.Delete(tx, hash)
			case used.After(s.Used):
				s.Used = used
				store.Sessions.Put(tx, hash, s)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.uses.Lock()
	defer t.uses.Unlock()
	for hash, used := range at { // what was used meanwhile is told with the next call
		if t.uses.at[hash].Equal(used) {
			delete(t.uses.at, hash)
		}
	}
	return nil
}
