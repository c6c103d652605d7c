package ops

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Request is what a person asks of an environment.
type Request struct {
	Kind string // env.create, env.edit, env.start, env.stop, env.trash, env.restore, env.delete, env.spread, env.restart
	Env  wire.EnvName
	Spec *operator.EnvironmentSpec // env.create and env.edit only; nil: it is a redeploy
	// Edit: env.edit only.
	Edit Edit
	// Restart: env.restart only.
	Restart operator.RestartEnvironment
	// Remove: env.create only: if it fails, what it made is removed at once.
	Remove bool
	By     string
	// Account is the caller's. A new environment is its; one that it does not see is not there for it. The operation is the environment's.
	Account wire.Account
	// IfMatch is the revision the environment must have; 0 is any.
	IfMatch wire.Revision
	// Also adds to the transaction (the idempotency key), once the operation has its id.
	Also func(*store.Tx, store.Operation)
	// Stays refuses, in the transaction, who may not any more since they were let in; nil: they may.
	Stays func(*store.Tx) error
}

// Accept stores the want and the operation in one transaction, and returns once that is durable. Errors are Problems.
func (o *Ops) Accept(ctx context.Context, r Request) (operator.Operation, error) {
	k, ok := progress.Of(r.Kind)
	if !ok {
		panic("BUG: operation kind " + r.Kind)
	}
	id, err := newID()
	if err != nil {
		return operator.Operation{}, err
	}
	now := o.now()
	asked := r.Spec
	op := store.Operation{Env: r.Env, Remove: r.Remove, Operation: operator.Operation{
		ID: id, Kind: r.Kind, Object: "environments/" + string(r.Env), By: r.By,
		State: operator.OpPending, Created: now, Updated: now, Steps: k.Steps(now), Cancel: k.Cancel()}}
	rev, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		e, exists := store.Envs.Read(tx, string(r.Env))
		var there *store.Environment
		switch {
		case exists && r.Account.Sees(e.Account):
			there = &e
		case exists && r.Kind == "env.create": // whether it is in the trash is not said
			return env.Taken(r.Env, false)
		}
		if r.Stays != nil {
			if err := r.Stays(tx); err != nil {
				return err
			}
		}
		rev := store.Envs.Revision(tx.View(), string(r.Env))
		if p := progress.Refusal(r.Kind, r.Env, there, rev, r.IfMatch); p != nil {
			return p
		}
		if !exists {
			if err := accounts.AdmitEnvironment(tx, r.Account, *r.Spec); err != nil {
				return err
			}
		}
		if r.Spec = asked; !exists {
			if p := Peers(tx.View(), r.Account, operator.EnvironmentSpec{}, *asked); p != nil {
				return p
			}
			linked := env.Link(r.Account, carried(operator.EnvironmentSpec{}, *asked), templatesOf(tx.View()))
			r.Spec = &linked
		} else if r.Edit.Redeploy != nil || r.Edit.Undo != nil {
			declared := e.Declared()
			r.Spec = &declared
		}
		op.Deadline = now.Add(o.patience(tx.View(), k, r.Env, r.Spec, e.Spec))
		if err := interrupt(tx, k, e, op); err != nil {
			return err
		}
		if r.Kind == progress.Edit {
			linked, err := edits(tx, e, r, now)
			if err != nil {
				return err
			}
			r.Spec = &linked
		}
		op.Before = nil // the transaction may run again
		if exists && k.Cancel() {
			op.Before = &store.Earlier{Spec: e.Spec, Want: e.Want}
		} else if !exists {
			e = store.Environment{Account: r.Account, Created: now, By: r.By}
			e.Declare(*r.Spec)
		}
		if r.Kind == progress.Edit {
			op.Before.Walls = e.Declare(*r.Spec)
		}
		e.Restart = nil // of an operation that is interrupted
		if r.Kind == progress.Restart {
			if err := restarts(tx, &e, op, r.Restart); err != nil {
				return err
			}
		}
		switch {
		case r.Kind == progress.Trash:
			if err := trashes(tx, &e, op); err != nil {
				return err
			}
		case r.Kind == progress.Restore:
			if err := restores(tx, &e); err != nil {
				return err
			}
		case k.Want() != "":
			e.Want = k.Want()
		}
		e.Operation, op.Account, op.Made = op.ID, e.Account, e.Created
		store.Envs.Put(tx, string(r.Env), e)
		store.Operations.Put(tx, string(op.ID), op)
		if r.Also != nil {
			r.Also(tx, op)
		}
		return nil
	})
	if err != nil {
		return operator.Operation{}, err
	}
	logging.Or(o.Log).Info("accepted", logging.Op, string(op.ID), logging.Step, op.Kind, logging.Env, string(op.Env),
		logging.Rev, int64(rev))
	return o.get(op.ID)
}

