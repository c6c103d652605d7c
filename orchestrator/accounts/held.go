package accounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/orchestrator/shares"
	"hardnode.dev/orchestrator/store"
)

// lookEvery is how often accounts are looked at without a change of the store: days pass without one. Between two looks passes restFor
// times what one took, so that looking takes 5 % of a core at most, however often the store changes.
const (
	lookEvery = 10 * time.Second
	restFor   = 20
	burst     = 100 * time.Millisecond // changes come in bursts
)

// Run follows the states of accounts until ctx ends: trials end, environments of accounts that don't work are held, those of others let go,
// and what a closing account has is erased when its day has come. For the leader alone.
func (d *Desk) Run(ctx context.Context) error {
	for {
		v, began := d.Store.View(), time.Now()
		if err := d.step(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			logging.Or(d.Log).Error("the states of accounts can't be followed", logging.Err, err)
		}
		rest := min(lookEvery, max(burst, restFor*time.Since(began)))
		if !run.Wait(ctx, rest) || !changed(ctx, d.Store.View, v) {
			return nil
		}
	}
}

// changed waits until an account or an environment is another than in v, or lookEvery has passed; false: ctx ended.
func changed(ctx context.Context, view func() *store.View, v *store.View) bool {
	t := time.NewTimer(lookEvery)
	defer t.Stop()
	for {
		now := view()
		changes, ok := now.Since(v.Revision())
		if !ok || slices.ContainsFunc(changes, concerns) {
			return true
		}
		v = now
		select {
		case <-ctx.Done():
			return false
		case <-now.Over():
		case <-t.C:
			return true
		}
	}
}

// concerns tells whether a change may be one of what holds an environment.
func concerns(c store.Change) bool {
	return c.Kind == store.Accounts.Kind() || c.Kind == store.Envs.Kind()
}

// step brings all to where it should be now. Each environment is a transaction of its own: a step that was cut goes on with the next one.
func (d *Desk) step(ctx context.Context) error {
	ended, err := d.passed(ctx)
	for _, name := range ended {
		logging.Or(d.Log).Info("a trial ended: the account is suspended", "account", string(name))
	}
	errs := []error{err}
	v := d.Store.View()
	for _, e := range store.Envs.Refs(v) {
		if held, erase := due(v, e, d.now()); held != e.Held || erase && e.Want != store.WantDeleted {
			errs = append(errs, d.hold(ctx, e.Spec.Name))
		}
	}
	for _, a := range store.Accounts.Refs(v) {
		if a.State == account.Closing && !d.now().Before(a.Ends) && !owns(v, a.Name) {
			errs = append(errs, d.forget(ctx, a.Name))
		}
	}
	return errors.Join(errs...)
}

// due is why an environment is held now, "" if it isn't, and whether it is erased.
func due(v *store.View, e *store.Environment, now time.Time) (held string, erase bool) {
	if e.System || e.Account.Owner() == wire.AdminAccount {
		return "", false
	}
	rec := recordOf(v, e.Account)
	if rec.State.Works() {
		return "", false
	}
	held = fmt.Sprintf("account %s is %s", rec.Name, rec.State)
	if rec.Reason != "" {
		held += ": " + rec.Reason
	}
	return held, rec.State == account.Closing && !now.Before(rec.Ends)
}

// hold writes what is due of an environment. What is erased is deleted as its owner would: converge sees it through.
func (d *Desk) hold(ctx context.Context, name wire.EnvName) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		e, ok := store.Envs.Read(tx, string(name))
		if !ok {
			return nil
		}
		store.Accounts.Read(tx, string(e.Account.Owner()))
		held, erase := due(tx.View(), &e, d.now())
		e.Held = held
		if erase {
			e.Want = store.WantDeleted
		}
		store.Envs.Put(tx, string(name), e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("hold environment %s: %w", name, err)
	}
	return nil
}

// owns tells whether an account has an environment.
func owns(v *store.View, name wire.Account) bool {
	for range store.EnvsOf.Of(v, string(name)) {
		return true
	}
	return false
}

// forget removes the record of an account that has no environment any more, its tokens, who was in it, and who was invited.
func (d *Desk) forget(ctx context.Context, name wire.Account) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if rec, ok := store.Accounts.Read(tx, string(name)); !ok || rec.State != account.Closing || d.now().Before(rec.Ends) {
			return nil
		}
		for hash, t := range store.Tokens.Refs(tx.View()) {
			if t.Account == name {
				store.Tokens.Delete(tx, hash)
			}
		}
		for key, l := range store.Links.Refs(tx.View()) {
			if l.Account == name {
				store.Links.Delete(tx, key)
			}
		}
		for key, u := range store.Users.Refs(tx.View()) {
			if u.Role(name) != "" {
				leave(tx, key, name)
			}
		}
		shares.End(tx, name)
		store.Accounts.Delete(tx, string(name))
		return nil
	})
	if err == nil {
		logging.Or(d.Log).Info("a closed account is erased", "account", string(name))
	}
	return err
}

// leave takes a user out of an account that is erased. One who is in no other one is erased with it.
func leave(tx *store.Tx, key string, name wire.Account) {
	u, ok := store.Users.Read(tx, key)
	if !ok {
		return
	}
	u.Members = slices.DeleteFunc(slices.Clone(u.Members), func(m store.Member) bool { return m.Name == name })
	for s := range store.SessionsOf.Of(tx.View(), u.ID) {
		if s.Account == name || len(u.Members) == 0 {
			store.Sessions.Delete(tx, s.Hash)
		}
	}
	if len(u.Members) == 0 {
		for i := range store.IdentityOf.Of(tx.View(), u.ID) {
			store.Identities.Delete(tx, store.IdentityKey(i.Issuer, i.Subject))
		}
		for p := range store.PasskeysOf.Of(tx.View(), u.ID) {
			store.Passkeys.Delete(tx, store.PasskeyKey(p.Credential))
		}
		store.Users.Delete(tx, key)
		return
	}
	store.Users.Put(tx, key, u)
}

// passed suspends the accounts whose trial is over, and says which.
func (d *Desk) passed(ctx context.Context) (suspended []wire.Account, err error) {
	now := d.now()
	var ended []wire.Account
	for _, a := range store.Accounts.Refs(d.Store.View()) {
		if a.State == account.Trial && !now.Before(a.Ends) {
			ended = append(ended, a.Name)
		}
	}
	for _, name := range ended {
		done := false
		if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
			rec, ok := store.Accounts.Read(tx, string(name))
			if done = ok && rec.State == account.Trial && !now.Before(rec.Ends); done {
				why := "its trial ended on " + rec.Ends.Format(time.DateOnly)
				store.Accounts.Put(tx, string(name), moved(rec, account.Suspended, why, 0, now))
			}
			return nil
		}); err != nil {
			return suspended, fmt.Errorf("suspend account %s: %w", name, err)
		}
		if done {
			suspended = append(suspended, name)
		}
	}
	return suspended, nil
}
