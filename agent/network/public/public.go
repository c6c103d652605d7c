// Package public has a host answer for the public addresses of its containers.
//
// Owns: which link each address is on; the kernel's proxy entries of the host's links, by which it answers for them (proxy ARP, RFC 1027;
// proxy NDP, RFC 4861 7.2.8); their announcement; the question who else has one.
// In: the addresses; the host's links, addresses and routes.
// Out: a kernel that answers for exactly these, on one link each; why one can't be answered for.
// Never: gives the host itself such an address: nothing of the host's own can be reached at one. What comes is translated by
// agent/network's rules.
package public

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is one of the host's links to the world.
type Link struct {
	Index int
	Name  string
	MAC   net.HardwareAddr
	Addrs []netip.Prefix
}

// Host is what decides where an address is.
type Host struct {
	Links    []Link
	Gateways []netip.Addr
	// Default4 and Default6 are the indices of the links that lead everywhere; 0: none does.
	Default4, Default6 int
}

// Place is the link that an address is on: that of its network, or that which leads everywhere, to whose network a provider routes it. The
// error says why there is none, for people.
func (h Host) Place(a netip.Addr) (at Link, err error) {
	if slices.Contains(h.Gateways, a) {
		return Link{}, fmt.Errorf("%s is the gateway of the host's network", a)
	}
	var in netip.Prefix
	for _, l := range h.Links {
		for _, p := range l.Addrs {
			switch {
			case p.Addr() == a:
				return Link{}, fmt.Errorf("%s is the host's own address, on %s", a, l.Name)
			case p.Contains(a) && p.Bits() > in.Bits():
				in, at = p.Masked(), l
			}
		}
	}
	if at.Index != 0 {
		if a.Is4() && in.Bits() < 31 && (a == in.Addr() || a == last(in)) {
			return Link{}, fmt.Errorf("%s is the address of the network %s itself, or of all machines in it", a, in)
		}
		return at, nil
	}
	def := h.Default6
	if a.Is4() {
		def = h.Default4
	}
	for _, l := range h.Links {
		if l.Index == def {
			return l, nil
		}
	}
	return Link{}, fmt.Errorf("%s is in no network of the host's, and the host has no default route of its family", a)
}

// last is the broadcast address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	raw := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		raw[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(raw)
}

// Look reads what there is; others are the links that lead to no world, such as containers'.
func Look(others func(name string) bool) (h Host, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return h, fmt.Errorf("list links: %v", err)
	}
	at := map[int]int{} // index of a link → its place
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 || others(a.Name) {
			continue
		}
		at[a.Index] = len(h.Links)
		h.Links = append(h.Links, Link{Index: a.Index, Name: a.Name, MAC: a.HardwareAddr})
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return h, fmt.Errorf("list addresses: %v", err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		i, ours := at[a.LinkIndex]
		if !ok || !ours {
			continue
		}
		ones, _ := a.Mask.Size()
		h.Links[i].Addrs = append(h.Links[i].Addrs, netip.PrefixFrom(ip.Unmap(), ones))
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteList(nil, family)
		if err != nil {
			return h, fmt.Errorf("list routes: %v", err)
		}
		for _, r := range routes {
			if gw, ok := netip.AddrFromSlice(r.Gw); ok {
				h.Gateways = append(h.Gateways, gw.Unmap())
			}
			if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
				continue
			}
			if def := map[int]*int{netlink.FAMILY_V4: &h.Default4, netlink.FAMILY_V6: &h.Default6}[family]; *def == 0 {
				*def = r.LinkIndex
			}
		}
	}
	return h, nil
}

// Entry is an address that a link answers for.
type Entry struct {
	Addr  netip.Addr
	Index int // of the link
}

// Held is what the kernel answers for on the host's links.
func Held(h Host) (map[Entry]bool, error) {
	var errs []error
	have := map[Entry]bool{}
	for _, l := range h.Links {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			list, err := netlink.NeighProxyList(l.Index, family)
			if err != nil {
				errs = append(errs, fmt.Errorf("list what %s answers for: %v", l.Name, err))
			}
			for _, e := range list {
				if a, ok := netip.AddrFromSlice(e.IP); ok {
					have[Entry{a.Unmap(), l.Index}] = true
				}
			}
		}
	}
	return have, errors.Join(errs...)
}

// Apply has the kernel answer for these addresses on these links and for no others, and announces each. All that is there of proxy entries
// on the host's links is this package's.
func Apply(h Host, want map[netip.Addr]Link) error {
	have, err := Held(h)
	errs := []error{err}
	for e := range have {
		if want[e.Addr].Index == e.Index {
			continue
		}
		if err := netlink.NeighDel(entry(e.Addr, e.Index)); err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("have link %d no longer answer for %s: %v", e.Index, e.Addr, err))
		}
	}
	for a, l := range want {
		if have[Entry{a, l.Index}] {
			continue
		}
		if err := take(a, l); err != nil {
			errs = append(errs, err)
		}
	}
	for a, l := range want {
		if err := announce(a, l); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func entry(a netip.Addr, index int) *netlink.Neigh {
	family := netlink.FAMILY_V6
	if a.Is4() {
		family = netlink.FAMILY_V4
	}
	return &netlink.Neigh{LinkIndex: index, Family: family, Flags: netlink.NTF_PROXY, IP: a.AsSlice()}
}

// take has a link answer for an address, at once: the kernel would wait up to 0.8 s, in case somebody else does.
func take(a netip.Addr, l Link) error {
	settings := map[string]string{"ipv4/neigh/" + l.Name + "/proxy_delay": "0"}
	if a.Is6() {
		settings = map[string]string{"ipv6/neigh/" + l.Name + "/proxy_delay": "0", "ipv6/conf/" + l.Name + "/proxy_ndp": "1"}
	}
	for path, value := range settings {
		if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("have %s answer for %s: %v", l.Name, a, err)
		}
	}
	if err := netlink.NeighSet(entry(a, l.Index)); err != nil {
		return fmt.Errorf("have %s answer for %s: %v", l.Name, a, err)
	}
	return nil
}
