package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// trashes puts an environment into the trash, or says why that can't be.
func trashes(tx *store.Tx, e *store.Environment, op store.Operation) error {
	there := 0
	for o := range store.EnvsOf.Of(tx.View(), string(e.Account.Owner())) {
		if o.InTrash() {
			there++
		}
	}
	if there >= operator.MaxTrash {
		return operator.NewProblem(operator.Exhausted, "environments/"+string(e.Spec.Name),
			fmt.Sprintf("the account has %d environments in the trash already", there),
			"empty it (hnctl env trash empty), or erase this one at once: hnctl env delete "+string(e.Spec.Name)+" --now")
	}
	e.Trash = &store.Trash{At: op.Created, Until: accounts.TrashUntil(tx, e.Account, op.Created), By: op.By, Want: e.Want}
	e.Want = store.WantStopped
	return nil
}

// restores brings an environment back out of the trash, or says why that can't be: it counts for all limits again.
func restores(tx *store.Tx, e *store.Environment) error {
	if err := accounts.AdmitRestored(tx, *e); err != nil {
		return err
	}
	e.Want, e.Trash = e.Trash.Want, nil
	return nil
}

// trashOver erases what has been in the trash for its time, as its owner would: also what became due while no orchestrator ran.
func (o *Ops) trashOver(ctx context.Context, w world.World, now time.Time) error {
	for e := range store.EnvsIn.Of(w.View, store.Trashed) {
		if now.Before(e.Trash.Until) {
			continue
		}
		// The revision makes sure that it is as it was seen: one that is brought back at this moment stays.
		_, err := o.Accept(ctx, Request{Kind: "env.delete", Env: e.Spec.Name, By: "orchestrator", Account: e.Account.Owner(),
			IfMatch: store.Envs.Revision(w.View, string(e.Spec.Name))})
		var p *operator.Problem
		switch {
		case err == nil:
			logging.Or(o.Log).Info("what was in the trash for its time is erased", logging.Env, string(e.Spec.Name))
		case !errors.As(err, &p): // a Problem says that it is not as it was any more
			return err
		}
	}
	return nil
}
