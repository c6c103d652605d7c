// Package shares keeps which environments are shared with other accounts than their own.
//
// Owns: offers, their acceptance and end; the decision whether a share allows something now.
// In: what people of both accounts ask; in a transaction, that an account goes.
// Out: shares as each side reads them; Of and With, which the API and world let somebody in by; Transfer, by which ops gives an environment
// to another account.
// Never: gives a share that its environment's account did not offer and the other one did not accept; tells whether there is an account of
// a name, or whether it declined.
package shares

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

// Desk keeps shares. Errors of it are Problems.
type Desk struct {
	Store *store.Store
	Now   func() time.Time
	Log   *slog.Logger
}

func (d *Desk) now() time.Time { return d.Now().UTC().Truncate(time.Second) }

func noEnvironment(name wire.EnvName) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "environments/"+string(name), "there is no such environment", "see hnctl env list")
}

// mine is an environment that a caller's account may share.
func mine(tx *store.Tx, caller wire.Account, name wire.EnvName) (store.Environment, *operator.Problem) {
	e, ok := store.Envs.Read(tx, string(name))
	switch {
	case !ok, !caller.Sees(e.Account), e.Want == store.WantDeleted, e.InTrash():
		return e, noEnvironment(name)
	case e.System, e.Account.Owner() == wire.AdminAccount:
		return e, operator.NewProblem(operator.Denied, "environments/"+string(name),
			"it is of those who run the cluster: nothing of theirs is shared", "share an environment of another account")
	}
	return e, nil
}

// Offer offers an environment to another account. Nothing of that account is looked at, so that nothing of it can be learned.
func (d *Desk) Offer(ctx context.Context, caller wire.Account, name wire.EnvName, n share.NewShare, by string) (out share.Share,
	err error) {
	if err := share.ValidateRole(n.Role); err != nil {
		return out, operator.NewProblem(operator.Invalid, "role", err.Error(), "change it")
	}
	return d.offer(ctx, caller, name, n, by, "with", func(*store.Tx, store.Environment) error { return nil })
}

// Transfer is Offer of an environment to be the other account's own. fit says in the transaction why it can't change hands as it is.
func (d *Desk) Transfer(ctx context.Context, caller wire.Account, name wire.EnvName, to wire.Account, by string,
	fit func(*store.Tx, store.Environment) error) (share.Share, error) {
	return d.offer(ctx, caller, name, share.NewShare{With: to, Role: user.Owner}, by, "to", fit)
}

// offer makes an offer, unless fit says why not. field is what names the other account in the request.
func (d *Desk) offer(ctx context.Context, caller wire.Account, name wire.EnvName, n share.NewShare, by, field string,
	fit func(*store.Tx, store.Environment) error) (out share.Share, err error) {
	object := "environments/" + string(name) + "/shares/" + string(n.With)
	if err := n.With.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, field, err.Error(), "give the name of an account")
	}
	var rec store.Share
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		e, p := mine(tx, caller, name)
		switch {
		case p != nil:
			return p
		case n.With == e.Account.Owner():
			return operator.NewProblem(operator.Invalid, field, "it is the account of the environment", "give another account")
		case n.With == wire.AdminAccount && n.Role == user.Owner:
			return operator.NewProblem(operator.Invalid, field, "it is the account of those who run the cluster, which takes nothing of "+
				"others", "give another account")
		case n.With == wire.AdminAccount:
			return operator.NewProblem(operator.Invalid, field, "those who run the cluster see every environment", "give another account")
		}
		if err := fit(tx, e); err != nil {
			return err
		}
		key, now := store.ShareKey(name, n.With), d.now()
		if had, there := store.Shares.Read(tx, key); there && !Dead(tx.View(), &had, now) {
			return operator.NewProblem(operator.Conflict, object, "it is shared with that account, or offered to it, already",
				"end that first: hnctl env share remove "+string(name)+" "+string(n.With))
		}
		authz.Counted(tx, e.Account)
		has := 0
		for s := range store.SharesOf.Of(tx.View(), string(name)) {
			if Dead(tx.View(), &s, now) {
				store.Shares.Delete(tx, store.ShareKey(s.Env, s.With))
				continue
			}
			if s.Role == user.Owner && n.Role == user.Owner {
				return operator.NewProblem(operator.Conflict, object, "it is offered to account "+string(s.With)+" already, to be its own",
					"take that back first: hnctl env transfer "+string(name)+" --cancel")
			}
			has++
		}
		if has >= share.Most {
			return operator.NewProblem(operator.Exhausted, object, fmt.Sprintf("limit shares: an environment may be shared with %d "+
				"accounts, offers among them", share.Most), "end one that is not needed: hnctl env share list "+string(name))
		}
		who := by
		if e.Account.Owner() != caller.Owner() {
			who = "those who run the cluster"
		}
		rec = store.Share{Env: name, Made: e.Created, Account: e.Account.Owner(), With: n.With, Role: n.Role, Created: now, By: who,
			Until: now.Add(share.OfferFor)}
		store.Shares.Put(tx, key, rec)
		return nil
	})
	if err != nil {
		return out, err
	}
	return given(d.Store.View(), rec), nil
}

