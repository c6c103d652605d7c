package apply

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/network"
	"hardnode.dev/agent/network/rate"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
)

// network makes the kernel's network match, when the state changed and every now and then.
func (a *Applier) network(ctx context.Context, in plan.Input, list []container.Observed) {
	s, running := a.state(ctx, in, list)
	if s.Peers != nil && s.Peers != a.names {
		a.o.Names(s.Peers)
		a.names = s.Peers
	}
	if a.netErr == nil && !a.netDone.IsZero() && time.Since(a.netDone) < whole && same(s, a.lastNet) {
		a.repair(running, func(id wire.CTID) bool { return a.cut[id] != "" })
		return
	}
	err := a.o.Network.Apply(ctx, s)
	if err == nil {
		a.repair(running, func(wire.CTID) bool { return true })
	}
	if err != nil && (a.netErr == nil || a.netErr.Error() != err.Error()) {
		a.log.Error("network", logging.Err, err)
	}
	a.lastNet, a.netErr, a.netDone = s, err, time.Now()
	if err == nil && s.Peers != nil {
		a.publish(func(r *Report) { r.Peers = s.Peers.Revision })
	}
}

// repair connects running containers whose connection is gone, those that which names. One that can't be is that container's trouble.
func (a *Applier) repair(running []network.Endpoint, which func(wire.CTID) bool) {
	cut := map[wire.CTID]string{}
	for _, e := range running {
		if !which(e.CTID) {
			continue
		}
		key := "connect " + e.CTID.String()
		err := a.o.Network.Repair(e, a.o.Runtime.Netns)
		if err == nil || errors.Is(err, container.ErrNotRunning) { // it ended meanwhile
			a.said.over(key)
			continue
		}
		cut[e.CTID] = err.Error()
		a.warn(key, "container is not connected", err)
	}
	a.cut = cut
}

// state is the network as it shall be: endpoints of what shall run or still runs. running are those whose process is there.
func (a *Applier) state(ctx context.Context, in plan.Input, list []container.Observed) (s network.State, running []network.Endpoint) {
	eff := in.Work
	s = network.State{Addrs: a.o.Addrs(ctx), Peers: a.o.Store.Peers()}
	s.Self, s.Role = a.o.Self()
	at, wanted := map[wire.CTID]bool{}, map[wire.CTID]host.Container{}
	if eff != nil {
		for _, c := range eff.Containers {
			wanted[c.CTID] = c
			s.Jelastic = append(s.Jelastic, ofPlatform(c)...)
			if c.Run && !c.Remove {
				s.Endpoints = append(s.Endpoints, led(c, in))
				at[c.CTID] = true
			}
		}
	}
	if a.trying != nil {
		s.Endpoints = append(s.Endpoints, network.Endpoint{CTID: smokeCTID, IPv4: smokeAddr})
	}
	for _, o := range list {
		if o.State != container.StateRunning {
			continue
		}
		c := o.Spec
		if !c.IPv4.IsValid() { // the note of its start is damaged
			c = wanted[o.CTID]
		}
		if c.IPv4.IsValid() {
			running = append(running, endpoint(c))
			if !at[o.CTID] {
				s.Endpoints = append(s.Endpoints, led(c, in))
			}
			if wanted[o.CTID].CTID == 0 {
				s.Jelastic = append(s.Jelastic, ofPlatform(c)...)
			}
		}
	}
	return s, running
}

// ofPlatform are the addresses of a container of "jelastic".
func ofPlatform(c host.Container) (out []netip.Addr) {
	for _, a := range []netip.Addr{c.IPv4, c.IPv6} {
		if c.Env == plan.Jelastic && a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

func endpoint(c host.Container) network.Endpoint {
	e := network.Endpoint{CTID: c.CTID, IPv4: c.IPv4, IPv6: c.IPv6, Publish: slices.Concat(c.Publish, c.Ports), Sockets: c.Sockets,
		Public:   c.Addresses,
		Firewall: firewall.Sort(c.Firewall), Rate: rate.Rate{In: c.Limits.Ceilings.NetIn, Out: c.Limits.Ceilings.NetOut}}
	e.As4, e.As6 = plan.SpeaksAs(c)
	return e
}

// led is a container's endpoint with the published ports that lead to it.
func led(c host.Container, in plan.Input) network.Endpoint {
	e := endpoint(c)
	if !plan.Leads(in.Work, in, c.CTID) {
		e.Publish = nil
	}
	return e
}

func same(a, b network.State) bool { return reflect.DeepEqual(a, b) }
