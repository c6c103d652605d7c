package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/orchestrator/store"
)

// lookEvery is how often accounts are looked at without a change of the store: days pass without one.
const lookEvery = 10 * time.Second

// Run follows the states of accounts until ctx ends: trials end, environments of accounts that don't work are held, those of others let go,
// and what a closing account has is erased when its day has come. For the leader alone.
func (d *Desk) Run(ctx context.Context) error {
	for {
		over := d.Store.View().Over()
		if err := d.step(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			logging.Or(d.Log).Error("the states of accounts can't be followed", logging.Err, err)
		}
		t := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-over:
		case <-t.C:
		}
		t.Stop()
		if !run.Wait(ctx, 100*time.Millisecond) { // changes come in bursts
			return nil
		}
	}
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
	for _, e := range store.Envs.Refs(v) {
		if e.Account.Owner() == name {
			return true
		}
	}
	return false
}

// forget removes the record of an account that has no environment any more, and its tokens.
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
		store.Accounts.Delete(tx, string(name))
		return nil
	})
	if err == nil {
		logging.Or(d.Log).Info("a closed account is erased", "account", string(name))
	}
	return err
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
