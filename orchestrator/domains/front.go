package domains

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Front is how an environment's site is served, for a caller of an account. Errors are Problems.
func (d *Desk) Front(env wire.EnvName, account wire.Account) (front.Settings, error) {
	v := d.Store.View()
	e, there := store.Envs.Get(v, string(env))
	if !there || !account.Sees(e.Account) {
		return front.Settings{}, operator.NewProblem(operator.NotFound, "environments/"+string(env), "there is no such environment",
			"see hnctl env list")
	}
	if rec, has := store.Fronts.Get(v, string(env)); has && rec.Since.Equal(e.Created) {
		return rec.Settings, nil
	}
	return front.Settings{}, nil
}

// SetFront says how an environment's site is served from now on, all of it, if what was before is what match says (Settings.Matches).
// Errors are Problems.
func (d *Desk) SetFront(ctx context.Context, env wire.EnvName, account wire.Account, s front.Settings, match string) error {
	if err := s.Validate(); err != nil {
		return operator.NewProblem(operator.Invalid, "environments/"+string(env)+"/route", err.Error(), "correct it")
	}
	return d.changeFront(ctx, env, account, func(rec *store.Front) error {
		if !rec.Settings.Matches(match) {
			p := operator.NewProblem(operator.Conflict, "environments/"+string(env)+"/route",
				fmt.Sprintf("somebody else has changed it: its ETag is %s now, If-Match says %s", rec.Settings.Tag(), match),
				"read it again and repeat")
			p.Status = 412
			return p
		}
		if rec.Settings = s; !s.Maintenance {
			rec.Pass = nil
		}
		return nil
	})
}

// Bypass makes what lets its bearer in during the maintenance that is on now, in place of what did before. Errors are Problems.
func (d *Desk) Bypass(ctx context.Context, env wire.EnvName, account wire.Account) (out operator.Bypass, err error) {
	pass := rand.Text()
	sum := sha256.Sum256([]byte(pass))
	err = d.changeFront(ctx, env, account, func(rec *store.Front) error {
		if !rec.Settings.Maintenance {
			return operator.NewProblem(operator.Conflict, "environments/"+string(env)+"/route", "maintenance is off: everybody is let in",
				"turn it on first: hnctl env route set "+string(env)+" --maintenance")
		}
		rec.Pass = sum[:]
		return nil
	})
	if err != nil {
		return out, err
	}
	name := own(d.Store.View(), env)
	return operator.Bypass{Path: secret.Text(front.BypassPath + pass), Name: name}, nil
}

// changeFront changes the record of an environment, which it makes if there is none.
func (d *Desk) changeFront(ctx context.Context, env wire.EnvName, account wire.Account, f func(*store.Front) error) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		e, err := environment(tx.View(), env, account)
		if err != nil {
			return err
		}
		store.Envs.Read(tx, string(env)) // so that it has that name still
		rec, has := store.Fronts.Read(tx, string(env))
		if !has || !rec.Since.Equal(e.Created) {
			rec = store.Front{Env: env, Since: e.Created}
		}
		if err := f(&rec); err != nil {
			return err
		}
		rec.At = d.Now().UTC()
		store.Fronts.Put(tx, string(env), rec)
		return nil
	})
	return err
}
