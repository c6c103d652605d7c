package network

import (
	"fmt"
	"net/netip"
	"slices"

	"hardnode.dev/agent/network/mesh"
	"hardnode.dev/agent/network/nft"
	"hardnode.dev/agent/network/wall"
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
	{"tcp", host.MountPort, false, "volumes for containers of other hosts, mutual TLS"},
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

var linkLocal6 = netip.MustParsePrefix("fe80::/10")

// rules is the whole ruleset for a state, and the same as a function.
func rules(s State) (*nft.Ruleset, *wall.Wall) {
	s = s.normal()
	w := wall.New(s.Peers, s.Jelastic)
	r := &nft.Ruleset{}
	fillSets(r, s)
	ranges := s.ranges()

	raw, rawOut := r.Chain("raw", nft.HookRawPrerouting), r.Chain("raw_output", nft.HookRawOutput)
	for _, version := range []string{"4", "6"} {
		raw.Add("WireGuard knows its own: no connection is kept for it", nft.Ports(mesh.Port, mesh.Port), nft.IifHasNot(vethPrefix),
			nft.IifIsNot(mesh.Link), nft.Lookup("pair"+version, "mesh"+version, false), nft.NoTrack)
		rawOut.Add("likewise", nft.Ports(mesh.Port, mesh.Port), nft.Lookup("back"+version, "mesh"+version, false), nft.NoTrack)
	}

	in := r.Chain("input", nft.HookInput)
	in.Add("WireGuard of other hosts", nft.Ports(mesh.Port, mesh.Port), nft.CtState(nft.Untracked), nft.Accept)
	in.Add("containers send from their own address only", nft.IifHas(vethPrefix), nft.Jump("spoof"))
	in.Add("answers", nft.CtState(nft.Established|nft.Related), nft.Accept)
	in.Add("neither new nor known", nft.CtState(nft.Invalid), nft.Drop)
	in.Add("the host talks to itself", nft.IifIs("lo"), nft.Accept)
	in.Add("containers get DNS and ping", nft.IifHas(vethPrefix), nft.Jump("from_container"))
	in.Add("ping, errors, neighbour discovery", nft.L4(nft.ICMPv6), nft.Accept)
	in.Add("ping", nft.L4(nft.ICMP), nft.Accept)
	in.Add("nothing of a host is behind the mesh", nft.IifIs(mesh.Link), nft.Drop)
	in.Add("table of ports", nft.Lookup("l4proto_port", "open", false), nft.Accept)
	in.Add("what was handed to a container, on its card", nft.Lookup("iif_l4proto_port", "handed", false), nft.Accept)
	in.Add("DHCP answers", nft.Nfproto(4), nft.L4(nft.UDP), nft.Dport(68), nft.Accept)
	in.Add("DHCPv6 answers", nft.Nfproto(6), nft.L4(nft.UDP), nft.Dport(546), nft.Accept)

	fc := r.Chain("from_container", nft.HookNone)
	gateway := netip.PrefixFrom(Gateway, 32)
	fc.Add("ping", nft.Within("daddr", gateway), nft.L4(nft.ICMP), nft.Accept)
	fc.Add("neighbour discovery, ping", nft.Within("daddr", linkLocal6), nft.L4(nft.ICMPv6), nft.Accept)
	fc.Add("neighbour discovery", nft.Within("daddr", netip.MustParsePrefix("ff02::/16")), nft.L4(nft.ICMPv6), nft.Accept)
	fc.Add("DNS", nft.Within("daddr", gateway), nft.L4(nft.UDP), nft.Dport(53), nft.Accept)
	fc.Add("DNS", nft.Within("daddr", gateway), nft.L4(nft.TCP), nft.Dport(53), nft.Accept)
	fc.Add("nothing else of the host", nft.Drop)

	fw := r.Chain("forward", nft.HookForward)
	fw.Add("containers send from their own address only", nft.IifHas(vethPrefix), nft.Jump("spoof"))
	for _, p := range ranges {
		fw.Add("container addresses are behind veths and the mesh only, whatever routes say", nft.OifHasNot(vethPrefix),
			nft.OifIsNot(mesh.Link), nft.Within("daddr", p), nft.Drop)
	}
	// Connections that are denied now are ended (flows.go). Those are of TCP and UDP; what has no ports is looked at packet by packet.
	fw.Add("answers", nft.CtState(nft.Established), nft.CtReply, nft.Accept)
	fw.Add("connections that are open", nft.CtState(nft.Established), nft.L4(nft.TCP), nft.Accept)
	fw.Add("likewise", nft.CtState(nft.Established), nft.L4(nft.UDP), nft.Accept)
	fw.Add("errors of them", nft.CtState(nft.Related), nft.Accept)
	fw.Add("neither new nor known", nft.CtState(nft.Invalid), nft.Drop)
	fw.Add("nobody saw it begin: what was ended does not begin again in its middle, and both ends hear of it", nft.NoSYN, nft.Reset)
	for _, p := range ranges {
		fw.Add("container addresses come from veths and the mesh only", nft.IifHasNot(vethPrefix), nft.IifIsNot(mesh.Link),
			nft.Within("saddr", p), nft.Drop)
	}
	fw.Add("firewalls of containers, what leaves them", nft.IifJump("out"))
	fw.Add("published ports", nft.CtDNAT, nft.Jump("walled"))
	for _, p := range ranges {
		fw.Add("to a container", nft.Within("daddr", p), nft.Jump("to_container"))
	}
	fw.Add("to the world", nft.IifHas(vethPrefix), nft.Jump("to_world"))

	sp := r.Chain("spoof", nft.HookNone)
	sp.Add("not its own address", nft.Nfproto(4), nft.Lookup("iif_saddr4", "veth4", true), nft.Drop)
	sp.Add("link-local is needed for neighbour discovery", nft.Within("saddr", linkLocal6), nft.L4(nft.ICMPv6), nft.Return)
	sp.Add("neighbour discovery of a new address", nft.Within("saddr", netip.MustParsePrefix("::/128")), nft.L4(nft.ICMPv6), nft.Return)
	sp.Add("not its own address", nft.Nfproto(6), nft.Lookup("iif_saddr6", "veth6", true), nft.Drop)

	tc := r.Chain("to_container", nft.HookNone)
	tc.Add("the platform reaches every node", nft.Lookup("saddr4", "jelastic4", false), nft.Accept)
	tc.Add("the platform reaches every node", nft.Lookup("saddr6", "jelastic6", false), nft.Accept)
	tc.Add("same group", nft.Lookup("group4", "member4", false), nft.Jump("walled"))
	tc.Add("same group", nft.Lookup("group6", "member6", false), nft.Jump("walled"))
	tc.Add("other groups", nft.Drop)

	wd := r.Chain("walled", nft.HookNone)
	wd.Add("firewalls of containers, what comes to them", nft.OifJump("in"))
	wd.Add("none, or it says nothing of it", nft.Accept)
	fillWalls(r, s, w)

	tw := r.Chain("to_world", nft.HookNone)
	tw.Add("the platform reaches hosts", nft.Lookup("saddr4", "jelastic4", false), nft.Accept)
	tw.Add("the platform reaches hosts", nft.Lookup("saddr6", "jelastic6", false), nft.Accept)
	tw.Add("what the cluster offers to all", nft.Lookup("daddr4", "hosts4", false), nft.Lookup("l4proto_port", "cluster", false),
		nft.Accept)
	tw.Add("nothing else of any host", nft.Lookup("daddr4", "hosts4", false), nft.Drop)
	tw.Add("what the cluster offers to all", nft.Lookup("daddr6", "hosts6", false), nft.Lookup("l4proto_port", "cluster", false),
		nft.Accept)
	tw.Add("nothing else of any host", nft.Lookup("daddr6", "hosts6", false), nft.Drop)
	tw.Add("link-local stays here", nft.Within("daddr", netip.MustParsePrefix("169.254.0.0/16")), nft.Drop)
	tw.Add("what a cloud tells its machines is not for containers", nft.Lookup("daddr4", "metadata4", false), nft.Drop)
	tw.Add("likewise", nft.Lookup("daddr6", "metadata6", false), nft.Drop)
	tw.Add("the world", nft.Accept)

	for _, c := range []*nft.Chain{r.Chain("prerouting", nft.HookPrerouting), r.Chain("output", nft.HookOutput)} {
		c.Add("published ports", nft.Lookup("daddr4", "self4", false), nft.DNAT(4, "publish4"))
		c.Add("published ports", nft.Lookup("daddr6", "self6", false), nft.DNAT(6, "publish6"))
		c.Add("public addresses of containers", nft.DNATBy(4, "public4"))
		c.Add("public addresses of containers", nft.DNATBy(6, "public6"))
	}
	po := r.Chain("postrouting", nft.HookPostrouting)
	po.Add("a container that calls itself by its host's address", nft.Lookup("pair4", "hairpin4", false), nft.Masquerade)
	po.Add("a container that calls itself by its host's address", nft.Lookup("pair6", "hairpin6", false), nft.Masquerade)
	for _, e := range s.Endpoints {
		for _, a := range [][2]netip.Addr{{e.IPv4, e.As4}, {e.IPv6, e.As6}} {
			if a[0].IsValid() && a[1].IsValid() {
				own := netip.PrefixFrom(a[0], a[0].BitLen())
				po.Add("other hosts know it by this address", nft.Within("saddr", own), nft.OifIs(mesh.Link), nft.SNAT(a[1]))
			}
		}
	}
	for _, p := range ranges {
		version := 6
		if p.Addr().Is4() {
			version = 4
		}
		po.Add("containers with a public address to the world", nft.Within("saddr", p), nft.NotWithin("daddr", p), nft.OifIsNot(mesh.Link),
			nft.OifHasNot(vethPrefix), nft.SNATBy(version, fmt.Sprint("known", version)))
		po.Add("containers to the world", nft.Within("saddr", p), nft.NotWithin("daddr", p), nft.OifIsNot(mesh.Link),
			nft.OifHasNot(vethPrefix), nft.Masquerade)
	}
	return r, w
}

// fillSets makes all sets and maps; those without elements exist too, since rules name them.
func fillSets(r *nft.Ruleset, s State) {
	open, cluster := r.Set("open", nft.ProtoService), r.Set("cluster", nft.ProtoService)
	for _, p := range openPorts {
		if !p.infra || s.Role == host.RoleInfra {
			open.Add(nft.ProtoPort(p.proto, p.port))
		}
	}
	for _, p := range clusterPorts {
		cluster.Add(nft.ProtoPort(p.proto, p.port))
	}
	metadata4, metadata6 := r.Set("metadata4", nft.Addr4), r.Set("metadata6", nft.Addr6)
	for _, a := range metadata {
		pick(a, metadata4, metadata6).Add(nft.Address(a))
	}
	handed := r.Set("handed", nft.LinkProtoService)
	for _, e := range s.Endpoints {
		for _, h := range e.Sockets {
			handed.Add(nft.Link(h.Link), nft.ProtoPort(h.Proto, h.Port))
		}
	}
	self4, self6 := r.Set("self4", nft.Addr4), r.Set("self6", nft.Addr6)
	for _, a := range s.Addrs {
		pick(a, self4, self6).Add(nft.Address(a))
	}
	veth4, veth6 := r.Set("veth4", nft.LinkAddr4), r.Set("veth6", nft.LinkAddr6)
	publish4 := r.Map("publish4", nft.ProtoService, nft.Addr4Service)
	publish6 := r.Map("publish6", nft.ProtoService, nft.Addr6Service)
	hairpin4, hairpin6 := r.Set("hairpin4", nft.Pair4), r.Set("hairpin6", nft.Pair6)
	public4, public6 := r.Map("public4", nft.Addr4, nft.Addr4), r.Map("public6", nft.Addr6, nft.Addr6)
	known4, known6 := r.Map("known4", nft.Addr4, nft.Addr4), r.Map("known6", nft.Addr6, nft.Addr6)
	for _, e := range s.Endpoints {
		for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
			if a.IsValid() {
				pick(a, veth4, veth6).Add(nft.Link(e.Link()), nft.Address(a))
			}
		}
		for _, p := range e.Publish {
			publish4.Put([]nft.Part{nft.ProtoPort(p.Proto, p.Host)}, nft.Address(e.IPv4), nft.Port(p.Container))
			if e.IPv6.IsValid() {
				publish6.Put([]nft.Part{nft.ProtoPort(p.Proto, p.Host)}, nft.Address(e.IPv6), nft.Port(p.Container))
			}
		}
		for _, a := range e.Public {
			own := e.IPv4
			if a.Is6() {
				own = e.IPv6
			}
			pick(a, public4, public6).Put([]nft.Part{nft.Address(a)}, nft.Address(own))
			pick(a, known4, known6).Put([]nft.Part{nft.Address(own)}, nft.Address(a)) // the first one counts
		}
		if len(e.Publish) > 0 || len(e.Public) > 0 {
			hairpin4.Add(nft.Address(e.IPv4), nft.Address(e.IPv4))
			if e.IPv6.IsValid() {
				hairpin6.Add(nft.Address(e.IPv6), nft.Address(e.IPv6))
			}
		}
	}
	fillMesh(r, s)
	fillGroups(r, s)
}

