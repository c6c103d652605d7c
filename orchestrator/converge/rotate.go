package converge

import (
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/converge/rotate"
)

// keys moves a rotation on, and is the keys that hosts are told.
func (p *planner) keys() host.GossipKeys {
	k := p.Index.gossip
	if len(k.Use) == 0 {
		return host.GossipKeys{Use: p.cluster.Gossip}
	}
	next, waits := k, []string(nil)
	if k.Rotating() {
		next, waits = rotate.Next(k, p.records(), p.status, p.now, p.clocks)
	}
	if next.Since != k.Since {
		p.plan.Gossip = &next
		what := "the gossip key is rotated: the old one is dropped"
		if next.Rotating() {
			what = "rotate the gossip key: all use the new one"
		}
		p.step(what, "", "", "asked by "+k.By)
	}
	p.plan.Rotation = rotate.Words(next, waits)
	keys := host.GossipKeys{Use: next.Use}
	for _, other := range []secret.Bytes{next.Next, next.Old} {
		if len(other) > 0 {
			keys.Accept = append(keys.Accept, other)
		}
	}
	return keys
}
