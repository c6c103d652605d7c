package address

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"hardnode.dev/internal/wire/host"
)

var (
	start = time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	self  = netip.MustParseAddr("10.77.0.2")
	one   = net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0, 1}
	two   = net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0, 2}
)

// site is a Giver at a time.
type site struct {
	*Giver
	t    *testing.T
	now  time.Time
	kept []Lease
	full error
}

// opened gives 10.77.0.2 (its own), .3 and .4, and has asked for other servers.
func opened(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, now: start}
	s.Giver = Open(nil, net.HardwareAddr{2, 0, 0, 0, 0, 1}, func(card string) string {
		if card == "52:54:00:ff:ff:ff" {
			return "it is none of ours"
		}
		return ""
	}, func(l []Lease) error { s.kept = append([]Lease(nil), l...); return s.full })
	of, err := host.ParseGiven("10.77.0.2-10.77.0.4/24", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Set(of, self)
	for range asks {
		s.Question()
	}
	return s
}

func message(t *testing.T, kind dhcpv4.MessageType, card net.HardwareAddr, change ...func(*dhcpv4.DHCPv4)) []byte {
	t.Helper()
	m, err := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(card))
	if err != nil {
		t.Fatal(err)
	}
	m.OpCode, m.HWType = dhcpv4.OpcodeBootRequest, iana.HWTypeEthernet
	for _, c := range change {
		c(m)
	}
	return m.ToBytes()
}

func asks4(a string) func(*dhcpv4.DHCPv4) {
	return func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a))) }
}

func chooses(a string) func(*dhcpv4.DHCPv4) {
	return func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptServerIdentifier(net.ParseIP(a))) }
}

func has(a string) func(*dhcpv4.DHCPv4) {
	return func(m *dhcpv4.DHCPv4) { m.ClientIPAddr = net.ParseIP(a).To4() }
}

func relayed(a string) func(*dhcpv4.DHCPv4) {
	return func(m *dhcpv4.DHCPv4) { m.GatewayIPAddr = net.ParseIP(a).To4() }
}

// says checks the reply to a message: its kind and address, "" is silence, and the reason.
func (s *site) says(raw []byte, want, reason string) *dhcpv4.DHCPv4 {
	s.t.Helper()
	reply, _, why := s.Decide(raw, nil, s.now)
	got := ""
	var m *dhcpv4.DHCPv4
	if reply != nil {
		var err error
		if m, err = dhcpv4.FromBytes(reply); err != nil {
			s.t.Fatal(err)
		}
		got = m.MessageType().String() + " " + m.YourIPAddr.String()
	}
	if got != want || !strings.Contains(why, reason) {
		s.t.Errorf("got %q (%s), want %q (%s)", got, why, want, reason)
	}
	return m
}

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
)

// TestLife: one machine's address from the offer to its release, and beside it another's.
func TestLife(t *testing.T) {
	s := opened(t)
	m := s.says(message(t, discover, one), "OFFER 10.77.0.3", "offered")
	if m.IPAddressLeaseTime(0) != Lasts || !net.IP(m.SubnetMask()).Equal(net.IPv4(255, 255, 255, 0)) ||
		m.ServerIdentifier().String() != "10.77.0.2" {
		t.Errorf("the offer: %s", m.Summary())
	}
	if len(s.kept) > 0 {
		t.Errorf("an offer is kept: %v", s.kept)
	}
	s.says(message(t, request, one, asks4("10.77.0.3"), chooses("10.77.0.2")), "ACK 10.77.0.3", "given")
	if len(s.kept) != 1 || s.kept[0].Card != one.String() {
		t.Errorf("kept: %v", s.kept)
	}
	s.says(message(t, discover, two, asks4("10.77.0.3")), "OFFER 10.77.0.4", "")
	s.says(message(t, discover, net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0, 3}), "", "all 3 addresses are out")
	s.now = s.now.Add(2 * time.Minute) // what was offered and not taken
	s.says(message(t, discover, net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0, 3}), "OFFER 10.77.0.4", "")
	s.now = s.now.Add(Lasts / 2)
	s.says(message(t, request, one, has("10.77.0.3")), "ACK 10.77.0.3", "")
	s.says(message(t, request, two, asks4("10.77.0.3")), "NAK 0.0.0.0", "is not its address")
	s.says(message(t, request, two, asks4("192.168.1.9")), "NAK 0.0.0.0", "is not its address")
	s.says(message(t, request, two, asks4("10.77.0.4")), "ACK 10.77.0.4", "") // as it was before this server began anew
	s.says(message(t, dhcpv4.MessageTypeRelease, one, has("10.77.0.3")), "", "asks for no address")
	s.now = s.now.Add(time.Second)
	s.says(message(t, discover, net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0, 4}), "OFFER 10.77.0.3", "")
	s.says(message(t, discover, one), "", "all 3")
	if text, trouble := s.State(s.now); text != "2 of 3 addresses are out" || trouble {
		t.Errorf("state %q, %v", text, trouble)
	}
}

