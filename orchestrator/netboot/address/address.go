// Package address gives machines addresses where a site has no DHCP server, and none where another one answers.
//
// Owns: which card has which address and until when; which other servers were heard of.
// In: what is given out; each DHCP message that comes, with the time; the reply that names what the machine boots, if it asks to.
// Out: the reply, or silence and its reason; questions to find other servers; what to keep.
// Never: waits, sends, opens a file, or gives an address before it has asked whether another server answers.
//
// The forms are those of RFC 2131. Another server is found as a relay would (4.1): a DISCOVER with our own address as giaddr is answered to
// that address at port 67, which is the one socket there is. Clients that choose another server tell its name too (option 54).
package address

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"hardnode.dev/internal/wire/host"
)

// The clocks of looking for other servers.
const (
	First   = time.Second      // between questions at the start
	Each    = 20 * time.Second // between later ones
	asks    = 3                // that nobody has answered, before the first address is given
	Forgets = 2 * time.Minute  // after a server was heard last it counts as gone: six questions
)

// Giver gives addresses. Its methods may be called from any goroutine.
type Giver struct {
	For  func(card string) (why string) // why a card is given none; "" is that it is
	Keep func([]Lease) error            // called with all leases when one was given
	Card net.HardwareAddr               // that asks for other servers

	mu struct {
		sync.Mutex
		of     host.Given
		self   netip.Addr
		leases leases
		asked  int
		other  netip.Addr
		heard  time.Time
	}
}

// Open makes a Giver that goes on with the leases that were kept.
func Open(kept []Lease, card net.HardwareAddr, who func(string) string, keep func([]Lease) error) *Giver {
	g := &Giver{For: who, Keep: keep, Card: card}
	g.mu.leases = kept
	return g
}

// Set says what is given out from now on, the zero value nothing, and what this server's own address is. When it changes, other servers are
// looked for anew.
func (g *Giver) Set(of host.Given, self netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.of.Same(of) && g.mu.self == self {
		return
	}
	if g.mu.of.Addresses != of.Addresses {
		g.mu.asked, g.mu.other = 0, netip.Addr{}
	}
	g.mu.of, g.mu.self = of, self
}

// State is what is given, and false, or why nothing is, and whether that is a trouble.
func (g *Giver) State(now time.Time) (text string, trouble bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.of.Count() == 0 {
		return "", false
	}
	if why := g.silent(now); why != "" {
		return why, why != notYet
	}
	return fmt.Sprintf("%d of %d addresses are out", g.mu.leases.out(now), g.mu.of.Count()), false
}

const notYet = "no addresses are given yet: it is asked first whether another DHCP server answers"

// silent is why no address is given now, or ""; mu is held.
func (g *Giver) silent(now time.Time) string {
	switch {
	case g.mu.of.Count() == 0:
		return "no addresses are given here"
	case !g.mu.of.Network.Contains(g.mu.self):
		return fmt.Sprintf("no addresses are given: this machine's own address, %s, is not in %s", g.mu.self, g.mu.of.Network)
	case g.mu.other.IsValid() && now.Sub(g.mu.heard) < Forgets:
		return fmt.Sprintf("no addresses are given: another DHCP server answers on this network, %s; two of them give one address twice. "+
			"Switch one of both off", g.mu.other)
	case g.mu.asked < asks:
		return notYet
	}
	return ""
}

// Question is a message to all on the network that other DHCP servers answer, and when the next one is due; nil when none is to be asked.
func (g *Giver) Question() (message []byte, next time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.mu.of.Network.Contains(g.mu.self) {
		return nil, First
	}
	m, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover), dhcpv4.WithHwAddr(g.Card))
	if err != nil {
		return nil, First // no randomness: the next one
	}
	m.OpCode, m.HWType = dhcpv4.OpcodeBootRequest, iana.HWTypeEthernet
	m.GatewayIPAddr = net.IP(g.mu.self.AsSlice())
	next = Each
	if g.mu.asked++; g.mu.asked <= asks {
		next = First
	}
	return m.ToBytes(), next
}

