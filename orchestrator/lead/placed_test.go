package lead

import "hardnode.dev/orchestrator/store"

// placed: each node that was made in this turn is on a host that its layer asks for.
func (c *edited) placed() {
	for n := range store.Nodes.Rows(c.memory.View()) {
		if c.seen[n.CTID] {
			continue
		}
		c.seen[n.CTID] = true
		e, _ := store.Envs.Get(c.memory.View(), string(n.Env))
		h, _ := store.Hosts.Get(c.memory.View(), string(n.Host))
		for _, l := range e.Spec.Layers {
			if l.Name == n.Layer && !e.System && !l.Place.Takes(h.Labels) {
				c.t.Fatalf("node %d of layer %s, which goes to hosts with %s, was made on %s: %v", n.CTID, l.Name, l.Place, n.Host,
					h.Labels)
			}
		}
	}
}
