// Package link sets up a host's links.
//
// Owns: which card becomes which link, its name; addresses, routes and resolvers of each link.
// In: the network part of the configuration; the cards that are there; DHCP leases.
// Out: configured links; /run/hardnode/resolv.conf; boot.LinkStatus of each.
// Never: touches a link that is neither hardware nor a bond nor a VLAN (veth, wg: the agent's), or takes an address away that it did not
// set, but that of a card which goes into a bond.
package link

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"hardnode.dev/init/netd/device"
	"hardnode.dev/init/netd/lease"
	"hardnode.dev/internal/wire/boot"
)

// Card is one network card as the kernel shows it.
type Card struct {
	Index int
	Name  string
	MAC   string // lower case; its own, also while it is in a bond
	PCI   string // 0000:00:03.0, "" when it is on no PCI bus
}

// Plan is what one link shall be.
type Plan struct {
	Card  Card // without index: a bond or a VLAN
	Link  boot.Link
	Below *Plan // of a VLAN: what it is on
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
	underlay := boot.Network{Links: links, Underlay: n.Underlay}.First()
	for i, l := range links {
		if l.Bond != nil || l.VLAN != nil {
			plans = append(plans, Plan{Card: Card{Name: l.Name}, Link: l, Underlay: l.Name == underlay, Metric: 100 + i})
			continue
		}
		at := slices.IndexFunc(cards, func(c Card) bool {
			return l.MAC != "" && strings.EqualFold(l.MAC, c.MAC) || l.PCI != "" && l.PCI == c.PCI
		})
		if at < 0 {
			missing = append(missing, fmt.Sprintf("link %s: no card with %s", l.Name, l.MAC+l.PCI))
			continue
		}
		plans = append(plans, Plan{Card: cards[at], Link: l, Underlay: l.Name == underlay, Metric: 100 + i})
	}
	return onVLANs(plans, missing)
}

// onVLANs gives each VLAN what it is on, and takes out those that are on nothing.
func onVLANs(plans []Plan, missing []string) ([]Plan, []string) {
	there := slices.Clone(plans)
	plans = slices.DeleteFunc(plans, func(p Plan) bool {
		if p.Link.VLAN == nil || slices.ContainsFunc(there, named(p.Link.VLAN.Link)) {
			return false
		}
		missing = append(missing, fmt.Sprintf("link %s: link %s below is not there", p.Link.Name, p.Link.VLAN.Link))
		return true
	})
	for i, p := range plans {
		if p.Link.VLAN == nil {
			continue
		}
		below := there[slices.IndexFunc(there, named(p.Link.VLAN.Link))]
		plans[i].Below = &below
		if p.Link.MTU == 0 {
			plans[i].Link.MTU = below.Link.MTU
		}
	}
	return plans, missing
}

func named(name string) func(Plan) bool { return func(p Plan) bool { return p.Link.Name == name } }

// same tells whether p and q are the same card, or a bond or VLAN of the same name.
func (p Plan) same(q Plan) bool {
	return p.Card.Index == q.Card.Index && (p.Card.Index != 0 || p.Link.Name == q.Link.Name)
}

// Unchanged tells whether nothing of p is different in q, also in what it is on.
func (p Plan) Unchanged(q Plan) bool {
	if !p.same(q) || p.Metric != q.Metric || !reflect.DeepEqual(p.Link, q.Link) {
		return false
	}
	return p.Below == nil && q.Below == nil ||
		p.Below != nil && q.Below != nil && p.Below.same(*q.Below) && reflect.DeepEqual(p.Below.Link, q.Below.Link)
}

// devices are the bonds and VLANs of the plan.
func devices(plans []Plan) (out []device.Device) {
	for _, p := range plans {
		d := device.Device{Name: p.Link.Name}
		switch {
		case p.Link.Bond != nil:
			d.Bond, d.Primary = p.Link.Bond.Mode, p.Link.Bond.Primary
			for _, name := range p.Link.Bond.Links {
				if i := slices.IndexFunc(plans, named(name)); i >= 0 {
					d.Ports = append(d.Ports, plans[i].Card.Index)
				}
			}
		case p.Link.VLAN != nil && p.Below.Card.Index != 0:
			d.VLAN, d.Card = p.Link.VLAN.ID, p.Below.Card.Index
		case p.Link.VLAN != nil:
			d.VLAN, d.Below = p.Link.VLAN.ID, p.Below.Link.Name
		default:
			continue
		}
		out = append(out, d)
	}
	return out
}

// upwards are the plans in the order of their making: cards, bonds, VLANs.
func upwards(plans []Plan) []Plan {
	level := func(p Plan) int {
		switch {
		case p.Link.VLAN != nil:
			return 2
		case p.Link.Bond != nil:
			return 1
		}
		return 0
	}
	out := slices.Clone(plans)
	slices.SortStableFunc(out, func(p, q Plan) int { return level(p) - level(q) })
	return out
}

// Rename is one step of giving cards their names.
type Rename struct{ From, To string }

// Renames orders the renaming so that no name is ever taken: a card that has another's wanted name first gets a passing one.
func Renames(plans []Plan) []Rename {
	var first, second []Rename
	for _, p := range plans {
		switch {
		case p.Card.Index == 0: // made with its name
		case p.Card.Name == p.Link.Name:
		case slices.ContainsFunc(plans, func(o Plan) bool { return o.Card.Index != 0 && o.Card.Name == p.Link.Name }):
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

// configured are the routes that a person configured for a link: its gateway, and those beside it.
func configured(p Plan) []lease.Route {
	var want []lease.Route
	if g := p.Link.Gateway; g.IsValid() {
		want = append(want, lease.Route{To: everywhere(g), Via: g})
	}
	for _, r := range p.Link.Routes {
		want = append(want, lease.Route{To: r.To, Via: r.Via})
	}
	return Routes(p.Link.Addresses, want, false)
}

// everywhere is the default route's destination of an address' IP version.
func everywhere(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// hasDefault tells whether a person configured a default route of a link.
func hasDefault(p Plan) bool {
	return slices.ContainsFunc(configured(p), func(r lease.Route) bool { return r.To.Bits() == 0 && r.To.Addr().Is4() })
}

// gone are the routes that p has and q has not, the last one first: it may lead over those before it.
func gone(p, q Plan) (out []lease.Route) {
	after := configured(q)
	for _, r := range slices.Backward(configured(p)) {
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
