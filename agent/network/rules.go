package network

import (
	"net/netip"
	"slices"

	"hardnode.dev/agent/network/mesh"
	"hardnode.dev/internal/wire/host"
)

// openPort is one port of the host itself that the input chain lets in from the underlay.
type openPort struct {
	proto  string
	port   uint16
	infra  bool // on infra hosts only
	reason string
}

// openPorts is the documented table of ports. Ports of jelastic's containers get in by being published (DNAT), not by this table; the
// sockets that netboot was handed are open on its card, as long as it shall run or runs.
var openPorts = []openPort{
	{"udp", mesh.Port, false, "WireGuard mesh between hosts; packets without a known key are dropped by it"},
	{"tcp", 7442, false, "gossip: encrypted, labelled with the cluster's id, signed cards"},
	{"udp", 7442, false, "gossip"},
	{"tcp", host.PeerPort, false, "systems for other hosts, mutual TLS"},
	{"tcp", 7443, true, "API and panel (published by the orchestrator's container)"},
	{"tcp", 7444, true, "host API, mutual TLS (published likewise)"},
	{"tcp", 7445, true, "registry (published likewise)"},
	{"tcp", 7446, true, "JLS (published likewise)"},
	{"tcp", 7447, true, "Patcher, mutual TLS (published likewise)"},
	{"tcp", 80, true, "resolver, HTTP (published likewise)"},
}

// clusterPorts are the ports of other hosts that users' containers may reach: what is offered to everybody.
var clusterPorts = []openPort{
	{"tcp", 80, false, "environments of the cluster by their domain"},
	{"tcp", 443, false, "likewise"},
	{"tcp", 53, false, "the cluster's DNS"},
	{"udp", 53, false, "likewise"},
	{"tcp", 7443, false, "API"},
}

// metadata are the addresses, beside those that are link-local, at which clouds tell a machine its keys.
var metadata = []netip.Addr{
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("fd00:ec2::254"),   // Amazon
	netip.MustParseAddr("fd20:ce::254"),    // Google
}

