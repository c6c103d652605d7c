// Package wall decides who may talk to whom.
//
// Owns: groups, the platform's privilege and containers' firewalls as one function of a connection.
// In: Peers, the firewalls of this host's containers; connections.
// Out: whether a connection may be; compiled rules, of which agent/network makes the kernel's.
// Never: looks at packets, or knows of anything but containers: what of hosts they may reach is agent/network's.
package wall

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
)

// Rule is a firewall.PacketRule whose peer is known.
type Rule struct {
	Name     string
	In       bool
	Allow    bool
	Protocol byte        // 0: all; ICMP is both
	Ports    [][2]uint16 // first and last; none: all
	// Anybody, or those that Peers contain: none, where the name is of nobody here.
	Anybody bool
	Peers   []netip.Prefix
	Rate    int // connections a second; 0: no limit
}

var protocols = map[string]byte{firewall.TCP: unix.IPPROTO_TCP, firewall.UDP: unix.IPPROTO_UDP, firewall.ICMP: unix.IPPROTO_ICMP}

// Connection is how one began: who called whom, and where it led at last.
type Connection struct {
	From, To netip.Addr
	Protocol byte
	Port     uint16 // of To; 0 where there are none
	// Published: To was called by a port or an address of its host.
	Published bool
}

// Compile looks names up: of them, resolve gives the addresses. The rules' order stays.
func Compile(rules []firewall.PacketRule, resolve func(name string) []netip.Addr) (out []Rule) {
	for _, r := range rules {
		c := Rule{Name: r.Name, In: r.Direction == firewall.In, Allow: r.Action == firewall.Allow, Anybody: r.Peer == "", Rate: r.Rate}
		c.Protocol = protocols[r.Protocol]
		for _, p := range r.Ports {
			if first, last, err := p.Range(); err == nil {
				c.Ports = append(c.Ports, [2]uint16{first, last})
			}
		}
		if p, ok := r.Prefix(); ok {
			c.Peers = []netip.Prefix{p}
		} else if r.Peer != "" {
			for _, a := range resolve(r.Peer) {
				c.Peers = append(c.Peers, netip.PrefixFrom(a, a.BitLen()))
			}
		}
		out = append(out, c)
	}
	return out
}

// matches tells whether a rule is about a connection that the container it belongs to takes or makes.
func (r Rule) matches(c Connection, in bool) bool {
	peer := c.To
	if in {
		peer = c.From
	}
	icmp := c.Protocol == unix.IPPROTO_ICMP || c.Protocol == unix.IPPROTO_ICMPV6
	switch {
	case r.In != in:
		return false
	case r.Protocol == unix.IPPROTO_ICMP && !icmp, r.Protocol != 0 && r.Protocol != unix.IPPROTO_ICMP && r.Protocol != c.Protocol:
		return false
	case len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, func(p [2]uint16) bool { return p[0] <= c.Port && c.Port <= p[1] }):
		return false
	}
	return r.Anybody || slices.ContainsFunc(r.Peers, func(p netip.Prefix) bool { return p.Contains(peer) })
}

// Wall is all that is decided by, at one moment. It does not change.
type Wall struct {
	ranges   []netip.Prefix
	group    map[netip.Addr]string
	platform map[netip.Addr]bool
	rules    map[netip.Addr][]Rule // of containers here, sorted
	names    map[string][]netip.Addr
}

// New makes the wall of what a host is told, which may be nothing yet. Platform are addresses of the platform known without it.
func New(p *host.Peers, platform []netip.Addr) *Wall {
	w := &Wall{group: map[netip.Addr]string{}, platform: map[netip.Addr]bool{}, rules: map[netip.Addr][]Rule{}}
	for _, a := range platform {
		w.platform[a] = true
	}
	if p == nil {
		return w
	}
	w.ranges = []netip.Prefix{p.Range4, p.Range6}
	for _, g := range p.Groups {
		for _, a := range g.Addrs {
			if g.Name == host.PlatformGroup {
				w.platform[a] = true
			} else if _, taken := w.group[a]; !taken {
				w.group[a] = g.Name
			}
		}
	}
	return w
}

// Put adds a container's firewall, and gives what it was compiled to; names are those of Peers.
func (w *Wall) Put(addrs []netip.Addr, rules []firewall.PacketRule, p *host.Peers) []Rule {
	compiled := Compile(rules, func(name string) []netip.Addr { return w.named(name, p) })
	for _, a := range addrs {
		if a.IsValid() && len(compiled) > 0 {
			w.rules[a] = compiled
		}
	}
	return compiled
}

// named are the addresses that a name of the cluster stands for: an environment's are those of its nodes.
func (w *Wall) named(name string, p *host.Peers) []netip.Addr {
	if p == nil {
		return nil
	}
	if w.names == nil {
		w.names = map[string][]netip.Addr{}
		for _, n := range p.Names {
			w.names[n.Name] = append(w.names[n.Name], n.Addrs...)
			if zone, ok := zoneOf(n.Name); ok {
				w.names[zone] = append(w.names[zone], n.Addrs...)
			}
		}
		for n, all := range w.names {
			slices.SortFunc(all, netip.Addr.Compare)
			w.names[n] = slices.Compact(all)
		}
	}
	return w.names[name]
}

// zoneOf is the environment's name that the name of a node or a layer is below.
func zoneOf(name string) (zone string, ok bool) {
	for i, c := range name {
		if c == '.' {
			return name[i+1:], name[i+1:] != "internal"
		}
	}
	return "", false
}

// Allows tells whether a connection may be. Of those that concern no container here, or lead out of the cluster, only what the firewall of
// who makes them says counts.
func (w *Wall) Allows(c Connection) bool {
	if !verdict(w.rules[c.From], c, false) {
		return false
	}
	inside := slices.ContainsFunc(w.ranges, func(r netip.Prefix) bool { return r.Contains(c.To) })
	switch {
	case w.platform[c.From] || !inside && !c.Published:
		return true
	case !c.Published && (w.group[c.From] == "" || w.group[c.From] != w.group[c.To]):
		return false
	}
	return verdict(w.rules[c.To], c, true)
}

// verdict is what the first rule that matches says; that it may be where none does.
func verdict(rules []Rule, c Connection, in bool) bool {
	for _, r := range rules {
		if r.matches(c, in) {
			return r.Allow
		}
	}
	return true
}

// Narrower tells whether something that old allows may be denied now: then connections that are open are looked at.
func (w *Wall) Narrower(old *Wall) bool {
	if old == nil || !slices.Equal(w.ranges, old.ranges) {
		return true
	}
	for a, g := range old.group {
		if w.group[a] != g {
			return true
		}
	}
	for a := range old.platform {
		if !w.platform[a] {
			return true
		}
	}
	for a, rules := range w.rules {
		if !slices.EqualFunc(rules, old.rules[a], equal) {
			return true
		}
	}
	return false
}

func equal(a, b Rule) bool {
	return a.In == b.In && a.Allow == b.Allow && a.Protocol == b.Protocol && a.Anybody == b.Anybody && slices.Equal(a.Ports, b.Ports) &&
		slices.Equal(a.Peers, b.Peers)
}
