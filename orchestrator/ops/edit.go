package ops

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/edit"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/place"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

// Edit is what an env.edit has beside the spec.
type Edit struct {
	RemoveData bool                    // what goes takes its data with it
	Memory     func(wire.HostID) int64 // that a host has in all; 0: not known
	Plan       func(operator.EditPlan) // is told the plan, each time the transaction runs; nil: nobody is
	// Redeploy: these layers are made anew of their images, and the rest is as the environment has it; there is no spec then.
	Redeploy *operator.RedeployEnvironment
	Undo     *operator.UndoRedeploy // likewise: the last redeploy of each layer is undone
}

// PlanEdit is what an edit of an environment would do now, or why it can't be.
func PlanEdit(v *store.View, e store.Environment, want operator.EnvironmentSpec, r Edit) (operator.EditPlan, *operator.Problem) {
	plan, _, _, p := planned(v, e, want, r)
	return plan, p
}

func planned(v *store.View, e store.Environment, want operator.EnvironmentSpec, r Edit) (operator.EditPlan, []edit.Kept, []env.Node,
	*operator.Problem) {
	in, p := inputOf(v, e, want, r)
	if p != nil {
		return operator.EditPlan{}, nil, nil, p
	}
	return edit.Plan(in)
}

// inputOf is what a plan follows from, or why there can be none.
func inputOf(v *store.View, e store.Environment, want operator.EnvironmentSpec, r Edit) (edit.Input, *operator.Problem) {
	in := edit.Input{Account: e.Account, Have: e.Declared(), Want: carried(e.Spec, want), Templates: templatesOf(v),
		RemoveData: r.RemoveData}
	nodes := slices.Collect(store.NodesOf.Of(v, string(e.Spec.Name)))
	done := isDone(v, e)
	for i, n := range nodes {
		if l := layerOf(e, n.Layer); l != nil && isMade(n, *l, done) {
			nodes[i] = edit.Settled(n, time.Time{}) // until when it can be undone is nothing to a plan
		}
	}
	for _, n := range nodes {
		of := layerOf(e, n.Layer)
		if n.Made != nil {
			of = &n.Made.Spec
		}
		switch {
		case n.Gone || n.Replaces != 0 || of == nil:
			continue
		case n.Moving != nil:
			return in, operator.NewProblem(operator.Conflict, "nodes/"+n.CTID.String(),
				"it moves to another host", "wait for it: hnctl op watch "+string(n.Moving.Operation))
		}
		placed := edit.Of(n, *of, slices.Values(nodes))
		if h := store.Hosts.Find(v, string(n.Host)); h != nil {
			placed.Labels = h.Labels
		}
		in.Nodes = append(in.Nodes, placed)
	}
	switch {
	case r.Redeploy != nil:
		return in, redeploy(&in, *r.Redeploy)
	case r.Undo != nil:
		return in, undo(&in, *r.Undo)
	}
	return in, Peers(v, e.Account, in.Have, in.Want)
}

// isDone tells whether an environment's last operation is done.
func isDone(v *store.View, e store.Environment) bool {
	last, known := store.Operations.Get(v, string(e.Operation))
	return known && last.State == operator.OpDone
}

// isMade tells whether a node is what the last edit, which is done, made of it, though nobody has settled that yet: that comes with the
// next look at it, and what is asked before then must not see it otherwise.
func isMade(n store.Node, layer operator.LayerSpec, done bool) bool {
	return done && n.Made != nil && edit.Same(n.Made.Spec, layer)
}

// Peers says which rules of a wanted spec name environments that its account has not.
func Peers(v *store.View, account wire.Account, have, want operator.EnvironmentSpec) *operator.Problem {
	return env.Peers(have, want, account.Owner(), owns(v, account))
}

// owns tells which environments are an account's.
func owns(v *store.View, account wire.Account) func(wire.EnvName) bool {
	return func(name wire.EnvName) bool {
		e, there := store.Envs.Get(v, string(name))
		return there && e.Account.Owner() == account.Owner()
	}
}

func templatesOf(v *store.View) env.Templates {
	out := env.Templates{}
	for _, t := range store.Templates.Refs(v) {
		out[t.Name] = *t
	}
	return out
}

func layerOf(e store.Environment, name wire.LayerName) *operator.LayerSpec {
	for i := range e.Spec.Layers {
		if e.Spec.Layers[i].Name == name {
			return &e.Spec.Layers[i]
		}
	}
	return nil
}

