package converge

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/converge/same"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// netbootCTID is the number of the component netboot, which is there only while it is switched on.
const netbootCTID wire.CTID = 8

// netboot makes the component's node while netboot is switched on, anew when its card changed, and has it removed when it is switched off.
// It runs on the infra host that the cluster began on.
func (p *planner) netboot() {
	if !p.dirty.envs[env.System] {
		return
	}
	n, there := p.node(netbootCTID)
	if p.Index.netboot == nil {
		if there && !n.Gone {
			n.Gone, n.Why = true, "netboot is switched off"
			p.put(n, "retire", n.Why)
		}
		return
	}
	var on *store.Host
	for _, h := range p.records() {
		if h.Role == host.RoleInfra && h.Number == 0 {
			on = &h
			break
		}
	}
	if on == nil {
		return // it has not joined yet
	}
	want, err := p.netbootContainer(*p.Index.netboot)
	if err != nil {
		p.stuck[env.System] = "netboot: " + err.Error()
		return
	}
	if rec := p.versions[host.ComponentNetboot]; rec != nil {
		want = versioned(want, rec)
	}
	reason := fmt.Sprintf("netboot is switched on for network card %s, by %s", p.Index.netboot.Interface, p.Index.netboot.By)
	want.Generation = max(1, n.Container.Generation)
	was := n.Container
	switch was.ConfirmBy = want.ConfirmBy; {
	case there && !n.Gone && same.Documents(n.Container, want):
		return
	case there && !n.Gone && same.Documents(was, want): // it is confirmed: it runs on
		reason = "it is confirmed"
	case there:
		want.Generation++
	}
	p.put(store.Node{CTID: netbootCTID, Env: env.System, Layer: host.ComponentNetboot, Host: on.ID,
		Placed:    "components run on the infra host",
		Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, Created: p.now, Container: want}, "place", reason)
}

// netbootContainer is the component's container. Its image comes with the infra host's boot medium.
func (p *planner) netbootContainer(s store.Netboot) (host.Container, error) {
	v4, err := blocks.Component(p.cluster.Infra.Block4, netbootCTID)
	if err != nil {
		return host.Container{}, err
	}
	asked := []string{}
	for n := range p.of(env.System) {
		if n.Container.Component == "orchestrator" {
			asked = append(asked, netip.AddrPortFrom(n.Container.IPv4, 7444).String())
		}
	}
	config, err := json.Marshal(boot.NetbootConfig{Version: 1, Cluster: p.cluster.ID, CAPin: s.Pin, Orchestrator: asked})
	if err != nil {
		return host.Container{}, err
	}
	c := host.Container{CTID: netbootCTID, Env: env.System, Account: wire.AdminAccount, Layer: host.ComponentNetboot,
		Hostname: host.ComponentNetboot, Run: true, Image: host.Image{Name: "jelastic/" + host.ComponentNetboot},
		Profile: host.ProfileApp, Limits: env.LimitsOf(wire.Cloudlets{Reserved: 1, Dynamic: 4}, 1024), IPv4: v4,
		Volumes:   []host.Volume{{Name: "data", Path: "/data", Bytes: 4 << 30}},
		Files:     []host.File{{Path: boot.NetbootConfigFile, Mode: 0o400, Data: config}},
		Component: host.ComponentNetboot, Sockets: host.NetbootSockets(s.Interface)}
	if p.cluster.Infra.Block6 != "" {
		if c.IPv6, err = blocks.Component(p.cluster.Infra.Block6, netbootCTID); err != nil {
			return host.Container{}, err
		}
	}
	return c, nil
}
