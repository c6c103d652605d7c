package network

import (
	"fmt"
	"net/netip"
	"slices"

	"hardnode.dev/agent/network/nft"
	"hardnode.dev/agent/network/wall"
)

// fillWalls makes the chains of containers that have a firewall, and the maps that lead to them by their link: a container without one
// costs a look-up, and one with many rules costs nobody else anything.
func fillWalls(r *nft.Ruleset, s State, w *wall.Wall) {
	in, out := r.Map("in", nft.LinkName, nft.Verdict), r.Map("out", nft.LinkName, nft.Verdict)
	for _, e := range s.Endpoints {
		compiled := w.Put([]netip.Addr{e.IPv4, e.IPv6}, e.Firewall, s.Peers)
		if len(compiled) == 0 {
			continue
		}
		into, from := r.Chain("in_"+e.CTID.String(), nft.HookNone), r.Chain("out_"+e.CTID.String(), nft.HookNone)
		in.PutJump("in_"+e.CTID.String(), nft.Link(e.Link()))
		out.PutJump("out_"+e.CTID.String(), nft.Link(e.Link()))
		for i, c := range compiled {
			chain, peer, allow := from, "daddr", nft.Return // what may leave has still to be let in somewhere
			if c.In {
				chain, peer, allow = into, "saddr", nft.Accept
			}
			for _, match := range matches(r, c, fmt.Sprintf("%s_%d_", e.CTID, i), peer) {
				if c.Rate > 0 {
					chain.Add(c.Name+": no faster", slices.Concat(match, []nft.Op{nft.Over(c.Rate), nft.Drop})...)
				}
				if c.Allow {
					chain.Add(c.Name, slices.Concat(match, []nft.Op{allow})...)
				} else {
					chain.Add(c.Name, slices.Concat(match, []nft.Op{nft.Drop})...)
				}
			}
		}
	}
}

// matches are the ways to match a rule: one for each version of IP that it is about, and each of its ports. Several peers are a set, whose
// name begins so.
func matches(r *nft.Ruleset, c wall.Rule, name, which string) (out [][]nft.Op) {
	peers := [][]nft.Op{nil}
	if !c.Anybody {
		peers = ofPeers(r, c.Peers, name, which)
	}
	protocols := [][]nft.Op{nil}
	switch c.Protocol {
	case nft.ICMP:
		protocols = [][]nft.Op{{nft.L4(nft.ICMP)}, {nft.L4(nft.ICMPv6)}}
	case nft.TCP, nft.UDP:
		protocols = [][]nft.Op{{nft.L4(c.Protocol)}}
	}
	if len(c.Ports) > 0 {
		protocols = nil
		for _, p := range c.Ports {
			protocols = append(protocols, []nft.Op{nft.L4(c.Protocol), nft.Dports(p[0], p[1])})
		}
	}
	for _, peer := range peers {
		for _, protocol := range protocols {
			out = append(out, slices.Concat(peer, protocol))
		}
	}
	return out
}

func ofPeers(r *nft.Ruleset, peers []netip.Prefix, name, which string) (out [][]nft.Op) {
	if len(peers) == 1 {
		return [][]nft.Op{{nft.Within(which, peers[0])}}
	}
	sets := map[bool]*nft.Set{}
	for _, p := range peers { // those of a name: addresses
		six := p.Addr().Is6()
		if sets[six] == nil {
			version, kind := "4", nft.Addr4
			if six {
				version, kind = "6", nft.Addr6
			}
			sets[six] = r.Set("peer_"+name+version, kind)
			out = append(out, []nft.Op{nft.Lookup(which+version, "peer_"+name+version, false)})
		}
		sets[six].Add(nft.Address(p.Addr()))
	}
	return out
}
