package world

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire"
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
		out.License, out.Alarms, out.GossipKey = w.License, slices.Concat(w.Alarms, w.overdue()), w.Rotation
	}
	return out
}

// overdue are the hosts that were ordered to reboot and are not back in time.
func (w World) overdue() (alarms []string) {
	for id, l := range store.Leaves.Refs(w.View) {
		if l.Until.IsZero() || w.Now.Before(l.Until) || w.Answers(wire.HostID(id)) {
			continue
		}
		h, _ := store.Hosts.Get(w.View, id)
		alarms = append(alarms, fmt.Sprintf("host %s was ordered to reboot by %s, and is not back: it was expected until %s", h.Name, l.By,
			l.Until.UTC().Format(time.RFC3339)))
	}
	return alarms
}
