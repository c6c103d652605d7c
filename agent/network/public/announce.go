package public

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// announce tells all machines on a link that an address is here, so that none goes on sending to where it was. A link without Ethernet
// needs none.
func announce(a netip.Addr, l Link) error {
	if len(l.MAC) != 6 {
		return nil
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("announce %s: %v", a, err)
	}
	defer unix.Close(fd)
	frame := gratuitous(a, l.MAC)
	if a.Is6() {
		frame = unsolicited(a, l)
	}
	if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.Index, Halen: 6}); err != nil {
		return fmt.Errorf("announce %s on %s: %v", a, l.Name, err)
	}
	return nil
}

func ethernet(to, from net.HardwareAddr, kind uint16) []byte {
	return binary.BigEndian.AppendUint16(slices.Concat(to, from), kind)
}

// gratuitous is an ARP announcement (RFC 5227 3): a request for the address, which the sender says it has.
func gratuitous(a netip.Addr, mac net.HardwareAddr) []byte {
	frame := ethernet(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, unix.ETH_P_ARP)
	frame = append(frame, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, their lengths, request
	return append(frame, slices.Concat(mac, a.AsSlice(), make([]byte, 6), a.AsSlice())...)
}

// unsolicited is a neighbour advertisement to all nodes (RFC 4861 7.2.6), from an address of the link, of a router, that replaces what they
// knew.
func unsolicited(a netip.Addr, l Link) []byte {
	src, dst := a, netip.MustParseAddr("ff02::1")
	for _, p := range l.Addrs {
		if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			src = p.Addr()
		}
	}
	body := append([]byte{advertisement, 0, 0, 0, 0x80 | override, 0, 0, 0}, a.AsSlice()...)
	body = append(append(body, 2, 1), l.MAC...) // the target's link-layer address, 8 bytes
	return icmp6(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, l.MAC, src, dst, body)
}

// icmp6 is a frame with a message between neighbours: with the hop limit that shows that it comes from one.
func icmp6(to, from net.HardwareAddr, src, dst netip.Addr, body []byte) []byte {
	pseudo := append(slices.Concat(src.AsSlice(), dst.AsSlice()), 0, 0, 0, byte(len(body)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(body[2:], sum(append(pseudo, body...)))
	frame := ethernet(to, from, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0, 0, byte(len(body)), unix.IPPROTO_ICMPV6, 255)
	return append(frame, slices.Concat(src.AsSlice(), dst.AsSlice(), body)...)
}

// sum is the Internet checksum (RFC 1071) of an even number of bytes.
func sum(b []byte) uint16 {
	n := uint32(0)
	for i := 0; i < len(b); i += 2 {
		n += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for n>>16 != 0 {
		n = n&0xffff + n>>16
	}
	return ^uint16(n)
}
