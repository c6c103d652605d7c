package converge

import (
	"cmp"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
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

// Hosts are the hosts as placing sees them: with what is on them counted.
func Hosts(in Input) []place.Host {
	uncovered := Uncovered(in.Hosts, in.License)
	out := make([]place.Host, 0, len(in.Hosts))
	index := map[wire.HostID]int{}
	for _, h := range in.Hosts {
		s := in.Live[h.ID]
		ph := place.Host{ID: h.ID, Name: h.Name, Role: h.Role, State: s.State.State, Unlicensed: uncovered[h.ID],
			Layers: map[place.Layer]int{}, Images: map[wire.Digest]bool{}, Addresses: lastAddress - firstAddress + 1}
		if s.Report != nil {
			ph.Memory, ph.Disk = s.Report.Capacity.MemoryBytes, s.Report.Capacity.DiskBytes
		}
		index[h.ID] = len(out)
		out = append(out, ph)
	}
	for _, n := range in.Nodes {
		i, ok := index[n.Host]
		if !ok || out[i].Role != host.RoleUser {
			continue
		}
		ph := &out[i]
		ph.Addresses--
		ph.Reserved += int64(n.Cloudlets.Reserved) * wire.CloudletBytes
		ph.DiskTaken += n.Container.Limits.DiskBytes
		ph.Images[n.Container.Image.Digest] = true
		if !n.Gone {
			ph.Layers[place.Layer{Env: n.Env, Name: n.Layer}]++
		}
	}
	return out
}

// Wanted is an expanded node as placing sees it.
func Wanted(n env.Node) place.Node {
	return place.Node{Layer: place.Layer{Env: n.Env, Name: n.Layer}, Cloudlets: n.Cloudlets, DiskBytes: n.Container.Limits.DiskBytes, Image: n.Container.Image.Digest}
}

// DryRun places a new environment of an account without storing anything: where its nodes would go, or why it can't be made.
func DryRun(in Input, account wire.Account, spec operator.EnvironmentSpec) ([]operator.Node, *operator.Problem) {
	if p := env.Validate(spec); p != nil {
		return nil, p
	}
	for _, e := range in.Envs {
		if e.Spec.Name == spec.Name {
			return nil, operator.NewProblem(operator.Conflict, "environments/"+string(spec.Name), "the name is taken", "choose another name, or delete that environment first: hnctl env delete "+string(spec.Name))
		}
	}
	if why := entitle.NewEnvironment(in.License); why != "" {
		return nil, operator.NewProblem(operator.Exhausted, "licence", why, "see hnctl licence show; what exists goes on")
	}
	nodes, problem := env.Expand(account, spec, in.Templates)
	if problem != nil {
		return nil, problem
	}
	wanted := make([]place.Node, len(nodes))
	for i, n := range nodes {
		wanted[i] = Wanted(n)
	}
	hosts := Hosts(in)
	choices, refusal := place.Place(wanted, hosts)
	if refusal != nil {
		return nil, refused(spec, nodes[refusal.Node], refusal)
	}
	names := map[wire.HostID]string{}
	for _, h := range hosts {
		names[h.ID] = h.Name
	}
	out := make([]operator.Node, len(nodes))
	for i, n := range nodes {
		out[i] = operator.Node{Env: n.Env, Account: n.Container.Account, Layer: n.Layer, Template: n.Container.Image.Name, Digest: n.Container.Image.Digest, Host: choices[i].Host,
			HostName: names[choices[i].Host], Placed: choices[i].Why, State: "planned", Cloudlets: n.Cloudlets}
	}
	return out, nil
}

// refused puts a refusal into a person's words: what can never fit is told apart from what does not fit now.
func refused(spec operator.EnvironmentSpec, n env.Node, r *place.Refusal) *operator.Problem {
	at := 0
	for i, l := range spec.Layers {
		if l.Name == n.Layer {
			at = i
		}
	}
	if r.TooBig {
		return operator.NewProblem(operator.Exhausted, fmt.Sprintf("layers[%d].cloudlets.dynamic", at),
			fmt.Sprintf("%d dynamic cloudlets are %d MiB; the largest host has %d MiB for nodes", n.Cloudlets.Dynamic, int64(n.Cloudlets.Dynamic)*wire.CloudletBytes>>20, max(0, r.Largest>>20)),
			fmt.Sprintf("ask for at most %d cloudlets, or add a larger host", max(0, r.Largest/wire.CloudletBytes)))
	}
	return operator.NewProblem(operator.Exhausted, fmt.Sprintf("layers[%d]", at),
		fmt.Sprintf("no host can take node %d of layer %s: %s", n.Index+1, n.Layer, cmp.Or(r.String(), "there is none")),
		"add a host, free cloudlets, or see hnctl host list")
}
