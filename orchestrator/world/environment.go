package world

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/sealed"
	"hardnode.dev/orchestrator/store"
)

// Environment is one environment; false when there is none of that name.
func (w World) Environment(name wire.EnvName) (operator.Environment, bool) {
	e, ok := store.Envs.Get(w.View, string(name))
	if !ok || !w.seesIn(ofEnvironment(e), name) {
		return operator.Environment{}, false
	}
	return w.environment(e), true
}

// Environments are all environments by name, but for those in the trash.
func (w World) Environments() List[operator.Environment] { return w.environments(false) }

// Trash is the environments that are in the trash, by name.
func (w World) Trash() List[operator.Environment] { return w.environments(true) }

func (w World) environments(trash bool) List[operator.Environment] {
	nodes := func(e operator.Environment) int { return len(e.Nodes) }
	return List[operator.Environment]{parts: nodes, after: func(key string) iter.Seq[Item[operator.Environment]] {
		return func(yield func(Item[operator.Environment]) bool) {
			for name, e := range store.Envs.RefsAfter(w.View, key) {
				item := Item[operator.Environment]{name, func() operator.Environment { return w.environment(*e) }}
				if e.InTrash() == trash && w.seesIn(ofEnvironment(*e), e.Spec.Name) && !yield(item) {
					return
				}
			}
		}
	}}
}

// environment is one by its record.
func (w World) environment(e store.Environment) operator.Environment {
	nodes := make([]operator.Node, 0, 8)
	for n := range store.NodesOf.Of(w.View, string(e.Spec.Name)) {
		nodes = append(nodes, w.NodeOf(n))
	}
	state, reason := env.State(w.facts(e, nodes))
	out := operator.Environment{
		Spec:     sealed.Shown(e.Declared()),
		Account:  ofEnvironment(e),
		State:    state,
		Reason:   reason,
		Domain:   w.domain(e),
		Created:  e.Created,
		Nodes:    slices.DeleteFunc(nodes, func(n operator.Node) bool { return !w.seesIn(n.Account, n.Env) }),
		Revision: store.Envs.Revision(w.View, string(e.Spec.Name)),
		Spread:   w.Uneven[e.Spec.Name],
		Group:    e.Group,
	}
	if t := e.Trash; e.InTrash() {
		out.Trash = &operator.Trash{At: t.At, Until: t.Until, By: t.By}
	}
	if f := e.Failed; f != nil {
		out.Failed = &operator.FailedCreate{At: f.At, Reason: f.Reason, Kept: f.Kept, Removal: f.Removal()}
	}
	return w.toGuest(out)
}

func (w World) domain(e store.Environment) string {
	c, _ := store.Clusters.Get(w.View, store.Only)
	return string(e.Spec.Name) + "." + c.Domain
}

// Served tells whether an environment has an address that something answers: nodes that serve HTTP.
func (w World) Served(name wire.EnvName) bool {
	for n := range store.NodesOf.Of(w.View, string(name)) {
		if n.HTTP != 0 && !n.Gone {
			return true
		}
	}
	return false
}

// Facts is what an environment's state follows from.
func (w World) Facts(e store.Environment) env.Facts { return w.facts(e, nil) }

// facts is Facts. Nodes are the environment's, in the order of their records; nil: they are made here, as far as they count.
func (w World) facts(e store.Environment, nodes []operator.Node) env.Facts {
	f := env.Facts{Want: string(e.Want), Held: cmp.Or(trashed(e), e.Held), Why: w.Stuck[e.Spec.Name]}
	wanted := map[wire.LayerName]int{}
	for _, l := range e.Spec.Layers {
		f.Missing += l.Nodes
		wanted[l.Name] = l.Nodes
	}
	i := -1
	for n := range store.NodesOf.Of(w.View, string(e.Spec.Name)) {
		if i++; n.Gone || n.Replaces != 0 { // a node on its way to take another's place isn't one more
			continue
		}
		if n.Index < wanted[n.Layer] {
			f.Missing--
		}
		var v operator.Node
		if nodes != nil {
			v = nodes[i]
		} else {
			v = w.NodeOf(n)
		}
		f.Nodes = append(f.Nodes, env.NodeState{CTID: n.CTID, State: v.State, Reason: v.Reason, Halted: n.Halted != ""})
	}
	f.Missing = max(0, f.Missing)
	if f.Missing > 0 && f.Why == "" {
		f.Why = "not placed yet"
	}
	if op, ok := store.Operations.Get(w.View, string(e.Operation)); ok && !op.State.Final() {
		f.Busy = op.Kind
	}
	if e.Failed != nil {
		f.Failed = failed(e)
	}
	return f
}

// trashed says that an environment is in the trash, and what becomes of it; "": it is not.
func trashed(e store.Environment) string {
	if !e.InTrash() {
		return ""
	}
	return fmt.Sprintf("it is in the trash and erased on %s, unless you bring it back: hnctl env trash restore %s",
		e.Trash.Until.Format(time.DateOnly), e.Spec.Name)
}

// failed says that an environment's creation failed, and what becomes of it.
func failed(e store.Environment) string {
	s := "its creation failed: " + e.Failed.Reason
	if e.Failed.Kept {
		return s + "; it is kept"
	}
	until := e.Failed.Removal().Format(time.DateOnly)
	return fmt.Sprintf("%s; it is removed on %s unless you keep it: hnctl env keep %s", s, until, e.Spec.Name)
}
