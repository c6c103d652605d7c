package talk

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/agent/console/view"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/console"
)

// EditLinks is the network with settings of links in place of what they had: those of one link, or of several with "and" between them.
func EditLinks(n boot.Network, words []string) (_ boot.Network, err error) {
	after := n
	for {
		at := slices.Index(words, "and")
		one := words
		if at >= 0 {
			one = words[:at]
		}
		if after, err = editLink(after, one); err != nil {
			return n, err
		}
		if at < 0 {
			return after, after.Validate()
		}
		words = words[at+1:]
	}
}

// editLink takes a link's name, its card, bond or VLAN (left out where the link is there already), then dhcp, addresses, gateway=A,
// route=NET@ROUTER, dns=A and mtu=N in any order.
func editLink(n boot.Network, words []string) (boot.Network, error) {
	if len(words) == 0 {
		return n, errors.New("name the link")
	}
	l := boot.Link{Name: words[0]}
	at := slices.IndexFunc(n.Links, func(x boot.Link) bool { return x.Name == l.Name })
	if at >= 0 {
		l.MAC, l.PCI, l.Bond, l.VLAN = n.Links[at].MAC, n.Links[at].PCI, n.Links[at].Bond, n.Links[at].VLAN
	}
	for _, w := range words[1:] {
		if err := setting(&l, w); err != nil {
			return n, err
		}
	}
	if l.MAC == "" && l.PCI == "" && l.Bond == nil && l.VLAN == nil {
		return n, fmt.Errorf("link %s is new: give its card's MAC or PCI path, as network shows them, or bond=MODE:LINK,LINK or "+
			"vlan=ID@LINK", l.Name)
	}
	links := slices.Clone(n.Links)
	if at >= 0 {
		links[at] = l
	} else {
		links = append(links, l)
	}
	n.Links = links
	return n, nil
}

// setting is one word of a link.
func setting(l *boot.Link, word string) (err error) {
	name, value, named := strings.Cut(word, "=")
	switch {
	case word == "dhcp":
		l.DHCP = true
	case named && name == "gateway":
		l.Gateway, err = netip.ParseAddr(value)
	case named && name == "dns":
		var a netip.Addr
		a, err = netip.ParseAddr(value)
		l.DNS = append(l.DNS, a)
	case named && name == "bond":
		mode, links, _ := strings.Cut(value, ":")
		l.MAC, l.PCI, l.Bond, l.VLAN = "", "", &boot.Bond{Mode: boot.BondMode(mode), Links: strings.Split(links, ",")}, nil
	case named && name == "primary" && l.Bond != nil:
		b := *l.Bond
		b.Primary, l.Bond = value, &b
	case named && name == "vlan":
		id, below, _ := strings.Cut(value, "@")
		l.MAC, l.PCI, l.Bond, l.VLAN = "", "", nil, &boot.VLAN{Link: below}
		l.VLAN.ID, err = strconv.Atoi(id)
	case named && name == "route":
		to, via, _ := strings.Cut(value, "@")
		var r boot.Route
		if r.To, err = netip.ParsePrefix(to); err == nil {
			r.Via, err = netip.ParseAddr(via)
		}
		l.Routes = append(l.Routes, r)
	case named && name == "mtu":
		l.MTU, err = strconv.Atoi(value)
	case strings.Contains(word, "/"):
		var p netip.Prefix
		p, err = netip.ParsePrefix(word)
		l.Addresses = append(l.Addresses, p)
	case strings.Count(word, ":") == 5:
		l.MAC, l.PCI, l.Bond, l.VLAN = strings.ToLower(word), "", nil, nil
	case strings.Count(word, ":") == 2 && strings.Contains(word, "."):
		l.MAC, l.PCI, l.Bond, l.VLAN = "", strings.ToLower(word), nil, nil
	default:
		return fmt.Errorf("%q: want dhcp, ADDRESS/BITS, gateway=, route=NET@ROUTER, dns=, mtu=, a card's MAC or PCI path, "+
			"bond=MODE:LINK,LINK, primary= after it, or vlan=ID@LINK", word)
	}
	if err != nil {
		return fmt.Errorf("%q: %v", word, err)
	}
	return nil
}

// DropLink is the network without a link.
func DropLink(n boot.Network, name string) (boot.Network, error) {
	at := slices.IndexFunc(n.Links, func(x boot.Link) bool { return x.Name == name })
	if at < 0 {
		return n, fmt.Errorf("no link %s is configured", name)
	}
	n.Links = slices.Delete(slices.Clone(n.Links), at, at+1)
	return n, n.Validate()
}

func runNetworkTry(ctx context.Context, s *Session, a args) error {
	return s.tryNetwork(ctx, a, func(n boot.Network) (boot.Network, error) { return EditLinks(n, a.words) })
}

func runNetworkDrop(ctx context.Context, s *Session, a args) error {
	return s.tryNetwork(ctx, a, func(n boot.Network) (boot.Network, error) { return DropLink(n, a.words[0]) })
}

// tryNetwork tries what edit makes of the network in force: that on trial, if there is one.
func (s *Session) tryNetwork(ctx context.Context, a args, edit func(boot.Network) (boot.Network, error)) error {
	seconds, err := a.number("for", 0)
	if err != nil {
		return misuse{err}
	}
	var now console.Network
	if err := s.Agent.Get(ctx, "/v1/network", &now); err != nil {
		return err
	}
	n := now.Confirmed
	if now.Trial != nil {
		n = now.Trial.Network
	}
	if n, err = edit(n); err != nil {
		return misuse{err}
	}
	return s.network(ctx, a, "try", boot.NetworkTrial{Network: n, Seconds: seconds})
}

func runNetworkEnd(how string) func(context.Context, *Session, args) error {
	return func(ctx context.Context, s *Session, a args) error { return s.network(ctx, a, how, struct{}{}) }
}

// network has netd do something, and shows what is in force then.
func (s *Session) network(ctx context.Context, a args, how string, body any) error {
	var st boot.NetworkStatus
	if err := s.change(ctx, "/v1/network/"+how, body, &st); err != nil {
		return err
	}
	s.show(a, st, view.InForce(st, 0))
	return nil
}
