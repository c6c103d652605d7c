package boot

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"hardnode.dev/internal/wire/form"
)

var (
	linkName   = form.New(`^[a-z][a-z0-9._-]{0,14}$`)
	pciPath    = form.New(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	timeServer = form.New(`^[A-Za-z0-9.:\[\]-]{1,255}$`)
)

const (
	mostPorts   = 16 // of a bond: what an aggregator of common switches takes
	ethernetMTU = 1500
)

// First is the name of the underlay's link: Underlay, or the first link that has addresses or DHCP; "" is none.
func (n Network) First() string {
	if n.Underlay != "" {
		return n.Underlay
	}
	for _, l := range n.Links {
		if l.addressed() {
			return l.Name
		}
	}
	return ""
}

func (l Link) addressed() bool { return l.DHCP || len(l.Addresses) > 0 }

// Validate says which field is wrong and what it should be, or nil.
func (n Network) Validate() error {
	byName, byCard := map[string]Link{}, map[string]string{}
	for i, l := range n.Links {
		if err := l.validate(); err != nil {
			return fmt.Errorf("links[%d].%w", i, err)
		}
		if _, twice := byName[l.Name]; twice {
			return fmt.Errorf("links[%d].name: %q is there twice", i, l.Name)
		}
		byName[l.Name] = l
		for field, card := range map[string]string{"mac": strings.ToLower(l.MAC), "pci": l.PCI} {
			if other := byCard[card]; other != "" {
				return fmt.Errorf("links[%d].%s: %s is link %s already: a card is one link", i, field, card, other)
			}
			if card != "" {
				byCard[card] = l.Name
			}
		}
	}
	ports := map[string]string{} // link → its bond
	for i, l := range n.Links {
		if l.Bond == nil {
			continue
		}
		if err := l.validateBond(byName, ports); err != nil {
			return fmt.Errorf("links[%d].bond.%w", i, err)
		}
	}
	if err := n.validateAbove(byName, ports); err != nil {
		return err
	}
	switch u, there := byName[n.Underlay]; {
	case n.Underlay == "":
	case !there:
		return fmt.Errorf("underlay: there is no link %q", n.Underlay)
	case !u.addressed():
		return fmt.Errorf("underlay: link %s has no addresses that other hosts could use", n.Underlay)
	}
	for i, s := range n.NTP {
		if !timeServer.MatchString(s) {
			return fmt.Errorf("ntp[%d]: %q: want a server's name or address", i, s)
		}
	}
	return nil
}

// validateBond looks at the cards of a bond, and writes them into ports.
func (l Link) validateBond(byName map[string]Link, ports map[string]string) error {
	for i, name := range l.Bond.Links {
		port, there := byName[name]
		switch {
		case !there:
			return fmt.Errorf("links[%d]: there is no link %q", i, name)
		case port.Bond != nil || port.VLAN != nil:
			return fmt.Errorf("links[%d]: link %s is no card: a bond is made of cards", i, name)
		case ports[name] == l.Name:
			return fmt.Errorf("links[%d]: link %s is there twice", i, name)
		case ports[name] != "":
			return fmt.Errorf("links[%d]: link %s is in bond %s already", i, name, ports[name])
		}
		ports[name] = l.Name
	}
	return nil
}

// validateAbove looks at the links as those below and above them make them.
func (n Network) validateAbove(byName map[string]Link, ports map[string]string) error {
	carries, tags := map[string]bool{}, map[VLAN]string{}
	for i, l := range n.Links {
		v := l.VLAN
		if v == nil {
			continue
		}
		below, there := byName[v.Link]
		most := below.MTU
		if most == 0 {
			most = ethernetMTU
		}
		switch {
		case !there:
			return fmt.Errorf("links[%d].vlan.link: there is no link %q", i, v.Link)
		case below.VLAN != nil:
			return fmt.Errorf("links[%d].vlan.link: link %s is a VLAN itself: name a card or a bond", i, v.Link)
		case ports[v.Link] != "":
			return fmt.Errorf("links[%d].vlan.link: link %s is in bond %s: name the bond", i, v.Link, ports[v.Link])
		case tags[*v] != "":
			return fmt.Errorf("links[%d].vlan.id: VLAN %d of link %s is link %s already", i, v.ID, v.Link, tags[*v])
		case l.MTU > most:
			return fmt.Errorf("links[%d].mtu: %d: link %s below has %d: raise that first", i, l.MTU, v.Link, most)
		}
		carries[v.Link], tags[*v] = true, l.Name
	}
	for i, l := range n.Links {
		bond := ports[l.Name]
		switch {
		case bond != "" && l.addressed():
			return fmt.Errorf("links[%d].addresses: link %s is in bond %s: give addresses, dhcp, gateway, routes and dns to the bond",
				i, l.Name, bond)
		case bond != "" && l.MTU != 0:
			return fmt.Errorf("links[%d].mtu: link %s is in bond %s: give the MTU to the bond", i, l.Name, bond)
		case bond == "" && !l.addressed() && !carries[l.Name]:
			return fmt.Errorf("links[%d].addresses: link %s has none: give addresses, or dhcp: true", i, l.Name)
		}
	}
	return nil
}

func (l Link) validate() error {
	if !linkName.MatchString(l.Name) || l.Name == "lo" {
		return fmt.Errorf("name: %q: want at most 15 lower-case letters, digits, dots and hyphens, starting with a letter", l.Name)
	}
	kinds := 0
	for _, is := range []bool{l.MAC != "", l.PCI != "", l.Bond != nil, l.VLAN != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return fmt.Errorf("mac: link %s: give one of mac, pci, bond and vlan", l.Name)
	}
	if hw, err := net.ParseMAC(l.MAC); l.MAC != "" && (err != nil || len(hw) != 6) {
		return fmt.Errorf("mac: %q: want six bytes such as 52:54:00:12:34:56", l.MAC)
	}
	if l.PCI != "" && !pciPath.MatchString(l.PCI) {
		return fmt.Errorf("pci: %q: want a path such as 0000:00:03.0", l.PCI)
	}
	if l.Bond != nil {
		if err := l.Bond.validate(); err != nil {
			return fmt.Errorf("bond.%w", err)
		}
	}
	if v := l.VLAN; v != nil && (v.ID < 1 || v.ID > 4094) {
		return fmt.Errorf("vlan.id: %d: want 1 to 4094", v.ID)
	}
	for i, a := range l.Addresses {
		if !a.IsValid() || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
			return fmt.Errorf("addresses[%d]: %s is no address of a link", i, a)
		}
	}
	if !l.addressed() && (l.Gateway.IsValid() || len(l.Routes)+len(l.DNS) > 0) {
		return fmt.Errorf("addresses: link %s has none: give addresses, or dhcp: true, or leave gateway, routes and dns out", l.Name)
	}
	if l.Gateway.IsValid() && !onLink(l.Gateway, l.Addresses) {
		return fmt.Errorf("gateway: %s is not on a network of link %s", l.Gateway, l.Name)
	}
	for i, r := range l.Routes {
		if err := r.validate(l); err != nil {
			return fmt.Errorf("routes[%d].%w", i, err)
		}
		if slices.ContainsFunc(l.Routes[:i], func(o Route) bool { return o.To == r.To }) {
			return fmt.Errorf("routes[%d].to: %s is there twice", i, r.To)
		}
	}
	for i, a := range l.DNS {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("dns[%d]: %s is no address of a server", i, a)
		}
	}
	if l.MTU != 0 && (l.MTU < 1280 || l.MTU > 9216) {
		return fmt.Errorf("mtu: %d: want 1280 to 9216, or 0 for the driver's", l.MTU)
	}
	return nil
}

