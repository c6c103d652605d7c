package ops

import (
	"context"
	"errors"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// failures looks at what failed creations left, all of it or what is due: the mark goes when all of it runs after all, and the environment
// after a week.
func (o *Ops) failures(ctx context.Context, w world.World, now time.Time, all bool) error {
	for e := range store.EnvsIn.Of(w.View, store.Failed) {
		name := e.Spec.Name
		if !all && !o.looks.due[name] || e.Want == store.WantDeleted || busy(w.View, e) {
			continue
		}
		what, err := "", error(nil)
		switch end := e.Failed.Removal(); {
		case progress.Mended(w.Facts(e), nodesOf(w, name), now):
			what = "a creation that had failed runs now"
			_, err = o.changeFailed(ctx, name, e.Account.Owner(), func(store.Failure) *store.Failure { return nil })
		case !end.IsZero() && !now.Before(end) && progress.SeenBroken(w.Facts(e)):
			what = "what a failed creation left is removed"
			// The revision makes sure that it is as it was seen: a keep or a start at this moment wins.
			_, err = o.Accept(ctx,
				Request{Kind: "env.delete", Env: name, By: "orchestrator", Account: e.Account.Owner(),
					IfMatch: store.Envs.Revision(w.View, string(name))})
		default:
			continue
		}
		var p *operator.Problem
		switch {
		case err == nil:
			logging.Or(o.Log).Info(what, logging.Env, string(name), logging.Reason, e.Failed.Reason)
		case !errors.As(err, &p): // a Problem says that it is not as it was any more
			return err
		}
	}
	return nil
}

func busy(v *store.View, e store.Environment) bool {
	op, ok := store.Operations.Get(v, string(e.Operation))
	return ok && !op.State.Final()
}

// Keep makes what a failed creation left stay until somebody deletes it. Account is the caller's.
func (o *Ops) Keep(ctx context.Context, name wire.EnvName, account wire.Account) error {
	found, err := o.changeFailed(ctx, name, account, func(f store.Failure) *store.Failure { f.Kept = true; return &f })
	if err == nil && !found {
		return operator.NewProblem(operator.Conflict, "environments/"+string(name), "its creation did not fail: it stays as it is",
			"nothing is to be done")
	}
	return err
}

// changeFailed changes the mark of a failed creation for a caller of an account; false when there is none.
func (o *Ops) changeFailed(ctx context.Context, name wire.EnvName, account wire.Account,
	change func(store.Failure) *store.Failure) (found bool, err error) {
	_, err = o.Store.Update(ctx, func(tx *store.Tx) error {
		e, ok := store.Envs.Read(tx, string(name))
		object := "environments/" + string(name)
		switch {
		case !ok || !account.Sees(e.Account):
			return operator.NewProblem(operator.NotFound, object, "there is no such environment", "see hnctl env list")
		case e.Want == store.WantDeleted:
			return operator.NewProblem(operator.Conflict, object, "it is being deleted", "create it again")
		}
		if found = e.Failed != nil; found {
			e.Failed = change(*e.Failed)
			store.Envs.Put(tx, string(name), e)
		}
		return nil
	})
	return found, err
}