// rules is the whole ruleset for a state.
func rules(s State) *ruleset {
	s = s.normal()
	r := &ruleset{}
	r.fillSets(s)
	ranges := s.ranges()

	in := r.chain("input", hookInput)
	in.add("containers send from their own address only", iifHas(vethPrefix), jump("spoof"))
	in.add("answers", ctState(established|related), accept)
	in.add("neither new nor known", ctState(invalid), drop)
	in.add("the host talks to itself", iifIs("lo"), accept)
	in.add("containers get DNS and ping", iifHas(vethPrefix), jump("from_container"))
	in.add("ping, errors, neighbour discovery", l4(protoICMPv6), accept)
	in.add("ping", l4(protoICMP), accept)
	in.add("nothing of a host is behind the mesh", iifIs(mesh.Link), drop)
	in.add("table of ports", lookup("l4proto_port", "open", false), accept)
	in.add("what was handed to a container, on its card", lookup("iif_l4proto_port", "handed", false), accept)
	in.add("DHCP answers", nfproto(4), l4(protoUDP), dport(68), accept)
	in.add("DHCPv6 answers", nfproto(6), l4(protoUDP), dport(546), accept)

	fc := r.chain("from_container", hookNone)
	gateway := netip.PrefixFrom(Gateway, 32)
	fc.add("ping", within("daddr", gateway), l4(protoICMP), accept)
	fc.add("neighbour discovery, ping", within("daddr", netip.MustParsePrefix("fe80::/10")), l4(protoICMPv6), accept)
	fc.add("neighbour discovery", within("daddr", netip.MustParsePrefix("ff02::/16")), l4(protoICMPv6), accept)
	fc.add("DNS", within("daddr", gateway), l4(protoUDP), dport(53), accept)
	fc.add("DNS", within("daddr", gateway), l4(protoTCP), dport(53), accept)
	fc.add("nothing else of the host", drop)

	fw := r.chain("forward", hookForward)
	fw.add("containers send from their own address only", iifHas(vethPrefix), jump("spoof"))
	for _, p := range ranges {
		fw.add("container addresses are behind veths and the mesh only, whatever routes say", oifHasNot(vethPrefix), oifIsNot(mesh.Link),
			within("daddr", p), drop)
	}
	fw.add("answers", ctState(established|related), accept)
	fw.add("neither new nor known", ctState(invalid), drop)
	for _, p := range ranges {
		fw.add("container addresses come from veths and the mesh only", iifHasNot(vethPrefix), iifIsNot(mesh.Link),
			within("saddr", p), drop)
	}
	fw.add("published ports", ctDNAT, accept)
	for _, p := range ranges {
		fw.add("to a container", within("daddr", p), jump("to_container"))
	}
	fw.add("to the world", iifHas(vethPrefix), jump("to_world"))

	sp := r.chain("spoof", hookNone)
	sp.add("not its own address", nfproto(4), lookup("iif_saddr4", "veth4", true), drop)
	sp.add("link-local is needed for neighbour discovery", within("saddr", netip.MustParsePrefix("fe80::/10")), l4(protoICMPv6), back)
	sp.add("neighbour discovery of a new address", within("saddr", netip.MustParsePrefix("::/128")), l4(protoICMPv6), back)
	sp.add("not its own address", nfproto(6), lookup("iif_saddr6", "veth6", true), drop)

	tc := r.chain("to_container", hookNone)
	tc.add("the platform reaches every node", lookup("saddr4", "jelastic4", false), accept)
	tc.add("the platform reaches every node", lookup("saddr6", "jelastic6", false), accept)
	tc.add("same group", lookup("group4", "member4", false), accept)
	tc.add("same group", lookup("group6", "member6", false), accept)
	tc.add("other groups", drop)

	tw := r.chain("to_world", hookNone)
	tw.add("the platform reaches hosts", lookup("saddr4", "jelastic4", false), accept)
	tw.add("the platform reaches hosts", lookup("saddr6", "jelastic6", false), accept)
	tw.add("what the cluster offers to all", lookup("daddr4", "hosts4", false), lookup("l4proto_port", "cluster", false), accept)
	tw.add("nothing else of any host", lookup("daddr4", "hosts4", false), drop)
	tw.add("what the cluster offers to all", lookup("daddr6", "hosts6", false), lookup("l4proto_port", "cluster", false), accept)
	tw.add("nothing else of any host", lookup("daddr6", "hosts6", false), drop)
	tw.add("link-local stays here", within("daddr", netip.MustParsePrefix("169.254.0.0/16")), drop)
	tw.add("what a cloud tells its machines is not for containers", lookup("daddr4", "metadata4", false), drop)
	tw.add("likewise", lookup("daddr6", "metadata6", false), drop)
	tw.add("the world", accept)

	for _, c := range []*chain{r.chain("prerouting", hookPrerouting), r.chain("output", hookOutput)} {
		c.add("published ports", lookup("daddr4", "self4", false), dnat(4, "publish4"))
		c.add("published ports", lookup("daddr6", "self6", false), dnat(6, "publish6"))
	}
	po := r.chain("postrouting", hookPostrouting)
	po.add("a container that calls its own published port", lookup("pair4", "hairpin4", false), masquerade)
	for _, e := range s.Endpoints {
		for _, a := range [][2]netip.Addr{{e.IPv4, e.As4}, {e.IPv6, e.As6}} {
			if a[0].IsValid() && a[1].IsValid() {
				own := netip.PrefixFrom(a[0], a[0].BitLen())
				po.add("other hosts know it by this address", within("saddr", own), oifIs(mesh.Link), snat(a[1]))
			}
		}
	}
	for _, p := range ranges {
		po.add("containers to the world", within("saddr", p), notWithin("daddr", p), oifIsNot(mesh.Link), oifHasNot(vethPrefix), masquerade)
	}
	return r
}

