package converge

import (
	"slices"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/env"
)

// nameserver are the ports at which resolvers answer for the cluster's domain, published only while they do.
var nameserver = []host.Port{{Proto: "udp", Host: 53, Container: 53}, {Proto: "tcp", Host: 53, Container: 53}}

// domain has resolvers publish the DNS while the cluster answers for its domain. They go on meanwhile: nothing of them is made anew.
func (p *planner) domain() {
	if !p.dirty.envs[env.System] {
		return
	}
	for _, id := range p.order {
		n, there := p.node(id)
		if !there || n.Gone || n.Container.Component != host.ComponentResolver {
			continue
		}
		want := slices.DeleteFunc(slices.Clone(n.Container.Publish), func(x host.Port) bool { return slices.Contains(nameserver, x) })
		why := "the cluster does not answer for its domain any more"
		if p.Index.answers {
			want, why = append(want, nameserver...), "the cluster answers for its domain"
		}
		if slices.Equal(want, n.Container.Publish) {
			continue
		}
		n.Container.Publish = want
		p.put(n, "publish", why)
	}
}
