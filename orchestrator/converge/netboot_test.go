package converge

import (
	"net/netip"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/live"
	"hardnode.dev/orchestrator/store"
)

// TestNetboot: the component is in the infra host's work while netboot is switched on, made anew with its card, and taken out only when
// the host has removed it as it was told.
func TestNetboot(t *testing.T) {
	w := newWorld(2)
	w.in.Cluster.Infra = boot.InfraHost{Block4: "10.96.0.0/24", Block6: "fd48:4e00::/64"}
	w.in.Envs = []store.Environment{{Spec: operator.EnvironmentSpec{Version: 1, Name: env.System}, Want: store.WantRunning, System: true}}
	w.in.Nodes = []store.Node{{CTID: 3, Env: env.System, Layer: "orchestrator", Host: "h-0", Container: host.Container{CTID: 3,
		Env:       env.System,
		Component: "orchestrator", IPv4: netip.MustParseAddr("10.96.0.13")}}}
	component := func() (c host.Container, there bool) {
		for _, c := range w.in.Works["h-0"].Containers {
			if c.CTID == netbootCTID {
				return c, true
			}
		}
		return c, false
	}
	told := func() { // the host says what it runs: all that is not to be removed
		w.report(0, operator.HostActive)
		r := w.in.Live["h-0"].Report
		r.Planned = r.Work
		for i, c := range w.in.Works["h-0"].Containers {
			if c.Remove {
				r.Containers = append(r.Containers[:i], r.Containers[i+1:]...)
			}
		}
	}
	w.turn("off")
	if _, there := component(); there {
		t.Fatal("it is there at first")
	}
	w.in.Netboot = &store.Netboot{Interface: "underlay", All: true, Pin: "sha256:" + strings.Repeat("0a", 32), By: "admin"}
	w.turn("on")
	c, there := component()
	if !there || c.Generation != 1 || !c.Run || c.Remove || c.Sockets[0].Link != "underlay" ||
		c.IPv4 != netip.MustParseAddr("10.96.0.18") || c.IPv6 != netip.MustParseAddr("fd48:4e00::12") {
		t.Fatalf("the component is %+v, %v", c, there)
	}
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	config, err := boot.DecodeNetbootConfig(c.Files[0].Data.Reveal())
	if err != nil || config.Orchestrator[0] != "10.96.0.13:7444" || config.Cluster != w.in.Cluster.ID {
		t.Errorf("its configuration is %+v, %v", config, err)
	}
	told()
	if p := w.turn("again"); len(p.Steps) > 0 {
		t.Errorf("again: %+v", p.Steps)
	}
	w.in.Netboot.Release = "1.4.0" // it is told that by itself
	if p := w.turn("another release"); len(p.Steps) > 0 {
		t.Errorf("another release: %+v", p.Steps)
	}
	w.in.Netboot.Interface = "outside"
	w.turn("another card")
	if c, _ := component(); c.Generation != 2 || c.Sockets[3].Link != "outside" {
		t.Errorf("with another card it is %+v", c)
	}
	w.in.Netboot = nil
	w.turn("off")
	if c, there := component(); !there || !c.Remove {
		t.Errorf("switched off it is %+v, %v", c, there)
	}
	w.report(0, operator.HostActive) // it still runs
	w.turn("not yet")
	if _, there := component(); !there {
		t.Error("it is out of the work before the host removed it")
	}
	told()
	w.turn("removed")
	w.turn("after it")
	if c, there := component(); there || len(w.in.Nodes) != 1 {
		t.Errorf("at the end: %+v, %d nodes", c, len(w.in.Nodes))
	}
	w.in.Netboot = &store.Netboot{Interface: "underlay", By: "admin"}
	w.turn("on again")
	w.in.Live["h-0"] = live.Status{State: w.in.Live["h-0"].State}
	w.in.Netboot = nil
	w.turn("off before it was heard of")
	w.in.Netboot = &store.Netboot{Interface: "underlay", By: "admin"}
	w.turn("and on")
	if c, _ := component(); c.Remove || c.Generation != 2 {
		t.Errorf("on again it is %+v", c)
	}
}