// fillSets makes all sets and maps; those without elements exist too, since rules name them.
func (r *ruleset) fillSets(s State) {
	open, cluster := r.set("open", keyProtoPort), r.set("cluster", keyProtoPort)
	for _, p := range openPorts {
		if !p.infra || s.Role == host.RoleInfra {
			open.add(protoPort(p.proto, p.port))
		}
	}
	for _, p := range clusterPorts {
		cluster.add(protoPort(p.proto, p.port))
	}
	metadata4, metadata6 := r.set("metadata4", keyAddr4), r.set("metadata6", keyAddr6)
	for _, a := range metadata {
		pick(a, metadata4, metadata6).add(addr(a))
	}
	handed := r.set("handed", keyLinkProtoPort)
	for _, e := range s.Endpoints {
		for _, h := range e.Sockets {
			handed.add(link(h.Link), protoPort(h.Proto, h.Port))
		}
	}
	self4, self6 := r.set("self4", keyAddr4), r.set("self6", keyAddr6)
	for _, a := range s.Addrs {
		pick(a, self4, self6).add(addr(a))
	}
	veth4, veth6 := r.set("veth4", keyLinkAddr4), r.set("veth6", keyLinkAddr6)
	publish4, publish6 := r.mapping("publish4", keyProtoPort, keyAddr4Port), r.mapping("publish6", keyProtoPort, keyAddr6Port)
	hairpin4 := r.set("hairpin4", keyPair4)
	for _, e := range s.Endpoints {
		for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
			if a.IsValid() {
				pick(a, veth4, veth6).add(link(e.Link()), addr(a))
			}
		}
		for _, p := range e.Publish {
			publish4.put([]part{protoPort(p.Proto, p.Host)}, addr(e.IPv4), port(p.Container))
			if e.IPv6.IsValid() {
				publish6.put([]part{protoPort(p.Proto, p.Host)}, addr(e.IPv6), port(p.Container))
			}
		}
		if len(e.Publish) > 0 {
			hairpin4.add(addr(e.IPv4), addr(e.IPv4))
		}
	}
	r.fillGroups(s)
}

// fillGroups makes the sets that say who may talk to whom. An address is in one group: the first that names it.
func (r *ruleset) fillGroups(s State) {
	jelastic4, jelastic6 := r.set("jelastic4", keyAddr4), r.set("jelastic6", keyAddr6)
	hosts4, hosts6 := r.set("hosts4", keyAddr4), r.set("hosts6", keyAddr6)
	group4, group6 := r.mapping("group4", keyAddr4, keyMark), r.mapping("group6", keyAddr6, keyMark)
	member4, member6 := r.set("member4", keyAddr4Mark), r.set("member6", keyAddr6Mark)
	platform := slices.Clone(s.Jelastic)
	for _, a := range s.Addrs {
		pick(a, hosts4, hosts6).add(addr(a))
	}
	if s.Peers != nil {
		for _, h := range s.Peers.Hosts {
			for _, a := range append([]netip.Addr{h.Underlay}, h.Addrs...) {
				if a.IsValid() {
					pick(a, hosts4, hosts6).add(addr(a))
				}
			}
		}
		taken := map[netip.Addr]bool{}
		for i, g := range s.Peers.Groups {
			if g.Name == "jelastic" {
				platform = append(platform, g.Addrs...)
				continue
			}
			for _, a := range g.Addrs {
				if !a.IsValid() || taken[a] {
					continue
				}
				taken[a] = true
				pick(a, group4, group6).put([]part{addr(a)}, mark(uint32(i+1)))
				pick(a, member4, member6).add(addr(a), mark(uint32(i+1)))
			}
		}
	}
	for _, a := range platform {
		if a.IsValid() {
			pick(a, jelastic4, jelastic6).add(addr(a))
		}
	}
}

func pick(a netip.Addr, four, six *set) *set {
	if a.Is4() {
		return four
	}
	return six
}
