package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Addresses are what a DHCP server gives out: IPv4 addresses from First to Last, both of them too, of Network. The zero value is none.
type Addresses struct {
	First, Last netip.Addr
	Network     netip.Prefix // masked
}

// maxAddresses is how many a range may have.
const maxAddresses = 4096

// ParseAddresses reads "10.77.0.100-10.77.0.150/24"; "" is none. The error is for people.
func ParseAddresses(text string) (a Addresses, err error) {
	if text == "" {
		return a, nil
	}
	from, to, ok := strings.Cut(text, "-")
	last, err2 := netip.ParsePrefix(to)
	if a.First, err = netip.ParseAddr(from); !ok || err != nil || err2 != nil {
		return Addresses{}, fmt.Errorf("addresses %q: want the first, the last and the length of the network's prefix, "+
			"as 10.77.0.100-10.77.0.150/24", text)
	}
	a.Last, a.Network = last.Addr(), last.Masked()
	switch {
	case !a.First.Is4() || !a.Last.Is4():
		err = errors.New("only IPv4 addresses are given out")
	case a.Network.Bits() > 30:
		err = errors.New("the network is too small for machines beside this one: want a prefix of 30 bits or less")
	case !a.Network.Contains(a.First):
		err = fmt.Errorf("%s is not in %s", a.First, a.Network)
	case a.Last.Less(a.First):
		err = errors.New("the last one comes before the first one")
	case a.Count() > maxAddresses:
		err = fmt.Errorf("there are %d, at most %d are kept", a.Count(), maxAddresses)
	case a.First == a.Network.Addr() || a.Last == a.Broadcast():
		err = errors.New("the network's own address and its broadcast address are no machine's")
	}
	if err != nil {
		return Addresses{}, fmt.Errorf("addresses %q: %v", text, err)
	}
	return a, nil
}

// Given is all that a DHCP server gives out.
type Given struct {
	Addresses
	Router netip.Addr   // of Network; the zero Addr is none
	DNS    []netip.Addr // in the order in which they are asked
}

// MaxDNS is how many resolvers machines may be told.
const MaxDNS = 3

// ParseGiven reads addresses (ParseAddresses), a router, "" being none, and resolvers. The error is for people.
func ParseGiven(addresses, router string, dns []string) (g Given, err error) {
	if g.Addresses, err = ParseAddresses(addresses); err != nil {
		return Given{}, err
	}
	if addresses == "" && (router != "" || len(dns) > 0) {
		return Given{}, errors.New("a router and resolvers are told with an address, and none is given out")
	}
	if len(dns) > MaxDNS {
		return Given{}, fmt.Errorf("%d resolvers, at most %d are told", len(dns), MaxDNS)
	}
	for i, text := range append([]string{router}, dns...) {
		what := "resolver"
		if i == 0 {
			if what = "router"; text == "" {
				continue
			}
		}
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil || !a.Is4():
			return Given{}, fmt.Errorf("%s %q: want an IPv4 address", what, text)
		case g.Has(a):
			return Given{}, fmt.Errorf("%s %s is among the addresses that are given out", what, a)
		case i == 0 && !g.Network.Contains(a):
			return Given{}, fmt.Errorf("router %s is not in %s", a, g.Network)
		case i == 0:
			g.Router = a
		default:
			g.DNS = append(g.DNS, a)
		}
	}
	return g, nil
}

// Same tells whether two are the same.
func (g Given) Same(o Given) bool {
	return g.Addresses == o.Addresses && g.Router == o.Router && slices.Equal(g.DNS, o.DNS)
}

// Count is how many there are.
func (a Addresses) Count() int {
	if !a.First.IsValid() {
		return 0
	}
	return int(number(a.Last)) - int(number(a.First)) + 1
}

// Has tells whether an address is one of them.
func (a Addresses) Has(x netip.Addr) bool {
	return a.First.IsValid() && x.Is4() && !x.Less(a.First) && !a.Last.Less(x)
}

// Broadcast is the network's broadcast address.
func (a Addresses) Broadcast() netip.Addr {
	raw := a.Network.Addr().As4()
	for i := a.Network.Bits(); i < 32; i++ {
		raw[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(raw)
}

func (a Addresses) String() string {
	if !a.First.IsValid() {
		return ""
	}
	return fmt.Sprintf("%s-%s/%d", a.First, a.Last, a.Network.Bits())
}

func number(a netip.Addr) uint32 {
	raw := a.As4()
	return uint32(raw[0])<<24 | uint32(raw[1])<<16 | uint32(raw[2])<<8 | uint32(raw[3])
}
