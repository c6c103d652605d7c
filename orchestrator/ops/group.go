package ops

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
)

// SetGroup puts an environment into a group of its account, for a caller of an account: hosts keep it from the others a moment later.
func (o *Ops) SetGroup(ctx context.Context, name wire.EnvName, account wire.Account, group wire.GroupName) error {
	if err := group.ValidateGiven(); err != nil {
		return operator.NewProblem(operator.Invalid, "group", err.Error(), "choose another name, or leave it empty for no group")
	}
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		e, there := store.Envs.Read(tx, string(name))
		if !there || !account.Sees(e.Account) {
			return operator.NewProblem(operator.NotFound, "environments/"+string(name), "there is no such environment",
				"see hnctl env list")
		}
		if p := progress.Refusal("env.group", name, &e, store.Envs.Revision(tx.View(), string(name)), 0); p != nil {
			return p
		}
		e.Group = group
		store.Envs.Put(tx, string(name), e)
		return nil
	})
	return err
}