// patience is how long an operation of a kind has on an environment: where layers start or stop in turns, each has the time of one. spec is
// the wanted one, nil: what it is stays.
func (o *Ops) patience(v *store.View, k progress.Kind, name wire.EnvName, spec *operator.EnvironmentSpec,
	is operator.EnvironmentSpec) time.Duration {
	if spec == nil {
		spec = &is
	}
	turn := o.Fleet.Clocks().Change + k.Patience(store.NodesOf.Of(v, string(name)))
	if !k.InTurns() {
		return turn
	}
	return turn * time.Duration(env.Depth(*spec))
}

// newID makes an operation's id.
func newID() (wire.OperationID, error) {
	raw := make([]byte, 8)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("make operation id: %v", err)
	}
	return wire.OperationID("op-" + hex.EncodeToString(raw)), nil
}

// interrupt ends the operation that holds the environment, or refuses. Reading it makes the commit fail if it changes meanwhile.
func interrupt(tx *store.Tx, k progress.Kind, e store.Environment, by store.Operation) error {
	holder, ok := store.Operations.Read(tx, string(e.Operation))
	if e.Operation == "" || !ok || holder.State.Final() {
		return nil
	}
	ended, p := k.Interrupt(holder, by)
	if p != nil {
		return p
	}
	store.Operations.Put(tx, string(holder.ID), ended)
	return nil
}

// Cancel ends an operation that a caller's account sees and that may, unless it is nil, does not refuse, and undoes it: what was wanted
// before it is wanted again; an environment that was being created is removed.
func (o *Ops) Cancel(ctx context.Context, id wire.OperationID, by string, account wire.Account,
	may func(*store.Tx, store.Operation) error) (operator.Operation, error) {
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		op, ok := store.Operations.Read(tx, string(id))
		if !ok || !account.Sees(op.Account) {
			return progress.NoOperation(id)
		}
		if may != nil {
			if err := may(tx, op); err != nil {
				return err
			}
		}
		op, p := progress.Cancelled(op, by, o.now())
		if p == nil && op.Kind == progress.Move {
			p = begun(tx, op)
		}
		if p != nil {
			return p
		}
		o.store(tx, op)
		return nil
	})
	if err != nil {
		return operator.Operation{}, err
	}
	return o.get(id)
}

func (o *Ops) get(id wire.OperationID) (operator.Operation, error) {
	op, ok := (world.World{View: o.Store.View()}).For(world.Admin).Operation(id)
	if !ok {
		return operator.Operation{}, progress.NoOperation(id)
	}
	return op, nil
}

// store writes an operation and, when it ended without being done, its undo.
func (o *Ops) store(tx *store.Tx, op store.Operation) {
	op.Updated = o.now()
	before, cordon := op.Before, op.Cordon
	if op.State.Final() {
		op.Before, op.Cordon = nil, nil
	}
	store.Operations.Put(tx, string(op.ID), op)
	if op.Host != "" {
		if op.State.Final() {
			endDrain(tx, op, cordon)
		}
		return
	}
	if op.Kind == progress.Restart && op.State.Final() {
		if e, there := store.Envs.Read(tx, string(op.Env)); there && e.Restart != nil && e.Restart.Operation == op.ID {
			e.Restart = nil
			store.Envs.Put(tx, string(op.Env), e)
		}
	}
	if !op.State.Final() || op.State == operator.OpDone || op.Kind == progress.Restart {
		return
	}
	if op.Kind == progress.Move {
		giveUp(tx, op)
		return
	}
	e, ok := store.Envs.Read(tx, string(op.Env))
	if !ok || e.Operation != op.ID || e.Want == store.WantDeleted {
		return
	}
	store.Envs.Put(tx, string(op.Env), progress.Undone(e, op, before))
}
