package world

import (
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Cluster is the installation as a whole. Hosts, licence and alarms are for who sees the hosts.
func (w World) Cluster() operator.Cluster {
	c, _ := store.Clusters.Get(w.View, store.Only)
	out := operator.Cluster{ID: c.ID, Name: c.Name, Domain: c.Domain, Version: build.Version, Now: w.Now,
		Hosts: map[string]int{}, Environments: map[string]int{}}
	for e := range store.Envs.Rows(w.View) {
		if w.sees(ofEnvironment(e)) {
			state, _ := env.State(w.Facts(e))
			out.Environments[string(state)]++
		}
	}
	if !w.sees(ofHosts) {
		return out
	}
	out.License, out.Alarms, out.GossipKey = w.License, w.Alarms, w.Rotation
	for _, h := range w.hosts() {
		out.Hosts[string(w.host(h).State)]++
	}
	return out
}