// TestTold: a machine is told a router and resolvers with its address, where there are any.
func TestTold(t *testing.T) {
	s := opened(t)
	m := s.says(message(t, discover, one), "OFFER 10.77.0.3", "")
	if m.Router() != nil || m.DNS() != nil {
		t.Errorf("where nothing was said of them: %s", m.Summary())
	}
	of, err := host.ParseGiven("10.77.0.2-10.77.0.4/24", "10.77.0.1", []string{"10.77.0.53", "9.9.9.9"})
	if err != nil {
		t.Fatal(err)
	}
	s.Set(of, self) // other servers are not looked for anew
	for _, raw := range [][]byte{message(t, discover, one), message(t, request, one, asks4("10.77.0.3"), chooses("10.77.0.2"))} {
		reply, _, why := s.Decide(raw, nil, s.now)
		m, err := dhcpv4.FromBytes(reply)
		if err != nil {
			t.Fatalf("%v (%s)", err, why)
		}
		if r, d := m.Router(), m.DNS(); len(r) != 1 || r[0].String() != "10.77.0.1" || len(d) != 2 || d[1].String() != "9.9.9.9" {
			t.Errorf("told: %s", m.Summary())
		}
	}
	refused := s.says(message(t, request, two, asks4("192.168.1.9")), "NAK 0.0.0.0", "")
	if refused.Router() != nil {
		t.Errorf("a machine that is refused is told: %s", refused.Summary())
	}
}

// TestDeclined: an address that somebody has who did not ask for it goes to nobody else.
func TestDeclined(t *testing.T) {
	s := opened(t)
	s.says(message(t, discover, one), "OFFER 10.77.0.3", "")
	s.says(message(t, request, one, asks4("10.77.0.3"), chooses("10.77.0.2")), "ACK 10.77.0.3", "")
	s.says(message(t, dhcpv4.MessageTypeDecline, one, asks4("10.77.0.3"), chooses("10.77.0.2")), "", "taken by somebody else")
	s.says(message(t, discover, one), "OFFER 10.77.0.4", "")
	s.says(message(t, discover, two), "", "all 3")
	s.now = s.now.Add(refused + time.Second)
	s.says(message(t, discover, two), "OFFER 10.77.0.4", "")
}