// given is a share as the environment's account reads it: an offer that was declined is one that was not accepted.
func given(v *store.View, s store.Share) share.Share {
	out := share.Share{Env: s.Env, Account: s.Account, With: s.With, Role: s.Role, State: share.Offered, Created: s.Created, By: s.By,
		Until: s.Until}
	if !s.Since.IsZero() {
		out.State, out.Since, out.Until, out.Idle = share.Shared, s.Since, time.Time{}, Idle(v, &s)
	}
	return out
}

// taken is a share as the account reads it that it is for.
func taken(v *store.View, s store.Share) share.Share {
	out := given(v, s)
	out.By = ""
	return out
}

// Given is with whom an environment is shared, by account.
func (d *Desk) Given(caller wire.Account, name wire.EnvName) ([]share.Share, error) {
	v := d.Store.View()
	e := store.Envs.Find(v, string(name))
	if e == nil || !caller.Sees(e.Account) {
		return nil, noEnvironment(name)
	}
	out := []share.Share{}
	for s := range store.SharesOf.Of(v, string(name)) {
		if !Dead(v, &s, d.now()) {
			out = append(out, given(v, s))
		}
	}
	slices.SortFunc(out, func(a, b share.Share) int { return strings.Compare(string(a.With), string(b.With)) })
	return out, nil
}

// Taken is what is shared with an account and offered to it, by environment.
func (d *Desk) Taken(caller wire.Account) []share.Share {
	v := d.Store.View()
	out := []share.Share{}
	for s := range store.SharesWith.Of(v, string(caller)) {
		if !s.Declined && !Dead(v, &s, d.now()) {
			out = append(out, taken(v, s))
		}
	}
	slices.SortFunc(out, func(a, b share.Share) int { return strings.Compare(string(a.Env), string(b.Env)) })
	return out
}

// Accepted tells whether an environment of a caller's is shared with an account that accepted it.
func (d *Desk) Accepted(caller wire.Account, name wire.EnvName, with wire.Account) bool {
	v := d.Store.View()
	s := store.Shares.Find(v, store.ShareKey(name, with))
	return s != nil && caller.Sees(s.Account) && !s.Since.IsZero() && !Dead(v, s, d.now())
}

// Remove ends a share, or takes an offer back, for the environment's account.
func (d *Desk) Remove(ctx context.Context, caller wire.Account, name wire.EnvName, with wire.Account) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, p := mine(tx, caller, name); p != nil {
			return p
		}
		s, ok := store.Shares.Read(tx, store.ShareKey(name, with))
		if !ok || Dead(tx.View(), &s, d.now()) {
			return operator.NewProblem(operator.NotFound, "environments/"+string(name)+"/shares/"+string(with),
				"the environment is not shared with that account", "see hnctl env share list "+string(name))
		}
		store.Shares.Delete(tx, store.ShareKey(name, with))
		return nil
	})
	return err
}

func noShare(name wire.EnvName) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "shares/"+string(name),
		"no environment of that name is shared with you or offered to you", "see hnctl share list")
}

// own is what is shared with a caller's account, or offered to it. Every other name is answered alike.
func own(tx *store.Tx, caller wire.Account, name wire.EnvName, now time.Time) (store.Share, *operator.Problem) {
	s, ok := store.Shares.Read(tx, store.ShareKey(name, caller))
	store.Envs.Read(tx, string(name))
	if !ok || s.Env != name || s.With != caller || s.Declined || Dead(tx.View(), &s, now) {
		return s, noShare(name)
	}
	return s, nil
}

