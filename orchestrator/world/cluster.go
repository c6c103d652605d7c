package world

import (
	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Cluster is the installation as a whole. Hosts, licence and alarms are for who sees the hosts.
func (w World) Cluster() operator.Cluster {
	out := w.Installation()
	out.Environments, out.Hosts = w.EnvironmentStates(), w.HostStates()
	return out
}

// Installation is Cluster without counting its hosts and environments.
func (w World) Installation() operator.Cluster {
	c, _ := store.Clusters.Get(w.View, store.Only)
	out := operator.Cluster{ID: c.ID, Name: c.Name, Domain: c.Domain, Version: build.Version, Now: w.Now,
		Hosts: map[string]int{}, Environments: map[string]int{}}
	if w.sees(ofHosts) {
		out.License, out.Alarms, out.GossipKey = w.License, w.Alarms, w.Rotation
	}
	return out
}
