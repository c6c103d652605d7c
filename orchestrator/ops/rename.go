package ops

import (
	"context"
	"maps"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/domains"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/shares"
	"hardnode.dev/orchestrator/store"
)

// Rename gives an environment that is stopped another name, for a caller of an account, in one transaction: its nodes keep their numbers,
// addresses and data, and know the new name when they start. A match of 0 is any revision.
func (o *Ops) Rename(ctx context.Context, from, to wire.EnvName, account wire.Account, match wire.Revision) error {
	if p := env.ValidateName(to); p != nil {
		return p
	}
	object := "environments/" + string(from)
	_, err := o.Store.Update(ctx, func(tx *store.Tx) error {
		e, there := store.Envs.Read(tx, string(from))
		if !there || !account.Sees(e.Account) {
			return operator.NewProblem(operator.NotFound, object, "there is no such environment", "see hnctl env list")
		}
		if p := progress.Refusal(progress.Rename, from, &e, store.Envs.Revision(tx.View(), string(from)), match); p != nil {
			return p
		}
		for op := range store.OperationsIn.Of(tx.View(), store.Unended) {
			if op.Env == from {
				return operator.NewProblem(operator.Conflict, object, "operation "+string(op.ID)+" ("+op.Kind+") is at work on it",
					"wait for it: hnctl op watch "+string(op.ID))
			}
		}
		store.Operations.Read(tx, string(e.Operation))
		store.Numbers.Read(tx, "ctid") // so that no node of it is made at the same moment, which would have the old name
		authz.Counted(tx, e.Account)   // nor a host name or an offer
		switch other, taken := store.Envs.Read(tx, string(to)); {
		case to == from:
			return operator.NewProblem(operator.Conflict, object, "it has that name", "nothing is to be done")
		case taken && other.InTrash():
			return env.TakenByTrash(to, account.Sees(other.Account))
		case taken:
			return env.Taken(to, account.Sees(other.Account))
		}
		spec := env.Renamed(e.Spec, to)
		if err := renameNodes(tx, e, spec); err != nil {
			return err
		}
		if err := domains.Renamed(tx, e, to); err != nil {
			return err
		}
		shares.Renamed(tx, e, to)
		renameTokens(tx, e, to)
		renameInFirewalls(tx, e, to)
		store.Envs.Delete(tx, string(from))
		e.Walls, _ = store.RenameIn(e.Walls, from, to)
		e.Spec = spec
		store.Envs.Put(tx, string(to), e)
		return nil
	})
	return err
}

// renameTokens has tokens that are for an environment, some or it alone, be for it under its other name.
func renameTokens(tx *store.Tx, e store.Environment, to wire.EnvName) {
	from := e.Spec.Name
	for hash, t := range store.Tokens.Refs(tx.View()) {
		if t.Narrow == nil || !slices.Contains(t.Narrow.Envs, from) || !t.Account.Owner().Sees(e.Account) {
			continue
		}
		rec, there := store.Tokens.Read(tx, hash)
		if !there || rec.Narrow == nil {
			continue
		}
		narrow := *rec.Narrow
		narrow.Envs = slices.DeleteFunc(slices.Clone(narrow.Envs), func(n wire.EnvName) bool { return n == from || n == to })
		narrow.Envs = append(narrow.Envs, to)
		slices.Sort(narrow.Envs)
		rec.Narrow = &narrow
		store.Tokens.Put(tx, hash, rec)
	}
}

// renameInFirewalls has rules of its account's other environments name an environment by its other name: else one that denies it would
// let it pass. So do those that an edit which is at work there would bring back.
func renameInFirewalls(tx *store.Tx, e store.Environment, to wire.EnvName) {
	from := e.Spec.Name
	for name, o := range store.Envs.Refs(tx.View()) {
		if o.Account != e.Account || o.Spec.Name == from {
			continue
		}
		if _, names := store.RenameIn(o.Walls, from, to); names {
			if rec, there := store.Envs.Read(tx, name); there {
				rec.Walls, _ = store.RenameIn(rec.Walls, from, to)
				store.Envs.Put(tx, name, rec)
			}
		}
		op := store.Operations.Find(tx.View(), string(o.Operation))
		if op == nil || op.Before == nil || op.Before.Walls == nil {
			continue
		}
		if rec, there := store.Operations.Read(tx, string(op.ID)); there && rec.Before != nil && rec.Before.Walls != nil {
			before := *rec.Before
			list, _ := store.RenameIn(before.Walls.List, from, to)
			before.Walls = &store.Walls{List: list}
			rec.Before = &before
			store.Operations.Put(tx, string(op.ID), rec)
		}
	}
}

// renameNodes has an environment's nodes be those of its spec under another name.
func renameNodes(tx *store.Tx, e store.Environment, spec operator.EnvironmentSpec) error {
	for seen := range store.NodesOf.Of(tx.View(), string(e.Spec.Name)) {
		n, there := store.Nodes.Read(tx, seen.CTID.String())
		if !there {
			continue
		}
		why := ""
		switch {
		case n.Moving != nil:
			why = "it moves to another host"
		case n.Made != nil:
			why = "an edit of it is still being undone"
		case n.Stays != "":
			why = "it has not stopped yet"
		}
		if why != "" && !n.Gone {
			return operator.NewProblem(operator.Conflict, "nodes/"+n.CTID.String(), why, "wait a moment, and try again")
		}
		n.Env, n.Container.Env = spec.Name, spec.Name
		n.Former, n.Container.Formers = nil, nil // its variables have the old name
		if at := slices.IndexFunc(spec.Layers, func(l operator.LayerSpec) bool { return l.Name == n.Layer }); at >= 0 &&
			len(spec.Layers[at].Linked) > 0 {
			vars := maps.Clone(n.Container.Process.Env)
			for k, v := range spec.Layers[at].Linked {
				if _, has := vars[k]; has { // else it is made of an earlier spec
					vars[k] = v
				}
			}
			n.Container.Process.Env = vars
		}
		store.Nodes.Put(tx, n.CTID.String(), n)
	}
	return nil
}