func (b Bond) validate() error {
	switch {
	case b.Mode != ActiveBackup && b.Mode != LACP:
		return fmt.Errorf("mode: %q is not known, use %s or %s", b.Mode, ActiveBackup, LACP)
	case len(b.Links) == 0 || len(b.Links) > mostPorts:
		return fmt.Errorf("links: names %d links, want 1 to %d", len(b.Links), mostPorts)
	case b.Primary != "" && b.Mode != ActiveBackup:
		return fmt.Errorf("primary: %s uses all of its cards: leave it out", b.Mode)
	case b.Primary != "" && !slices.Contains(b.Links, b.Primary):
		return fmt.Errorf("primary: %q is not one of the bond's links", b.Primary)
	}
	return nil
}

func (r Route) validate(l Link) error {
	switch {
	case !r.To.IsValid() || r.To != r.To.Masked():
		return fmt.Errorf("to: %s: want a network such as 10.0.0.0/8", r.To)
	case !r.Via.IsValid() || r.Via.Is4() != r.To.Addr().Is4():
		return fmt.Errorf("via: %s: want a router's address of the same IP version as %s", r.Via, r.To)
	case !onLink(r.Via, l.Addresses):
		return fmt.Errorf("via: %s is not on a network of link %s", r.Via, l.Name)
	case r.To.Bits() == 0 && l.Gateway.IsValid() && l.Gateway.Is4() == r.Via.Is4():
		return fmt.Errorf("to: %s is the gateway's: link %s has the gateway %s", r.To, l.Name, l.Gateway)
	}
	return nil
}

func onLink(gateway netip.Addr, addrs []netip.Prefix) bool {
	if gateway.IsLinkLocalUnicast() {
		return true
	}
	for _, a := range addrs {
		if a.Contains(gateway) {
			return true
		}
	}
	return false
}