// TestOtherServer: nothing is given before it was asked for another one, and while one answers or is chosen; who has an address keeps it.
func TestOtherServer(t *testing.T) {
	s := opened(t)
	s.says(message(t, discover, one), "OFFER 10.77.0.3", "")
	s.says(message(t, request, one, asks4("10.77.0.3"), chooses("10.77.0.2")), "ACK 10.77.0.3", "")
	s.says(message(t, request, two, asks4("10.77.0.99"), chooses("10.77.0.1")), "",
		"another DHCP server answers on this network, 10.77.0.1")
	s.says(message(t, discover, two), "", "another DHCP server answers on this network, 10.77.0.1")
	s.says(message(t, request, one, has("10.77.0.3")), "ACK 10.77.0.3", "")
	if text, trouble := s.State(s.now); !trouble || !strings.Contains(text, "Switch one of both off") {
		t.Errorf("state %q, %v", text, trouble)
	}
	s.now = s.now.Add(Forgets + time.Second)
	s.says(message(t, discover, two), "OFFER 10.77.0.4", "")

	raw, _ := s.Question()
	q, err := dhcpv4.FromBytes(raw)
	if err != nil || q.GatewayIPAddr.String() != "10.77.0.2" {
		t.Fatalf("the question is %v, %v", q, err)
	}
	s.says(raw, "", "through a relay") // our own, which comes back
	offer, err := dhcpv4.NewReplyFromRequest(q, dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer),
		dhcpv4.WithServerIP(net.IPv4(10, 77, 0, 9)))
	if err != nil {
		t.Fatal(err)
	}
	offer.UpdateOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 77, 0, 9)))
	s.says(offer.ToBytes(), "", "an answer") // of one that gives no address
	s.says(message(t, discover, two), "OFFER 10.77.0.4", "")
	offer.YourIPAddr = net.IPv4(10, 77, 0, 77)
	s.says(offer.ToBytes(), "", "an answer")
	s.says(message(t, discover, two), "", "another DHCP server answers on this network, 10.77.0.9")
}

func TestSilent(t *testing.T) {
	s := opened(t)
	s.says(message(t, discover, net.HardwareAddr{0x52, 0x54, 0, 0xff, 0xff, 0xff}), "", "none of ours")
	s.says(message(t, discover, one, relayed("10.99.0.1")), "", "from another network")
	s.says(message(t, discover, one, relayed("10.77.0.9")), "OFFER 10.77.0.3", "") // another netboot's question
	s.says([]byte("x"), "", "no DHCP message")
	s.says(message(t, dhcpv4.MessageTypeInform, one), "", "asks for no address")
	s.full = errors.New("no space left on device")
	s.says(message(t, request, one, asks4("10.77.0.3"), chooses("10.77.0.2")), "", "can't be kept: no space left")
	s.Set(host.Given{}, self)
	s.says(message(t, discover, one), "", "no addresses are given here")
	of, _ := host.ParseGiven("10.78.0.2-10.78.0.4/24", "", nil)
	s.Set(of, self)
	s.says(message(t, discover, one), "", "10.77.0.2, is not in 10.78.0.0/24")
	if _, trouble := s.State(s.now); !trouble {
		t.Error("that is no trouble")
	}
	if raw, _ := s.Question(); raw != nil {
		t.Error("others are asked for in another network")
	}
	s.Set(of, netip.MustParseAddr("10.78.0.1"))
	s.says(message(t, discover, one), "", "asked first")
}

// TestBoots: a machine that asks to boot gets address and file in one reply.
func TestBoots(t *testing.T) {
	s := opened(t)
	boot, err := dhcpv4.New()
	if err != nil {
		t.Fatal(err)
	}
	boot.OpCode, boot.BootFileName, boot.ServerHostName = dhcpv4.OpcodeBootReply, "snponly.efi", "10.77.0.2"
	boot.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient"))
	boot.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck))
	for _, c := range []struct {
		raw  []byte
		kind dhcpv4.MessageType
		file string
	}{
		{message(t, discover, one), dhcpv4.MessageTypeOffer, "snponly.efi"},
		{message(t, request, one, asks4("10.77.0.3"), chooses("10.77.0.2")), dhcpv4.MessageTypeAck, "snponly.efi"},
		{message(t, request, one, asks4("10.77.0.9"), chooses("10.77.0.2")), dhcpv4.MessageTypeNak, ""},
	} {
		raw, to, _ := s.Decide(c.raw, boot.ToBytes(), s.now)
		m, err := dhcpv4.FromBytes(raw)
		if err != nil || m.BootFileName != c.file || m.MessageType() != c.kind || to.String() != "255.255.255.255:68" {
			t.Errorf("%v: %v, to %s, %v", c.kind, m, to, err)
		}
	}
	_, to, _ := s.Decide(message(t, request, one, has("10.77.0.3")), nil, s.now)
	if to.String() != "10.77.0.3:68" {
		t.Errorf("a renewal is answered at %s", to)
	}
}
