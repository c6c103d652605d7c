// Package link sets up a host's network cards.
//
// Owns: which card becomes which link, its name, addresses, routes and resolvers.
// In: the network part of the configuration; the cards that are there; DHCP leases.
// Out: configured links; /run/hardnode/resolv.conf; boot.LinkStatus of each.
// Never: touches a link that is no hardware (veth, wg: the agent's), or takes an address away that it did not set.
package link

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"hardnode.dev/init/netd/lease"
	"hardnode.dev/internal/wire/boot"
)

// Card is one network card as the kernel shows it.
type Card struct {
	Index int
	Name  string
	MAC   string // lower case
	PCI   string // 0000:00:03.0, "" when it is on no PCI bus
}

// Plan is what one card shall be.
type Plan struct {
	Card Card
	Link boot.Link
	// Underlay: other hosts use its first address.
	Underlay bool
	// Metric of its default route: the first link with one wins.
	Metric int
}

// Match says which card becomes which link, in the order of the configuration. With no links configured every card uses DHCP under
// the kernel's name. missing names links whose card is not there (yet).
func Match(n boot.Network, cards []Card) (plans []Plan, missing []string) {
	links := n.Links
	if len(links) == 0 {
		for _, c := range cards {
			links = append(links, boot.Link{Name: c.Name, MAC: c.MAC, DHCP: true})
		}
	}
	underlay := n.Underlay
	if underlay == "" && len(links) > 0 {
		underlay = links[0].Name
	}
	for i, l := range links {
		at := slices.IndexFunc(cards, func(c Card) bool {
			return l.MAC != "" && strings.EqualFold(l.MAC, c.MAC) || l.PCI != "" && l.PCI == c.PCI
		})
		if at < 0 {
			missing = append(missing, fmt.Sprintf("link %s: no card with %s", l.Name, l.MAC+l.PCI))
			continue
		}
		plans = append(plans, Plan{Card: cards[at], Link: l, Underlay: l.Name == underlay, Metric: 100 + i})
	}
	return plans, missing
}

// Rename is one step of giving cards their names.
type Rename struct{ From, To string }

// Renames orders the renaming so that no name is ever taken: a card that has another's wanted name first gets a passing one.
func Renames(plans []Plan) []Rename {
	var first, second []Rename
	for _, p := range plans {
		switch {
		case p.Card.Name == p.Link.Name:
		case slices.ContainsFunc(plans, func(o Plan) bool { return o.Card.Name == p.Link.Name }):
			tmp := fmt.Sprintf("hn-%d", p.Card.Index)
			first = append(first, Rename{p.Card.Name, tmp})
			second = append(second, Rename{tmp, p.Link.Name})
		default:
			second = append(second, Rename{p.Card.Name, p.Link.Name})
		}
	}
	return append(first, second...)
}

// Routes are what the kernel is told so that every route of want works on a link that has the addresses: before a route over a gateway that
// is on none of the link's subnets (cloud providers give a /32 and a router outside it) goes one to the gateway itself, over the link.
// Defaults are left out where a person configured a gateway.
func Routes(addresses []netip.Prefix, want []lease.Route, configured bool) (out []lease.Route) {
	near := slices.Clone(addresses)
	add := func(r lease.Route) {
		if !slices.ContainsFunc(out, func(o lease.Route) bool { return o.To == r.To }) {
			out = append(out, r)
		}
	}
	for _, r := range want {
		if !r.Via.IsValid() && r.To.Bits() > 0 { // routes over the link come first: gateways may lie behind them
			near = append(near, r.To)
			add(r)
		}
	}
	for _, r := range want {
		switch {
		case r.To.Bits() == 0 && configured:
			continue
		case r.Via.IsValid() && (r.Via.Is4() || !r.Via.IsLinkLocalUnicast()) &&
			!slices.ContainsFunc(near, func(p netip.Prefix) bool { return p.Contains(r.Via) }):
			add(lease.Route{To: netip.PrefixFrom(r.Via, r.Via.BitLen())})
		}
		add(r)
	}
	return out
}

// gateways are the routes of the gateway that a person configured for a link.
func gateways(p Plan) []lease.Route {
	if !p.Link.Gateway.IsValid() {
		return nil
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if p.Link.Gateway.Is6() {
		all = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return Routes(p.Link.Addresses, []lease.Route{{To: all, Via: p.Link.Gateway}}, false)
}

// gone are the routes that p has and q has not, the last one first: it may lead over those before it.
func gone(p, q Plan) (out []lease.Route) {
	after := gateways(q)
	for _, r := range slices.Backward(gateways(p)) {
		if p.Metric != q.Metric || !slices.Contains(after, r) {
			out = append(out, r)
		}
	}
	return out
}

// Resolvers joins the configured servers with those learnt, the configured first, each once, at most three (resolv.conf(5)).
func Resolvers(configured, learnt []netip.Addr) []netip.Addr {
	var all []netip.Addr
	for _, a := range append(slices.Clone(configured), learnt...) {
		if a.IsValid() && !slices.Contains(all, a) && len(all) < 3 {
			all = append(all, a)
		}
	}
	return all
}

// resolvConf renders the file.
func resolvConf(servers []netip.Addr) string {
	var s strings.Builder
	for _, a := range servers {
		fmt.Fprintf(&s, "nameserver %s\n", a)
	}
	s.WriteString("options timeout:2 attempts:2\n")
	return s.String()
}