// Decide answers a message that came to port 67. boot is the reply that names what the machine loads, nil when it does not ask to boot.
// Without a reply the reason says why.
func (g *Giver) Decide(raw, boot []byte, now time.Time) (reply []byte, to netip.AddrPort, reason string) {
	m, err := dhcpv4.FromBytes(raw)
	if err != nil {
		return nil, to, "it is no DHCP message"
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if named := g.server(m); named.IsValid() && named != g.mu.self && g.mu.of.Count() > 0 {
		g.mu.other, g.mu.heard = named, now
	}
	if m.OpCode != dhcpv4.OpcodeBootRequest || m.HWType != iana.HWTypeEthernet || len(m.ClientHWAddr) != 6 {
		return nil, to, "it is an answer, not a request"
	}
	card := m.ClientHWAddr.String()
	if why := g.silent(now); why != "" && !g.renews(m, card, now) {
		return nil, to, why
	}
	if relay, ok := addr(m.GatewayIPAddr); ok && (!g.mu.of.Network.Contains(relay) || relay == g.mu.self) {
		return nil, to, "it comes through a relay, from another network"
	}
	if why := g.For(card); why != "" {
		return nil, to, why
	}
	r, reason := g.answer(m, card, now)
	if r == nil {
		return nil, to, reason
	}
	if b, err := dhcpv4.FromBytes(boot); err == nil && r.MessageType() != dhcpv4.MessageTypeNak {
		name(r, b)
	}
	return r.ToBytes(), destination(m, r), reason
}

// renews tells whether a card asks to keep the address that it was given here: it may, whoever else answers. mu is held.
func (g *Giver) renews(m *dhcpv4.DHCPv4, card string, now time.Time) bool {
	has, ok := addr(m.ClientIPAddr)
	own := g.mu.leases.of(card)
	return ok && m.MessageType() == dhcpv4.MessageTypeRequest && g.mu.of.Has(has) && own != nil && own.Addr == has && own.Until.After(now)
}

// server is which server a client has chosen, or the server that answers.
func (g *Giver) server(m *dhcpv4.DHCPv4) netip.Addr {
	kind := m.MessageType()
	if m.OpCode == dhcpv4.OpcodeBootReply && kind != dhcpv4.MessageTypeOffer ||
		m.OpCode == dhcpv4.OpcodeBootRequest && kind != dhcpv4.MessageTypeRequest {
		return netip.Addr{}
	}
	if y, ok := addr(m.YourIPAddr); m.OpCode == dhcpv4.OpcodeBootReply && (!ok || y == g.mu.self) {
		return netip.Addr{} // it gives no address: a boot server
	}
	a, _ := addr(m.ServerIdentifier())
	return a
}

// answer is the reply to a request of a card that is given an address; mu is held.
func (g *Giver) answer(m *dhcpv4.DHCPv4, card string, now time.Time) (*dhcpv4.DHCPv4, string) {
	asked, _ := addr(m.RequestedIPAddress())
	has, renews := addr(m.ClientIPAddr)
	chosen, selects := addr(m.ServerIdentifier())
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		a, ok := g.mu.leases.choose(card, asked, g.mu.of.Addresses, g.mu.self, now)
		if !ok {
			return nil, fmt.Sprintf("all %d addresses are out", g.mu.of.Count())
		}
		if own := g.mu.leases.of(card); own == nil || own.Addr != a || !own.Until.After(now) {
			g.mu.leases = g.mu.leases.put(Lease{card, a, now.Add(reserved)})
		}
		return g.reply(m, dhcpv4.MessageTypeOffer, a), "it is offered " + a.String()
	case dhcpv4.MessageTypeRequest:
		want := asked
		switch {
		case selects && chosen != g.mu.self:
			return nil, "it talks to another DHCP server"
		case renews:
			want = has
		}
		a, ok := g.mu.leases.choose(card, want, g.mu.of.Addresses, g.mu.self, now)
		if !ok || a != want {
			return g.reply(m, dhcpv4.MessageTypeNak, netip.Addr{}), fmt.Sprintf("%s is not its address: it is to ask anew", want)
		}
		before := g.mu.leases
		g.mu.leases = append(leases(nil), before...).put(Lease{card, a, now.Add(Lasts)})
		if err := g.Keep(g.mu.leases); err != nil {
			g.mu.leases = before
			return nil, fmt.Sprintf("its address can't be kept: %v", err)
		}
		return g.reply(m, dhcpv4.MessageTypeAck, a), "it is given " + a.String()
	case dhcpv4.MessageTypeDecline:
		if own := g.mu.leases.of(card); own != nil && own.Addr == asked {
			g.mu.leases = g.mu.leases.put(Lease{nobody, asked, now.Add(refused)})
			return nil, asked.String() + " is taken by somebody else, it says"
		}
	case dhcpv4.MessageTypeRelease:
		if own := g.mu.leases.of(card); own != nil && own.Addr == has {
			own.Until = now
		}
	}
	return nil, "it asks for no address"
}

// reply is a message with an address; mu is held.
func (g *Giver) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, a netip.Addr) *dhcpv4.DHCPv4 {
	r := &dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootReply, HWType: m.HWType, TransactionID: m.TransactionID, Flags: m.Flags,
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: m.GatewayIPAddr,
		ClientHWAddr: m.ClientHWAddr, Options: dhcpv4.Options{}}
	r.UpdateOption(dhcpv4.OptMessageType(kind))
	r.UpdateOption(dhcpv4.OptServerIdentifier(net.IP(g.mu.self.AsSlice())))
	if a.IsValid() {
		r.ClientIPAddr, r.YourIPAddr = m.ClientIPAddr, net.IP(a.AsSlice())
		r.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(g.mu.of.Network.Bits(), 32)))
		r.UpdateOption(dhcpv4.OptBroadcastAddress(net.IP(g.mu.of.Broadcast().AsSlice())))
		r.UpdateOption(dhcpv4.OptIPAddressLeaseTime(Lasts))
		if router := g.mu.of.Router; router.IsValid() {
			r.UpdateOption(dhcpv4.OptRouter(net.IP(router.AsSlice())))
		}
		if dns := g.mu.of.DNS; len(dns) > 0 {
			var list []net.IP
			for _, a := range dns {
				list = append(list, net.IP(a.AsSlice()))
			}
			r.UpdateOption(dhcpv4.OptDNS(list...))
		}
	}
	return r
}

// name adds to a reply what the machine loads, as boot has it.
func name(r, boot *dhcpv4.DHCPv4) {
	r.ServerIPAddr, r.ServerHostName, r.BootFileName = boot.ServerIPAddr, boot.ServerHostName, boot.BootFileName
	for code, value := range boot.Options {
		if _, there := r.Options[code]; !there {
			r.Options[code] = value
		}
	}
}

// destination is where a reply is sent (RFC 2131, 4.1).
func destination(m, r *dhcpv4.DHCPv4) netip.AddrPort {
	if relay, ok := addr(m.GatewayIPAddr); ok {
		return netip.AddrPortFrom(relay, 67)
	}
	if has, ok := addr(m.ClientIPAddr); ok && r.MessageType() != dhcpv4.MessageTypeNak {
		return netip.AddrPortFrom(has, 68)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 68)
}

func addr(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip.To4())
	return a, ok && !a.IsUnspecified()
}