// edits takes an edit in: its limits are asked for before anything is changed, and each node remembers what it is made of. The spec is the
// wanted one with the variables of its links.
func edits(tx *store.Tx, e store.Environment, r Request, now time.Time) (linked operator.EnvironmentSpec, err error) {
	in, p := inputOf(tx.View(), e, *r.Spec, r.Edit)
	if p != nil {
		return linked, p
	}
	plan, kept, added, p := edit.Plan(in)
	if p != nil {
		return linked, p
	}
	object, more := "environments/"+string(e.Spec.Name), accounts.Amount{}
	take := func(n env.Node, by int64) {
		for k, v := range accounts.OfNode(n.Cloudlets, n.Container) {
			more[k] += by * v
		}
	}
	for _, k := range kept {
		take(k.Was, -1)
		take(k.Is, 1)
	}
	for _, n := range added {
		take(n, 1)
	}
	if err := accounts.Admit(tx, e.Account, object, more); err != nil {
		return linked, err
	}
	if p := roomFor(tx, kept, r.Edit.Memory); p != nil {
		return linked, p
	}
	done := isDone(tx.View(), e)
	for n := range store.NodesOf.Of(tx.View(), string(e.Spec.Name)) {
		rec, there := store.Nodes.Read(tx, n.CTID.String())
		if l := layerOf(e, n.Layer); there && !rec.Gone && l != nil && (rec.Made == nil || isMade(rec, *l, done)) {
			if rec.Made != nil { // undoing this edit brings back what the one before made
				rec = edit.Settled(rec, now)
			}
			rec.Made = &store.Made{Spec: *l}
			store.Nodes.Put(tx, n.CTID.String(), rec)
		}
	}
	if r.Edit.Plan != nil {
		r.Edit.Plan(plan)
	}
	return edit.Linked(in), nil
}

// roomFor is why the hosts of nodes that grow have no room for that, nil if they have.
func roomFor(tx *store.Tx, kept []edit.Kept, memory func(wire.HostID) int64) *operator.Problem {
	more := map[wire.HostID]int64{}
	for _, k := range kept {
		n, _ := store.Nodes.Read(tx, k.CTID.String())
		by := int64(k.Is.Cloudlets.Reserved-k.Was.Cloudlets.Reserved) * wire.CloudletBytes
		grows := k.Is.Container.Limits.MemoryMax > k.Was.Container.Limits.MemoryMax
		if by <= 0 && !grows {
			continue
		}
		all := memory(n.Host) - place.HostShare
		object := "nodes/" + k.CTID.String()
		if all <= 0 {
			return operator.NewProblem(operator.Unavailable, object, "its host does not say how much memory it has",
				"wait until it answers: hnctl host list")
		}
		more[n.Host] += max(by, 0)
		free := all
		for o := range store.NodesOn.Of(tx.View(), string(n.Host)) {
			if !o.Gone {
				free -= int64(o.Cloudlets.Reserved) * wire.CloudletBytes
			}
		}
		if most := k.Is.Container.Limits.MemoryMax; more[n.Host] > free || grows && most > all {
			return operator.NewProblem(operator.Exhausted, object, fmt.Sprintf("its host has %d MiB that are not reserved, %d MiB in all; "+
				"the edit would reserve %d MiB more there and let the node use %d", max(free, 0)>>20, all>>20, more[n.Host]>>20, most>>20),
				"ask for less, or move the node first: hnctl node move "+k.CTID.String())
		}
	}
	return nil
}

// edited notes of the nodes how far an edit is with them; each has patience from its change on, and not before the layers that its own
// starts after run: until then it has no time of its own.
func edited(w world.World, f progress.Facts, patience time.Duration) {
	for i := range f.Nodes {
		n, _ := store.Nodes.Get(w.View, f.Nodes[i].CTID.String())
		l := layerOf(*f.Env, n.Layer)
		f.Nodes[i].Surplus = l == nil || n.Index >= l.Nodes
		if n.Made != nil && l != nil {
			f.Nodes[i].Stale = !edit.Same(n.Made.Spec, *l)
			if !n.Made.At.IsZero() && n.Waits == "" {
				f.Nodes[i].Until = n.Made.At.Add(patience)
			}
		}
	}
}