// fillMesh makes the sets of whom the mesh is with: another host's address, and this host's own that the others know. Nothing else of what
// comes by those ports and addresses is anybody's: containers don't reach hosts there.
func fillMesh(r *nft.Ruleset, s State) {
	mesh4, mesh6 := r.Set("mesh4", nft.Pair4), r.Set("mesh6", nft.Pair6)
	if s.Peers == nil {
		return
	}
	own := slices.IndexFunc(s.Peers.Hosts, func(p host.Peer) bool { return p.ID == s.Self })
	if own < 0 {
		return
	}
	at := s.Peers.Hosts[own].Underlay
	for i, p := range s.Peers.Hosts {
		if i != own && at.IsValid() && p.Underlay.IsValid() && at.Is4() == p.Underlay.Is4() {
			pick(at, mesh4, mesh6).Add(nft.Address(p.Underlay), nft.Address(at))
		}
	}
}

// fillGroups makes the sets that say who may talk to whom. An address is in one group: the first that names it.
func fillGroups(r *nft.Ruleset, s State) {
	jelastic4, jelastic6 := r.Set("jelastic4", nft.Addr4), r.Set("jelastic6", nft.Addr6)
	hosts4, hosts6 := r.Set("hosts4", nft.Addr4), r.Set("hosts6", nft.Addr6)
	group4, group6 := r.Map("group4", nft.Addr4, nft.Mark32), r.Map("group6", nft.Addr6, nft.Mark32)
	member4, member6 := r.Set("member4", nft.Addr4Mark), r.Set("member6", nft.Addr6Mark)
	platform := slices.Clone(s.Jelastic)
	for _, a := range s.Addrs {
		pick(a, hosts4, hosts6).Add(nft.Address(a))
	}
	if s.Peers != nil {
		for _, h := range s.Peers.Hosts {
			for _, a := range append([]netip.Addr{h.Underlay}, h.Addrs...) {
				if a.IsValid() {
					pick(a, hosts4, hosts6).Add(nft.Address(a))
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
				pick(a, group4, group6).Put([]nft.Part{nft.Address(a)}, nft.Mark(uint32(i+1)))
				pick(a, member4, member6).Add(nft.Address(a), nft.Mark(uint32(i+1)))
			}
		}
	}
	for _, a := range platform {
		if a.IsValid() {
			pick(a, jelastic4, jelastic6).Add(nft.Address(a))
		}
	}
}

func pick(a netip.Addr, four, six *nft.Set) *nft.Set {
	if a.Is4() {
		return four
	}
	return six
}
