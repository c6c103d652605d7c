package shares

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// Dead tells whether a share is over for good: nobody sees it any more. Its environment went, to nobody or to another account, or it is an
// offer that nobody accepted in time.
func Dead(v *store.View, s *store.Share, now time.Time) bool {
	e := store.Envs.Find(v, string(s.Env))
	switch {
	case e == nil, e.System, e.Want == store.WantDeleted, e.InTrash(), !e.Created.Equal(s.Made), e.Account.Owner() != s.Account:
		return true
	case s.Account.Owner() == wire.AdminAccount, s.With.Owner() == wire.AdminAccount, s.With == s.Account:
		return true // Offer makes none of these
	case s.Role == user.Owner:
		if !s.Since.IsZero() {
			return true // Accept makes none of these either
		}
	case share.ValidateRole(s.Role) != nil:
		return true
	}
	return s.Since.IsZero() && !now.Before(s.Until)
}

// Idle is why a share that was accepted allows nothing now, "" where it allows what its role does.
func Idle(v *store.View, s *store.Share) string {
	for _, name := range []wire.Account{s.Account, s.With} {
		if st := stateOf(v, name); !st.Works() {
			return fmt.Sprintf("account %s is %s", name, st)
		}
	}
	return ""
}

// stateOf is the state of an account; one without a record, that came with a token, is active.
func stateOf(v *store.View, name wire.Account) account.State {
	if a := store.Accounts.Find(v, string(name)); a != nil {
		return a.State
	}
	return account.Active
}

// counts tells whether a share allows something now.
func counts(v *store.View, s *store.Share) bool {
	return !s.Since.IsZero() && !s.Declined && s.Role != user.Owner && Idle(v, s) == "" && !Dead(v, s, s.Until)
}

// Of is the share by which an environment is shared with an account, now; nil: it isn't.
func Of(v *store.View, env wire.EnvName, with wire.Account) *store.Share {
	if with == "" {
		return nil
	}
	if s := store.Shares.Find(v, store.ShareKey(env, with)); s != nil && s.Env == env && s.With == with && counts(v, s) {
		return s
	}
	return nil
}

// With is all that is shared with an account, now, by environment.
func With(v *store.View, with wire.Account) map[wire.EnvName]*store.Share {
	out := map[wire.EnvName]*store.Share{}
	if with == "" {
		return out
	}
	for s := range store.SharesWith.Of(v, string(with)) {
		if counts(v, &s) {
			out[s.Env] = &s
		}
	}
	return out
}

// Holds is nil in a transaction in which a share allows what it did, and has the transaction fail when it ends meanwhile.
func Holds(tx *store.Tx, env wire.EnvName, with wire.Account, role string) bool {
	store.Shares.Read(tx, store.ShareKey(env, with))
	store.Envs.Read(tx, string(env))
	s := Of(tx.View(), env, with)
	if s == nil || string(s.Role) != role {
		return false
	}
	store.Accounts.Read(tx, string(s.Account))
	store.Accounts.Read(tx, string(s.With))
	return counts(tx.View(), s)
}

// Renamed gives what an environment is shared by, and offers of it, to the name that it gets with the same transaction.
func Renamed(tx *store.Tx, e store.Environment, to wire.EnvName) {
	for seen := range store.SharesOf.Of(tx.View(), string(e.Spec.Name)) {
		s, there := store.Shares.Read(tx, store.ShareKey(seen.Env, seen.With))
		if !there {
			continue
		}
		store.Shares.Delete(tx, store.ShareKey(seen.Env, seen.With))
		if s.Made.Equal(e.Created) {
			s.Env = to
			store.Shares.Put(tx, store.ShareKey(to, s.With), s)
		}
	}
}

// EndAll ends all that an environment is shared by, and all offers of it, with the transaction by which it is another account's.
func EndAll(tx *store.Tx, e store.Environment) {
	for seen := range store.SharesOf.Of(tx.View(), string(e.Spec.Name)) {
		store.Shares.Delete(tx, store.ShareKey(seen.Env, seen.With))
	}
}

// End ends what an account shares and what is shared with it, with a transaction: it is erased, or another one of its name begins.
func End(tx *store.Tx, name wire.Account) {
	for key, s := range store.Shares.Refs(tx.View()) {
		if s.Account == name || s.With == name {
			store.Shares.Delete(tx, key)
		}
	}
}
