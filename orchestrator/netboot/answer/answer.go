// Package answer decides what a machine is told that asks by DHCP how to boot from the network.
//
// Owns: which machines are answered, and with which file, by what they say of their firmware; nothing in it waits or sends.
// In: one DHCP message, the port that it came to, what is served.
// Out: the reply, or silence and the reason for it.
// Never: gives an address (the site's own DHCP server does, or package address), or answers what is no request to boot.
//
// The forms are those of the Preboot Execution Environment specification 2.1 (Intel, 1999: "proxyDHCP"), RFC 2131, RFC 4578 and the UEFI
// specification 2.10, section 24.7 (HTTP boot).
package answer

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// The ports of DHCP servers, and of boot servers beside them.
const (
	PortDHCP = 67
	PortBoot = 4011
)

// MaxMessage is the longest message that is read, in bytes: an Ethernet frame's.
const MaxMessage = 1500

// Served is what machines are led to.
type Served struct {
	Addr netip.Addr // of this server, on the machines' network: TFTP is there at port 69
	HTTP string     // URL of the folder of files, with a slash at its end
	// Boots is the folder below HTTP, "" or with a slash at its end, that a machine with this card is led to, or why it is not answered.
	Boots func(card string) (folder, why string)
}

// file is what a kind of firmware loads.
type file struct {
	arch iana.Arch
	name string
	url  bool // by HTTP, and asked for by an HTTPClient
}

// files is by the numbers of RFC 4578, 2.1, and IANA's registry of processor architecture types.
var files = []file{
	{iana.INTEL_X86PC, "undionly.kpxe", false},
	{iana.EFI_BC, "snponly.efi", false},     // what firmware for x86-64 says by the registry's first edition
	{iana.EFI_X86_64, "snponly.efi", false}, // and by the corrected one
	{iana.EFI_X86_64_HTTP, "snponly.efi", true},
}

// Script is what iPXE is told to load.
const Script = "host.ipxe"

// Decide answers a message that came to port. Without a reply the reason says why; it is for people who look for theirs.
func (s Served) Decide(raw []byte, port int) (reply []byte, reason string) {
	m, reason := read(raw)
	if m == nil {
		return nil, reason
	}
	kind := m.MessageType()
	switch {
	case !boots(m):
		return nil, "it does not ask to boot"
	case port == PortDHCP && kind != dhcpv4.MessageTypeDiscover:
		return nil, "it talks to another DHCP server"
	case port == PortBoot && kind != dhcpv4.MessageTypeRequest && kind != dhcpv4.MessageTypeInform:
		return nil, fmt.Sprintf("a boot server is not asked by %s", kind)
	case !unset(m.GatewayIPAddr):
		return nil, "it comes through a relay, from another network"
	}
	return s.named(m, port)
}

// Name is the reply that names what a machine loads that is given its address here, nil when it does not ask to boot, or is not led
// anywhere.
func (s Served) Name(raw []byte) []byte {
	m, _ := read(raw)
	if m == nil || !boots(m) {
		return nil
	}
	reply, _ := s.named(m, PortDHCP)
	return reply
}

// boots tells whether a message asks how to boot.
func boots(m *dhcpv4.DHCPv4) bool {
	class := m.ClassIdentifier()
	return strings.HasPrefix(class, "HTTPClient") || strings.HasPrefix(class, "PXEClient")
}

// named is the reply with the file of a machine, or why there is none.
func (s Served) named(m *dhcpv4.DHCPv4, port int) (reply []byte, reason string) {
	class := m.ClassIdentifier()
	http := strings.HasPrefix(class, "HTTPClient")
	folder, why := s.Boots(m.ClientHWAddr.String())
	if why != "" {
		return nil, why
	}
	name, reason := s.file(m, class, http, folder)
	if name == "" {
		return nil, reason
	}
	return s.reply(m, m.MessageType(), port, name, http), name
}

// read decodes a message that a client sent over Ethernet.
func read(raw []byte) (*dhcpv4.DHCPv4, string) {
	if len(raw) > MaxMessage {
		return nil, "the message is longer than a frame"
	}
	m, err := dhcpv4.FromBytes(raw)
	switch {
	case err != nil:
		return nil, "it is no DHCP message"
	case m.OpCode != dhcpv4.OpcodeBootRequest:
		return nil, "it is an answer, not a request"
	case m.HWType != iana.HWTypeEthernet || len(m.ClientHWAddr) != 6 || m.ClientHWAddr[0]&1 != 0 ||
		bytes.Equal(m.ClientHWAddr, make([]byte, 6)):
		return nil, "its hardware address is none of an Ethernet card"
	}
	return m, ""
}

// file is the name or URL of what the machine loads, or why there is none.
func (s Served) file(m *dhcpv4.DHCPv4, class string, http bool, folder string) (name, reason string) {
	if slices.Contains(m.UserClass(), "iPXE") || string(m.Options.Get(dhcpv4.OptionUserClassInformation)) == "iPXE" {
		return s.HTTP + folder + Script, ""
	}
	archs := m.ClientArch()
	if len(archs) == 0 { // the class says it too: "PXEClient:Arch:00007:UNDI:003000"
		var n uint16
		if _, err := fmt.Sscanf(class, "PXEClient:Arch:%5d", &n); err != nil {
			return "", "it does not say its architecture"
		}
		archs = []iana.Arch{iana.Arch(n)}
	}
	for _, f := range files {
		if f.url != http || !slices.Contains(archs, f.arch) {
			continue
		}
		if f.url {
			return s.HTTP + f.name, ""
		}
		return f.name, ""
	}
	return "", fmt.Sprintf("there is no image for its architecture, %v", archs[0])
}

// skipDiscovery is PXE's option 43: boot the file that is named, ask no further server (PXE_DISCOVERY_CONTROL, bit 3).
var skipDiscovery = []byte{6, 1, 8, 255}

// reply names the file. It carries no address: machines take that from the site's own DHCP server.
func (s Served) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, port int, name string, http bool) []byte {
	r := &dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootReply, HWType: m.HWType, TransactionID: m.TransactionID, Flags: m.Flags,
		ClientIPAddr: m.ClientIPAddr, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IP(s.Addr.AsSlice()), GatewayIPAddr: net.IPv4zero,
		ClientHWAddr: m.ClientHWAddr, BootFileName: name, Options: dhcpv4.Options{}}
	answers := dhcpv4.MessageTypeOffer
	if port == PortBoot || kind != dhcpv4.MessageTypeDiscover {
		answers = dhcpv4.MessageTypeAck
	}
	class := "PXEClient"
	if http {
		class = "HTTPClient"
	}
	r.UpdateOption(dhcpv4.OptMessageType(answers))
	r.UpdateOption(dhcpv4.OptServerIdentifier(r.ServerIPAddr))
	r.UpdateOption(dhcpv4.OptClassIdentifier(class))
	if !http {
		r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, skipDiscovery))
		r.ServerHostName = s.Addr.String()
	}
	r.UpdateOption(dhcpv4.OptBootFileName(name))
	if id := m.Options.Get(dhcpv4.OptionClientMachineIdentifier); len(id) == 17 {
		r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, id))
	}
	return r.ToBytes()
}

func unset(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
