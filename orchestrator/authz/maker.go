package authz

import (
	"context"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// KeptOver is how long a token that ended with its maker is kept, to be read of.
const KeptOver = 30 * 24 * time.Hour

// Setup is the maker of tokens that come with the cluster.
func Setup() *store.Maker { return &store.Maker{Kind: operator.BySetup} }

// MakerOf is who makes a token or a link, with a transaction that fails when they may not any more. What a token of a user's makes is that
// user's too: it would outlive them else.
func MakerOf(tx *store.Tx, by Who) (*store.Maker, *operator.Problem) {
	if by.Acting != nil { // it would outlive that
		return nil, operator.NewProblem(operator.Denied, "account", by.Acting.By+" acts as "+by.Name+", and makes nothing that lasts",
			"have the user do it")
	}
	m := &store.Maker{Kind: operator.ByToken, ID: by.ID, Name: by.Name, Account: by.Account.Owner()}
	if by.User != "" {
		m.Kind, m.ID, m.User = operator.ByUser, by.User, by.User
	} else {
		rec, ok := store.Tokens.Read(tx, by.hash)
		if !ok || rec.Over != nil {
			_, p := unknown("the token is not known; it may have been revoked")
			return nil, p
		}
		if of := rec.Maker; of != nil && of.User != "" {
			m.User, m.Account = of.User, of.Account
		}
	}
	if m.User == "" {
		return m, nil
	}
	for seen := range store.UsersOf.Of(tx.View(), m.User) {
		u, ok := store.Users.Read(tx, store.UserKey(seen.Mail))
		if ok && u.ID == m.User && slices.Contains(u.Role(m.Account).Scopes(), string(Admin)) {
			u.Made++
			store.Users.Put(tx, store.UserKey(u.Mail), u)
			return m, nil
		}
	}
	return nil, operator.NewProblem(operator.Denied, "account", "it is for owners of account "+string(m.Account),
		"ask an owner of the account")
}

// Stands tells whether what somebody made for others counts: its maker is an owner, as they were.
func Stands(v *store.View, m *store.Maker) bool {
	if m == nil || m.User == "" {
		return true
	}
	for u := range store.UsersOf.Of(v, m.User) {
		return slices.Contains(u.Role(m.Account).Scopes(), string(Admin))
	}
	return false
}

// standing is why a token has ended with its maker, or "", why it may do less than it is for, or "", and what it may do now.
func standing(v *store.View, t *store.Token) (over, limited string, scopes []string) {
	scopes = t.Scopes
	if t.Narrow != nil {
		scopes = t.Narrow.Scopes
	}
	switch {
	case t.Over != nil:
		return t.Over.Why, "", nil
	case t.Maker == nil || t.Maker.User == "":
		return "", "", scopes
	}
	for u := range store.UsersOf.Of(v, t.Maker.User) {
		role := u.Role(t.Maker.Account)
		if role == "" {
			return notIn(t.Maker.Account), "", nil
		}
		may := bounded(scopes, role.Scopes())
		if !slices.Equal(may, scopes) {
			limited = fmt.Sprintf("who made it is %s of account %s", role, t.Maker.Account)
		}
		return "", limited, may
	}
	return gone, "", nil
}

// gone is why a token ended whose user, or service, was removed.
const gone = "who made it is no user any more"

func notIn(account wire.Account) string {
	return "who made it is not in account " + string(account) + " any more"
}

// bounded is what of a token's scopes a role's leave. Each of a token's includes read, but for metrics (Require).
func bounded(scopes, role []string) []string {
	if slices.Contains(role, string(Admin)) {
		return scopes
	}
	out := []string{}
	for _, s := range scopes {
		switch {
		case s == string(Admin):
			return role
		case slices.Contains(role, s):
			out = append(out, s)
		case s != string(Metrics) && slices.Contains(role, string(Read)):
			out = append(out, string(Read))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Both is what of a caller's scopes a role of theirs elsewhere leaves.
func Both(scopes, role []string) []string { return bounded(scopes, role) }

// lessened tells whether a caller may do less than before.
func lessened(before, now []string) bool {
	return !slices.Contains(now, string(Admin)) && slices.ContainsFunc(before, func(s string) bool { return !slices.Contains(now, s) })
}

// stays tells whether a token can make others for good.
func stays(t store.Token) bool {
	return slices.Contains(t.Scopes, string(Admin)) && t.Expires.IsZero() && (t.Maker == nil || t.Maker.User == "")
}

// EndTokens ends what a user made in an account that they leave ("": in all), with the transaction in which they do, and says what. Who
// puts them in again has them make others.
func EndTokens(tx *store.Tx, user string, account wire.Account, now time.Time) (ended []store.Token) {
	why := gone
	if account != "" {
		why = notIn(account)
	}
	for seen := range store.TokensOf.Of(tx.View(), user) {
		if account != "" && seen.Maker.Account != account || seen.Over != nil {
			continue
		}
		if rec, ok := store.Tokens.Read(tx, seen.Hash); ok && rec.Over == nil {
			rec = overAt(rec, why, now)
			store.Tokens.Put(tx, rec.Hash, rec)
			ended = append(ended, rec)
		}
	}
	return ended
}

// EndIn takes an environment out of the tokens of its account that are for some environments only, with the transaction by which it is no
// more that account's: it would be theirs again if it came back. Those that are for no other one end, for the reason given, and are
// returned.
func EndIn(tx *store.Tx, e store.Environment, why string, now time.Time) (ended []store.Token) {
	is := func(n wire.EnvName) bool { return n == e.Spec.Name }
	for seen := range store.TokensIn.Of(tx.View(), string(e.Account.Owner())) {
		if seen.Narrow == nil || !slices.ContainsFunc(seen.Narrow.Envs, is) {
			continue
		}
		rec, ok := store.Tokens.Read(tx, seen.Hash)
		if !ok || rec.Narrow == nil {
			continue
		}
		narrow := *rec.Narrow
		if narrow.Envs = slices.DeleteFunc(slices.Clone(narrow.Envs), is); len(narrow.Envs) > 0 {
			rec.Narrow = &narrow
		} else {
			rec = overAt(rec, why, now)
			ended = append(ended, rec)
		}
		store.Tokens.Put(tx, rec.Hash, rec)
	}
	return ended
}

func overAt(t store.Token, why string, now time.Time) store.Token {
	had := store.Narrow{Scopes: t.Scopes}
	if t.Narrow != nil {
		had = *t.Narrow
	}
	t.Over, t.Scopes, t.Narrow = &store.TokenOver{At: now.UTC().Truncate(time.Second), Why: why, Had: had}, []string{}, nil
	return t
}

// Sweep forgets tokens that ended long ago, and has those on record as ended whose maker left while another version of the orchestrator was
// at work, which it says.
func (t *Tokens) Sweep(ctx context.Context) (ended []store.Token, err error) {
	v, now := t.Store.View(), t.Now()
	var found []string
	for hash, r := range store.Tokens.Refs(v) {
		if over, _, _ := standing(v, r); over != "" && (r.Over == nil || now.Sub(r.Over.At) >= KeptOver) {
			found = append(found, hash)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	_, err = t.Store.Update(ctx, func(tx *store.Tx) error {
		ended = nil
		for _, hash := range found[:min(len(found), 1000)] {
			r, ok := store.Tokens.Read(tx, hash)
			over, _, _ := standing(tx.View(), &r)
			switch {
			case !ok || over == "":
			case r.Over != nil:
				store.Tokens.Delete(tx, hash)
			default:
				r = overAt(r, over, now)
				store.Tokens.Put(tx, hash, r)
				ended = append(ended, r)
			}
		}
		return nil
	})
	return ended, err
}

// shown is a token as a caller's account reads it: of another account's people it learns nothing.
func shown(v *store.View, caller wire.Account, r *store.Token) operator.Token {
	t := operator.Token{ID: r.ID, Name: r.Name, Account: r.Account, Scopes: r.Scopes, Created: r.Created, Expires: r.Expires}
	of := r.Narrow
	if r.Over != nil {
		t.Ended, of = r.Over.At, &r.Over.Had
	}
	if of != nil {
		t.Scopes, t.Environments = of.Scopes, of.Envs
	}
	if t.Ended.IsZero() {
		t.Rate = ratesOf(v, r.Account, r.Rate).Token
	}
	over, limited, _ := standing(v, r)
	if t.Reason = over; over == "" {
		t.Reason = limited
	}
	if m := r.Maker; m != nil {
		t.Maker = &operator.TokenMaker{Kind: m.Kind, ID: m.ID, Name: m.Name, User: m.User}
		if m.Kind != operator.BySetup && !caller.Sees(m.Account) {
			t.Maker = &operator.TokenMaker{Kind: operator.ByCluster}
		}
	}
	return t
}
