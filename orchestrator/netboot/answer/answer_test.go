package answer

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

var served = Served{Addr: netip.MustParseAddr("10.88.0.1"), HTTP: "http://10.88.0.1/",
	Boots: func(string) (string, string) { return "", "" }}

var card = net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0, 1}

// ask is a message of a client, with changes.
func ask(t testing.TB, kind dhcpv4.MessageType, class string, change ...func(*dhcpv4.DHCPv4)) []byte {
	t.Helper()
	m, err := dhcpv4.New(dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(card))
	if err != nil {
		t.Fatal(err)
	}
	m.OpCode, m.HWType = dhcpv4.OpcodeBootRequest, iana.HWTypeEthernet
	m.UpdateOption(dhcpv4.OptClassIdentifier(class))
	m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, append([]byte{0}, make([]byte, 16)...)))
	for _, c := range change {
		c(m)
	}
	return m.ToBytes()
}

func arch(a iana.Arch) func(*dhcpv4.DHCPv4) {
	return func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptClientArch(a)) }
}

func ipxe(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptUserClass("iPXE")) }

// TestDecide: the file by firmware, and why others get none.
func TestDecide(t *testing.T) {
	discover, request, inform := dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform
	const pxe, http = "PXEClient:Arch:00000:UNDI:002001", "HTTPClient:Arch:00016:UNDI:003001"
	only := served
	only.Boots = func(string) (string, string) { return "", "it is none of the cards" }
	ours := served
	ours.Boots = func(c string) (string, string) {
		if c == card.String() {
			return "1.4.0/", ""
		}
		return "", "another card"
	}
	for _, c := range []struct {
		name   string
		served Served
		port   int
		raw    []byte
		file   string // "" is silence
		reason string
	}{
		{"BIOS", served, 67, ask(t, discover, pxe, arch(0)), "undionly.kpxe", ""},
		{"BIOS, by its class alone", served, 67, ask(t, discover, pxe), "undionly.kpxe", ""},
		{"UEFI", served, 67, ask(t, discover, "PXEClient:Arch:00007:UNDI:003000", arch(7)), "snponly.efi", ""},
		{"UEFI, the other number", served, 67, ask(t, discover, "PXEClient:Arch:00009:UNDI:003000", arch(9)), "snponly.efi", ""},
		{"UEFI by HTTP", served, 67, ask(t, discover, http, arch(16)), "http://10.88.0.1/snponly.efi", ""},
		{"iPXE on BIOS", served, 67, ask(t, discover, pxe, arch(0), ipxe), "http://10.88.0.1/host.ipxe", ""},
		{"iPXE on UEFI", served, 67, ask(t, discover, pxe, arch(7), ipxe), "http://10.88.0.1/host.ipxe", ""},
		{"iPXE that the firmware loaded by HTTP", served, 67, ask(t, discover, "PXEClient:Arch:00007", arch(7), ipxe),
			"http://10.88.0.1/host.ipxe", ""},
		{"boot server, request", served, 4011, ask(t, request, pxe, arch(0)), "undionly.kpxe", ""},
		{"boot server, inform", served, 4011, ask(t, inform, pxe, arch(7)), "snponly.efi", ""},
		{"a card of ours", ours, 67, ask(t, discover, pxe, arch(0)), "undionly.kpxe", ""},
		{"its release", ours, 67, ask(t, discover, pxe, arch(0), ipxe), "http://10.88.0.1/1.4.0/host.ipxe", ""},

		{"a card of others", only, 67, ask(t, discover, pxe, arch(0)), "", "none of the cards"},
		{"a telephone", served, 67, ask(t, discover, "Acme phone"), "", "does not ask to boot"},
		{"no class", served, 67, ask(t, discover, ""), "", "does not ask to boot"},
		{"a class that only contains it", served, 67, ask(t, discover, "my PXEClient"), "", "does not ask to boot"},
		{"a running host's request", served, 67, ask(t, request, pxe, arch(0)), "", "talks to another DHCP server"},
		{"a discover at the boot server", served, 4011, ask(t, discover, pxe, arch(0)), "", "not asked by DISCOVER"},
		{"an offer at the boot server", served, 4011, ask(t, dhcpv4.MessageTypeOffer, pxe, arch(0)), "", "not asked by OFFER"},
		{"UEFI of 32 bits", served, 67, ask(t, discover, pxe, arch(6)), "", "no image for its architecture"},
		{"UEFI of ARM", served, 67, ask(t, discover, pxe, arch(11)), "", "no image for its architecture"},
		{"UEFI of ARM by HTTP", served, 67, ask(t, discover, http, arch(19)), "", "no image for its architecture"},
		{"an HTTP client that says PXE's number", served, 67, ask(t, discover, http, arch(7)), "", "no image for its architecture"},
		{"no architecture", served, 67, ask(t, discover, "PXEClient"), "", "does not say its architecture"},
		{"through a relay", served, 67, ask(t, discover, pxe, arch(0), func(m *dhcpv4.DHCPv4) { m.GatewayIPAddr = net.IPv4(192, 0, 2, 1) }),
			"", "through a relay"},
		{"an answer", served, 67, ask(t, discover, pxe, arch(0), func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }), "",
			"an answer, not a request"},
		{"a group's address", served, 67, ask(t, discover, pxe, arch(0), func(m *dhcpv4.DHCPv4) {
			m.ClientHWAddr = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}), "", "hardware address"},
		{"no address", served, 67, ask(t, discover, pxe, arch(0), func(m *dhcpv4.DHCPv4) { m.ClientHWAddr = make([]byte, 6) }), "",
			"hardware address"},
		{"noise", served, 67, []byte("hello"), "", "no DHCP message"},
		{"nothing", served, 67, nil, "", "no DHCP message"},
		{"too long", served, 67, make([]byte, 4000), "", "longer than a frame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, reason := c.served.Decide(c.raw, c.port)
			if c.file == "" {
				if raw != nil || !strings.Contains(reason, c.reason) {
					t.Fatalf("got %d bytes, %q; want silence because %q", len(raw), reason, c.reason)
				}
				return
			}
			m, err := dhcpv4.FromBytes(raw)
			if err != nil {
				t.Fatalf("%v, %q", err, reason)
			}
			want := dhcpv4.MessageTypeOffer
			if c.port == PortBoot {
				want = dhcpv4.MessageTypeAck
			}
			if m.BootFileName != c.file || string(m.Options.Get(dhcpv4.OptionBootfileName)) != c.file || m.MessageType() != want ||
				!m.YourIPAddr.IsUnspecified() || !m.ServerIPAddr.Equal(net.IPv4(10, 88, 0, 1)) || !bytes.Equal(m.ClientHWAddr, card) ||
				len(m.Options.Get(dhcpv4.OptionClientMachineIdentifier)) != 17 {
				t.Errorf("the answer is %s", m.Summary())
			}
			if class := m.ClassIdentifier(); class != "PXEClient" && class != "HTTPClient" {
				t.Errorf("the class is %q: other machines may take the answer for theirs", class)
			}
			if len(raw) > 2*len(c.raw)+600 {
				t.Errorf("%d bytes answer %d", len(raw), len(c.raw))
			}
		})
	}
}

// FuzzDecide: whatever comes, the answer is a DHCP message without an address, for the card that asked.
func FuzzDecide(f *testing.F) {
	f.Add(ask(f, dhcpv4.MessageTypeDiscover, "PXEClient:Arch:00000:UNDI:002001", arch(0)), true)
	f.Add(ask(f, dhcpv4.MessageTypeRequest, "HTTPClient:Arch:00016", arch(16), ipxe), false)
	f.Fuzz(func(t *testing.T, raw []byte, dhcp bool) {
		port := PortBoot
		if dhcp {
			port = PortDHCP
		}
		reply, reason := served.Decide(raw, port)
		if reply == nil {
			if reason == "" {
				t.Error("silence without a reason")
			}
			return
		}
		m, err := dhcpv4.FromBytes(reply)
		if err != nil || !m.YourIPAddr.IsUnspecified() || m.OpCode != dhcpv4.OpcodeBootReply || len(reply) > 1400 {
			t.Errorf("%d bytes, %v", len(reply), err)
		}
	})
}
