// Package lease keeps a DHCPv4 lease on one link (RFC 2131, RFC 3442).
//
// Owns: asking, renewing, rebinding and giving up, each when RFC 2131 4.4.5 has it.
// In: a link's name; servers' answers, of which none is believed as it is.
// Out: leases, each through a function; a zero Lease at the moment it is gone.
// Never: sets an address or a route (package link does).
package lease

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Lease is what a server gave. Its addresses are such that a host can use.
type Lease struct {
	Address netip.Prefix
	Server  netip.Addr // whom to ask for more time
	Routes  []Route    // in the order given
	DNS     []netip.Addr
	NTP     []netip.Addr
	MTU     int           // bytes; 0: not said, or below what IPv6 needs
	Time    time.Duration // Forever: it does not end
	T1, T2  time.Duration // when to renew and to rebind; T1 < T2 < Time
}

// Route is one way out. A zero Via is the link itself.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// Forever is the time of a lease that does not end (RFC 2131 3.3).
const Forever = (1<<32 - 1) * time.Second

const (
	unsaid    = time.Hour        // of a lease without a time
	briefest  = 20 * time.Second // the least: a shorter lease is kept for this long
	soonest   = 5 * time.Second  // a T1 before that is a mistake of the server's
	maxRoutes = 64
	maxOthers = 8 // name servers, and time servers
	unmasked  = 24
)

// FromACK reads a server's answer. An option with an impossible value is left out as if it were not there; an answer with an impossible
// address or time is an error.
func FromACK(ack *dhcpv4.DHCPv4) (Lease, error) {
	ip, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || !unicast(ip) {
		return Lease{}, fmt.Errorf("read lease: %s is no address for a host", ack.YourIPAddr)
	}
	bits, err := maskBits(ack)
	if err != nil {
		return Lease{}, err
	}
	l := Lease{Address: netip.PrefixFrom(ip, bits), Time: unsaid}
	if raw := ack.Options.Get(dhcpv4.OptionIPAddressLeaseTime); len(raw) == 4 {
		l.Time = seconds(raw)
	}
	if l.Time == 0 {
		return Lease{}, fmt.Errorf("read lease of %s: the server gives it for 0 s", ip)
	}
	l.Time = max(l.Time, briefest)
	l.T1, l.T2 = l.Time/2, l.Time/8*7 // RFC 2131 4.4.5
	t1, t2 := l.T1, l.T2
	if raw := ack.Options.Get(dhcpv4.OptionRenewTimeValue); len(raw) == 4 {
		t1 = seconds(raw)
	}
	if raw := ack.Options.Get(dhcpv4.OptionRebindingTimeValue); len(raw) == 4 {
		t2 = seconds(raw)
	}
	if soonest <= t1 && t1 < t2 && t2 < l.Time {
		l.T1, l.T2 = t1, t2
	}
	if s := addrs(ack.Options.Get(dhcpv4.OptionServerIdentifier), 1); len(s) == 1 {
		l.Server = s[0]
	}
	l.Routes = routes(ack, ip)
	l.DNS = addrs(ack.Options.Get(dhcpv4.OptionDomainNameServer), maxOthers)
	l.NTP = addrs(ack.Options.Get(dhcpv4.OptionNTPServers), maxOthers)
	if raw := ack.Options.Get(dhcpv4.OptionInterfaceMTU); len(raw) == 2 {
		if mtu := int(binary.BigEndian.Uint16(raw)); mtu >= 1280 {
			l.MTU = mtu
		}
	}
	return l, nil
}

func seconds(raw []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(raw)) * time.Second
}

// maskBits is the length of the subnet's prefix.
func maskBits(ack *dhcpv4.DHCPv4) (int, error) {
	raw := ack.Options.Get(dhcpv4.OptionSubnetMask)
	if raw == nil {
		return unmasked, nil // RFC 2132 lets a server leave the mask out; no one does, and a host needs one
	}
	ones, bits := net.IPMask(raw).Size()
	if bits != 32 || ones == 0 {
		return 0, fmt.Errorf("read lease of %s: %v is no subnet mask", ack.YourIPAddr, net.IP(raw))
	}
	return ones, nil
}

// unicast tells whether a can be one machine's.
func unicast(a netip.Addr) bool {
	return a.Is4() && a.As4()[0] != 0 && a.As4()[0] < 224 && !a.IsLoopback()
}

// addrs are the addresses of an option that can be machines', each once. A length that is no multiple of four is no list.
func addrs(raw []byte, most int) (out []netip.Addr) {
	if len(raw)%4 != 0 {
		return nil
	}
	for c := range slices.Chunk(raw, 4) {
		if a := netip.AddrFrom4([4]byte(c)); unicast(a) && !slices.Contains(out, a) && len(out) < most {
			out = append(out, a)
		}
	}
	return out
}

// routes are the classless static ones (option 121); where they are, the routers (option 3) are not looked at (RFC 3442). Of the routers
// the first is taken. An option 121 that can't be read to its end, or has no route in it, is as if it were not there.
func routes(ack *dhcpv4.DHCPv4, self netip.Addr) []Route {
	if out, ok := classless(ack.Options.Get(dhcpv4.OptionClasslessStaticRoute), self); ok {
		return out
	}
	for _, r := range addrs(ack.Options.Get(dhcpv4.OptionRouter), maxOthers) {
		if r != self {
			return []Route{{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: r}}
		}
	}
	return nil
}

// classless reads option 121: prefix length, its significant octets, router; a router of 0.0.0.0 is the link itself. Routes that lead to no
// machine or over none are left out.
func classless(raw []byte, self netip.Addr) (out []Route, ok bool) {
	if len(raw) == 0 {
		return nil, false
	}
	for len(raw) > 0 {
		bits := int(raw[0])
		n := (bits + 7) / 8
		if bits > 32 || len(raw) < 1+n+4 {
			return nil, false
		}
		var dst [4]byte
		copy(dst[:], raw[1:1+n])
		r := Route{To: netip.PrefixFrom(netip.AddrFrom4(dst), bits).Masked(), Via: netip.AddrFrom4([4]byte(raw[1+n : 5+n]))}
		raw = raw[5+n:]
		if r.Via.IsUnspecified() {
			r.Via = netip.Addr{}
		}
		to := r.To.Addr()
		reachable := bits == 0 || to.Is4() && to.As4()[0] < 224 && to.As4()[0] != 127
		if !reachable || r.Via.IsValid() && (!unicast(r.Via) || r.Via == self) || len(out) == maxRoutes {
			continue
		}
		if !slices.ContainsFunc(out, func(o Route) bool { return o.To == r.To }) {
			out = append(out, r)
		}
	}
	return out, true
}
