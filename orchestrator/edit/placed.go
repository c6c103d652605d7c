package edit

import (
	"iter"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Of is a node that is made of a spec, with what it was before its last redeploy; of one that was made since, with what the first other
// node of its layer was. nodes are all of its environment.
func Of(n store.Node, spec operator.LayerSpec, nodes iter.Seq[store.Node]) Placed {
	placed := func(n store.Node, spec operator.LayerSpec, b store.Before) Placed {
		return Placed{CTID: n.CTID, Of: spec, Node: env.Node{Env: n.Env, Layer: n.Layer, Index: n.Index, Cloudlets: b.Cloudlets,
			HTTP: b.HTTP, Container: b.Container}}
	}
	out := placed(n, spec, store.Before{Cloudlets: n.Cloudlets, HTTP: n.HTTP, Container: n.Container})
	of := n
	if n.Former == nil {
		for o := range nodes {
			if o.Layer == n.Layer && o.Former != nil && !o.Gone && (of.Former == nil || o.Index < of.Index) {
				of = o
			}
		}
	}
	if f := of.Former; f != nil {
		was := placed(of, f.Spec, f.Before)
		out.Former = &was
	}
	return out
}