// Transfer is, in a transaction, the offer by which an environment is to be a caller's account's own. There being none, or one that shares
// it, is a Problem; so is that an account of the two may change nothing now.
func Transfer(tx *store.Tx, caller wire.Account, name wire.EnvName, now time.Time) (store.Share, error) {
	s, p := own(tx, caller, name, now)
	switch {
	case p != nil:
		return s, p
	case s.Role != user.Owner:
		return s, operator.NewProblem(operator.Conflict, "shares/"+string(name), "it is not offered to be this account's own any more",
			"see hnctl share list")
	}
	store.Accounts.Read(tx, string(s.Account))
	store.Accounts.Read(tx, string(s.With))
	if why := Idle(tx.View(), &s); why != "" {
		return s, operator.NewProblem(operator.Conflict, "shares/"+string(name), why+": nothing of it changes hands meanwhile",
			"ask those who run the cluster")
	}
	return s, nil
}

// Transferred is an offer as the account reads it that accepted it, and whose own the environment is now.
func Transferred(s store.Share, now time.Time) share.Share {
	return share.Share{Env: s.Env, Account: s.Account, With: s.With, Role: s.Role, State: share.Transferred, Created: s.Created, Since: now}
}

// Accept takes an offer, for the account it was made to; once more is nothing.
func (d *Desk) Accept(ctx context.Context, caller wire.Account, name wire.EnvName) (out share.Share, err error) {
	var rec store.Share
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		s, p := own(tx, caller, name, d.now())
		switch {
		case p != nil:
			return p
		case s.Role == user.Owner:
			return operator.NewProblem(operator.Conflict, "shares/"+string(name), "it is offered to be this account's own now",
				"look at the offer, and accept again: hnctl share list")
		case s.Since.IsZero():
			s.Since = d.now()
			store.Shares.Put(tx, store.ShareKey(name, caller), s)
		}
		rec = s
		return nil
	})
	if err != nil {
		return out, err
	}
	return taken(d.Store.View(), rec), nil
}

// Leave gives back what is shared with an account, or declines what is offered to it, which the environment's account is not told.
func (d *Desk) Leave(ctx context.Context, caller wire.Account, name wire.EnvName) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		s, p := own(tx, caller, name, d.now())
		if p != nil {
			return p
		}
		if !s.Since.IsZero() {
			store.Shares.Delete(tx, store.ShareKey(name, caller))
			return nil
		}
		s.Declined = true
		store.Shares.Put(tx, store.ShareKey(name, caller), s)
		return nil
	})
	return err
}

// Offers tells whether an environment is offered to a caller's account to be its own.
func (d *Desk) Offers(caller wire.Account, name wire.EnvName) bool {
	v := d.Store.View()
	s := store.Shares.Find(v, store.ShareKey(name, caller))
	return s != nil && s.With == caller && s.Role == user.Owner && !s.Declined && !Dead(v, s, d.now())
}

// From is whose an environment is that is shared with an account or offered to it, and whether it was accepted; "": nothing is.
func (d *Desk) From(caller wire.Account, name wire.EnvName) (owner wire.Account, accepted bool) {
	v := d.Store.View()
	s := store.Shares.Find(v, store.ShareKey(name, caller))
	if s == nil || s.With != caller || s.Declined || Dead(v, s, d.now()) {
		return "", false
	}
	return s.Account, !s.Since.IsZero()
}

// sweepEvery is how often what is over for good is removed. It allows nothing from the moment on in which it is.
const sweepEvery = time.Minute

// Run removes what is over for good, until ctx ends. For the leader alone.
func (d *Desk) Run(ctx context.Context) error {
	for run.Wait(ctx, sweepEvery) {
		if err := d.Sweep(ctx); err != nil && ctx.Err() == nil {
			logging.Or(d.Log).Error("ended shares can't be removed", logging.Err, err)
		}
	}
	return nil
}

// Sweep removes what is over for good.
func (d *Desk) Sweep(ctx context.Context) error {
	v := d.Store.View()
	var found []string
	for key, s := range store.Shares.Refs(v) {
		if Dead(v, s, d.now()) {
			found = append(found, key)
		}
	}
	if len(found) == 0 {
		return nil
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		for _, key := range found[:min(len(found), 1000)] {
			s, ok := store.Shares.Read(tx, key)
			store.Envs.Read(tx, string(s.Env))
			if ok && Dead(tx.View(), &s, d.now()) {
				store.Shares.Delete(tx, key)
			}
		}
		return nil
	})
	return err
}
