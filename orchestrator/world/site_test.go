package world

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Of twins on two hosts, that on a silent host is left out, unless the host replaces its programs: all that it runs goes on then.
func TestSitesOfSilentHosts(t *testing.T) {
	for _, c := range []struct {
		name   string
		system *host.SystemStatus
		served int
	}{
		{"it says nothing of itself", nil, 1},
		{"it replaces its programs", &host.SystemStatus{State: host.SystemSwitching, AwaySec: 60}, 2},
		{"it has replaced them", &host.SystemStatus{State: host.SystemDone}, 1},
	} {
		s := newSited()
		hosts := []wire.HostID{"h-1", "h-2"}
		s.put(func(tx *store.Tx) {
			spec := operator.EnvironmentSpec{Name: "twin", Layers: []operator.LayerSpec{{Name: "cp", Nodes: 2}}}
			store.Envs.Put(tx, "twin", store.Environment{Want: store.WantRunning, Spec: spec})
			for i, id := range hosts {
				n := store.Node{CTID: wire.CTID(100 + i), Env: "twin", Layer: "cp", Host: id, HTTP: 80}
				store.Hosts.Put(tx, string(id), store.Host{ID: id, Name: string(id)})
				store.Nodes.Put(tx, n.CTID.String(), n)
			}
		})
		runs := func(store.Node) (host.ContainerState, int64) { return host.CtRunning, 0 }
		s.system = c.system
		s.report("h-1", runs)
		s.system = nil
		for range 30 { // six seconds, in which h-1 says nothing
			s.now = s.now.Add(200 * time.Millisecond)
			s.report("h-2", runs)
			s.fleet.Tick(s.now, s.members())
		}
		if sites := s.long(); len(sites) != 1 || len(sites[0].Backends) != c.served {
			t.Errorf("%s: served are %+v, want %d backends", c.name, sites, c.served)
		}
	}
}
