// Package network gives containers their addresses and lets packets go only where they may.
//
// Owns: the veths, the routes with this package's protocol number, the nftables table "hardnode", the sysctls it needs; the mesh is a room
// of its own.
// In: State, the whole of what shall be; network namespaces of containers that are being started.
// Out: a kernel that matches State; this boot's mesh public key.
// Never: touches links, routes or tables of others, decides who may talk to whom, or leaves half a ruleset: each change is one transaction.
package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"hardnode.dev/agent/network/mesh"
	"hardnode.dev/agent/network/rate"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
)

// Names and numbers this package owns on a host.
const (
	vethPrefix = "hv" // host ends: hv<ctid>
	routeProto = 104  // marks our routes, so that others' are left alone
	inside     = "eth0"
)

// Gateway is the address every container finds its host at: next hop and DNS server.
var (
	Gateway  = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
)

// ResolvConf is the /etc/resolv.conf of the containers of an environment: agent/names answers at Gateway.
func ResolvConf(env string) []byte {
	return fmt.Appendf(nil, "nameserver %s\nsearch %s.internal\noptions timeout:2 attempts:2\n", Gateway, env)
}

// Endpoint is one container on this host.
type Endpoint struct {
	CTID    wire.CTID
	IPv4    netip.Addr
	IPv6    netip.Addr // may be zero
	Publish []host.Port
	Public  []netip.Addr  // that lead to it; the first of a family is what it is known by in the world
	Sockets []host.Socket // of the host, that it was handed
	// Firewall is sorted.
	Firewall []firewall.PacketRule
	// As4 and As6 are the addresses of this host that other hosts know it by; zero: its own.
	As4, As6 netip.Addr
	Rate     rate.Rate
}

// Link is the name of the endpoint's veth on the host.
func (e Endpoint) Link() string { return vethPrefix + e.CTID.String() }

// State is the whole network of a host.
type State struct {
	Role      host.Role
	Self      wire.HostID
	Addrs     []netip.Addr // addresses of the host's own links
	Endpoints []Endpoint   // containers here that shall run or still run
	Peers     *host.Peers  // nil before the first one came
	Jelastic  []netip.Addr // addresses of jelastic's containers known without Peers
}

// normal is s in one order, so that equal states render equally.
func (s State) normal() State {
	s.Addrs = slices.Clone(s.Addrs)
	slices.SortFunc(s.Addrs, netip.Addr.Compare)
	s.Addrs = slices.Compact(s.Addrs)
	s.Endpoints = slices.Clone(s.Endpoints)
	slices.SortFunc(s.Endpoints, func(a, b Endpoint) int { return cmp.Compare(a.CTID, b.CTID) })
	return s
}

// ranges are all container addresses of the cluster; before Peers is known, exactly the addresses of the containers here.
func (s State) ranges() (r []netip.Prefix) {
	if s.Peers != nil {
		for _, p := range []netip.Prefix{s.Peers.Range4, s.Peers.Range6} {
			if p.IsValid() {
				r = append(r, p)
			}
		}
		return r
	}
	for _, e := range s.Endpoints {
		for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
			if a.IsValid() {
				r = append(r, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	return r
}

// rates are those of the links of containers that have some.
func (s State) rates() map[string]rate.Rate {
	rates := map[string]rate.Rate{}
	for _, e := range s.Endpoints {
		if e.Rate != (rate.Rate{}) {
			rates[e.Link()] = e.Rate
		}
	}
	return rates
}

// ofContainer tells whether a link is the host's end of a container's.
func ofContainer(link string) bool {
	_, err := wire.ParseCTID(strings.TrimPrefix(link, vethPrefix))
	return err == nil && strings.HasPrefix(link, vethPrefix)
}

// route is one wanted route. An empty dev means: drop silently (what is behind it does not exist).
type route struct {
	dst netip.Prefix
	dev string
}

func (r route) String() string {
	if r.dev == "" {
		return fmt.Sprintf("blackhole %s", r.dst)
	}
	return fmt.Sprintf("%s dev %s", r.dst, r.dev)
}

// routes are all routes this package wants: containers here over their veths, other hosts' blocks and moved addresses over the mesh, and
// nothing for what is left of this host's own blocks.
func (s State) routes() []route {
	at := map[netip.Prefix]string{}
	if s.Peers != nil {
		for _, p := range s.Peers.Hosts {
			dev := mesh.Link
			if p.ID == s.Self {
				dev = ""
			} else if !mesh.Reachable(p) {
				dev = ""
			}
			for _, b := range p.Blocks {
				at[b] = dev
			}
		}
		for _, p := range s.Peers.Hosts { // moved addresses are exceptions: they win over blocks by being longer
			for _, b := range p.Moved {
				if p.ID != s.Self && mesh.Reachable(p) {
					at[b] = mesh.Link
				}
			}
		}
	}
	for _, e := range s.Endpoints {
		for _, a := range append([]netip.Addr{e.IPv4, e.IPv6}, e.Public...) { // the kernel answers for what it would forward
			if a.IsValid() {
				at[netip.PrefixFrom(a, a.BitLen())] = e.Link()
			}
		}
	}
	out := make([]route, 0, len(at))
	for dst, dev := range at {
		out = append(out, route{dst, dev})
	}
	slices.SortFunc(out, func(a, b route) int {
		return cmp.Or(a.dst.Addr().Compare(b.dst.Addr()), cmp.Compare(a.dst.Bits(), b.dst.Bits()))
	})
	return out
}
