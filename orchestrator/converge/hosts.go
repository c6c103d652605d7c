package converge

import (
	"cmp"
	"fmt"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/entitle"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/place"
	"hardnode.dev/orchestrator/store"
)

// Uncovered is, for each host the licence does not cover, the reason.
func Uncovered(hosts []store.Host, l entitle.License) map[wire.HostID]string {
	counted := make([]entitle.Host, len(hosts))
	for i, h := range hosts {
		counted[i] = entitle.Host{ID: h.ID, Role: h.Role, Order: h.Order, Joined: h.Joined}
	}
	return entitle.Uncovered(counted, l)
}

// Uncovered is, for each host the licence does not cover, the reason, as the last plan found it. It must not be changed.
func (x *Index) Uncovered() map[wire.HostID]string { return x.kept.uncovered }

// DryRun places a new environment of an account without any change: where its nodes would go, or why it can't be made.
func (x *Index) DryRun(account wire.Account, spec operator.EnvironmentSpec) ([]operator.Node, *operator.Problem) {
	if p := env.Validate(spec); p != nil {
		return nil, p
	}
	x.recount()
	if e := x.envs[spec.Name]; e != nil && e.record != nil {
		if e.record.InTrash() {
			return nil, env.TakenByTrash(spec.Name, account.Sees(e.record.Account))
		}
		return nil, env.Taken(spec.Name, account.Sees(e.record.Account))
	}
	if why := entitle.NewEnvironment(x.license); why != "" {
		return nil, operator.NewProblem(operator.Exhausted, "licence", why, "see hnctl licence show; what exists goes on")
	}
	nodes, problem := env.Expand(account, spec, x.templates)
	if problem != nil {
		return nil, problem
	}
	return x.try(spec, nodes)
}

// DryRunEdit places those nodes of a spec of an environment that are not there yet.
func (x *Index) DryRunEdit(account wire.Account, spec operator.EnvironmentSpec) ([]operator.Node, *operator.Problem) {
	if p := env.Validate(spec); p != nil {
		return nil, p
	}
	x.recount()
	nodes, problem := env.Expand(account, spec, x.templates)
	if problem != nil {
		return nil, problem
	}
	if e := x.envs[spec.Name]; e != nil {
		if p := x.unlabelled(e, spec); p != nil {
			return nil, p
		}
		for _, id := range e.nodes {
			n := x.nodes[id]
			nodes = slices.DeleteFunc(nodes, func(o env.Node) bool { return !n.Gone && o.Layer == n.Layer && o.Index == n.Index })
		}
	}
	if why := entitle.NewEnvironment(x.license); why != "" && len(nodes) > 0 {
		return nil, operator.NewProblem(operator.Exhausted, "licence", why, "see hnctl licence show; what exists goes on")
	}
	return x.try(spec, nodes)
}

// unlabelled says which layers of an environment ask for other hosts than before, and for what no host has: it may be a slip, and nodes
// that are there would find no host when theirs is lost.
func (x *Index) unlabelled(e *environment, spec operator.EnvironmentSpec) *operator.Problem {
	var found []*operator.Problem
	for i, l := range spec.Layers {
		var was *operator.PlaceSpec
		if e.record != nil {
			if old := layerOf(*e.record, l.Name); old != nil {
				was = old.Place
			}
		}
		if lacks := x.board.Lacks(l.Place); lacks != "" && !was.Same(l.Place) {
			found = append(found, operator.NewProblem(operator.Exhausted, fmt.Sprintf("layers[%d].place", i), "no host has "+lacks,
				Unlabelled(l.Name)))
		}
	}
	return operator.All(found)
}

// try is where nodes would go now.
func (x *Index) try(spec operator.EnvironmentSpec, nodes []env.Node) ([]operator.Node, *operator.Problem) {
	x.board.Try()
	defer x.board.Undo()
	out := make([]operator.Node, 0, len(nodes))
	for i, n := range nodes {
		c, refusal := x.board.Place(wanted(n))
		if refusal != nil {
			refusal.Node = i
			return nil, refused(spec, n, refusal)
		}
		out = append(out, operator.Node{
			Env:       n.Env,
			Account:   n.Container.Account,
			Layer:     n.Layer,
			Template:  n.Container.Image.Name,
			Digest:    n.Container.Image.Digest,
			Host:      c.Host,
			HostName:  x.hosts[c.Host].record.Name,
			Placed:    c.Why,
			State:     "planned",
			Cloudlets: n.Cloudlets,
		})
	}
	return out, nil
}

// Unlabelled is what to do where no host has what a layer asks of one.
func Unlabelled(layer wire.LayerName) string {
	return fmt.Sprintf("change place of layer %s, or have those who run the cluster label a host: hnctl host label", layer)
}

// refused puts a refusal into a person's words: what can never fit is told apart from what does not fit now.
func refused(spec operator.EnvironmentSpec, n env.Node, r *place.Refusal) *operator.Problem {
	at := 0
	for i, l := range spec.Layers {
		if l.Name == n.Layer {
			at = i
		}
	}
	if r.Lacks != "" {
		return operator.NewProblem(operator.Exhausted, fmt.Sprintf("layers[%d].place", at), r.String(), Unlabelled(n.Layer))
	}
	if r.TooBig {
		return operator.NewProblem(operator.Exhausted, fmt.Sprintf("layers[%d].cloudlets.dynamic", at),
			fmt.Sprintf("%d dynamic cloudlets are %d MiB; the largest host has %d MiB for nodes", n.Cloudlets.Dynamic,
				int64(n.Cloudlets.Dynamic)*wire.CloudletBytes>>20, max(0, r.Largest>>20)),
			fmt.Sprintf("ask for at most %d cloudlets, or add a larger host", max(0, r.Largest/wire.CloudletBytes)))
	}
	next := "add a host, free cloudlets, or see hnctl host list"
	if r.None != "" {
		next = "delete environments that nobody needs, or " + blocks.Again
	}
	return operator.NewProblem(operator.Exhausted, fmt.Sprintf("layers[%d]", at),
		fmt.Sprintf("no host can take node %d of layer %s: %s", n.Index+1, n.Layer, cmp.Or(r.String(), "there is none")),
		next)
}
