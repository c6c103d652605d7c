package world

import (
	"net/netip"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
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

// What is for a node that is stopped since it moves waits for it; one that was stopped by its environment is left out.
func TestSitesOfMovingNodes(t *testing.T) {
	for _, c := range []struct {
		name   string
		step   store.MoveStep
		want   store.Want
		state  host.ContainerState
		served int
		held   bool
	}{
		{"it runs while it is copied", store.MoveCopy, store.WantRunning, host.CtRunning, 1, false},
		{"it is down while it is copied", store.MoveCopy, store.WantRunning, host.CtFailing, 0, false},
		{"it is stopped for the last copy", store.MoveLast, store.WantRunning, host.CtStopped, 1, true},
		{"its environment is stopped", store.MoveLast, store.WantStopped, host.CtStopped, 0, false},
		{"it has come and starts", store.MoveClean, store.WantRunning, host.CtStarting, 1, true},
		{"it runs there", store.MoveClean, store.WantRunning, host.CtRunning, 1, false},
	} {
		s := newSited()
		s.put(func(tx *store.Tx) {
			spec := operator.EnvironmentSpec{Name: "one", Layers: []operator.LayerSpec{{Name: "cp", Nodes: 1}}}
			store.Envs.Put(tx, "one", store.Environment{Want: c.want, Spec: spec})
			for _, id := range []wire.HostID{"h-1", "h-2"} {
				store.Hosts.Put(tx, string(id), store.Host{ID: id, Name: string(id)})
			}
			store.Nodes.Put(tx, "100", store.Node{CTID: 100, Env: "one", Layer: "cp", Host: "h-1", HTTP: 80,
				Moving: &store.Moving{Operation: "op-1", Other: "h-2", Step: c.step}})
		})
		s.report("h-1", func(store.Node) (host.ContainerState, int64) { return c.state, 0 })
		s.report("h-2", func(store.Node) (host.ContainerState, int64) { return host.CtRunning, 0 })
		sites := s.long()
		if len(sites) != 1 || len(sites[0].Backends) != c.served || c.served == 1 && sites[0].Backends[0].Held != c.held {
			t.Errorf("%s: served are %+v", c.name, sites)
		}
	}
}

// What is for a node that is about to be started anew, or is being, goes to others or waits; one that was stopped is left out.
func TestSitesOfQuietNodes(t *testing.T) {
	for _, c := range []struct {
		name   string
		want   store.Want
		state  host.ContainerState
		served int
	}{
		{"it runs still", store.WantRunning, host.CtRunning, 1},
		{"it is stopped", store.WantRunning, host.CtWaiting, 1},
		{"its environment is stopped", store.WantStopped, host.CtStopped, 0},
	} {
		s := newSited()
		s.put(func(tx *store.Tx) {
			spec := operator.EnvironmentSpec{Name: "one", Layers: []operator.LayerSpec{{Name: "cp", Nodes: 1}}}
			store.Envs.Put(tx, "one", store.Environment{Want: c.want, Spec: spec})
			store.Hosts.Put(tx, "h-1", store.Host{ID: "h-1", Name: "h-1"})
			store.Nodes.Put(tx, "100", store.Node{CTID: 100, Env: "one", Layer: "cp", Host: "h-1", HTTP: 80,
				Quiet: &store.Quiet{At: s.now}})
		})
		s.report("h-1", func(store.Node) (host.ContainerState, int64) { return c.state, 0 })
		sites := s.long()
		if len(sites) != 1 || len(sites[0].Backends) != c.served || c.served == 1 && !sites[0].Backends[0].Held {
			t.Errorf("%s: served are %+v", c.name, sites)
		}
	}
}

// TestSitesFront: a site has its environment's settings, its nodes their shares by their number in the layer; another environment's of the
// same name are nothing to it, and a pass is there during maintenance only.
func TestSitesFront(t *testing.T) {
	s := newSited()
	created := s.now
	s.put(func(tx *store.Tx) {
		store.Envs.Put(tx, "shop", store.Environment{Want: store.WantRunning, Created: created,
			Spec: operator.EnvironmentSpec{Name: "shop", Layers: []operator.LayerSpec{{Name: "cp", Nodes: 3}}}})
		store.Hosts.Put(tx, "h-1", store.Host{ID: "h-1", Name: "h-1"})
		for i := range 3 {
			n := store.Node{CTID: wire.CTID(101 + i), Env: "shop", Layer: "cp", Index: i, Host: "h-1", HTTP: 80}
			n.Container.Generation, n.Container.IPv4 = 1, netip.AddrFrom4([4]byte{10, 96, 1, byte(10 + i)})
			store.Nodes.Put(tx, n.CTID.String(), n)
		}
		store.Fronts.Put(tx, "shop", store.Front{Env: "shop", Since: created, Pass: []byte("pass"),
			Settings: front.Settings{Maintenance: true, Weights: map[string]int{"1": 0, "3": 20}}})
	})
	s.fleet.Tick(s.now, s.members())
	s.report("h-1", func(store.Node) (host.ContainerState, int64) { return host.CtRunning, 1 })
	one := func() host.Site {
		t.Helper()
		all := s.long()
		if len(all) != 1 || len(all[0].Backends) != 3 {
			t.Fatalf("there are %+v", all)
		}
		return all[0]
	}
	site := one()
	b := site.Backends
	if !b[0].Spare || b[1].Spare || b[1].Weight != 0 || b[2].Weight != 20 || site.Front == nil || !site.Front.Maintenance ||
		site.Front.Weights != nil || string(site.Pass) != "pass" || !site.Since.Equal(created) {
		t.Errorf("it is %+v", site)
	}
	s.put(func(tx *store.Tx) {
		f, _ := store.Fronts.Read(tx, "shop")
		f.Settings.Maintenance = false
		store.Fronts.Put(tx, "shop", f)
	})
	if site := one(); len(site.Pass) > 0 || site.Front == nil {
		t.Errorf("maintenance is over: %+v", site)
	}
	s.put(func(tx *store.Tx) {
		f, _ := store.Fronts.Read(tx, "shop")
		f.Since = created.Add(-time.Hour)
		store.Fronts.Put(tx, "shop", f)
	})
	if site := one(); site.Front != nil || site.Backends[0].Spare {
		t.Errorf("it has another one's settings: %+v", site)
	}
}
