//go:build guest

package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/network/nft"
)

// frame sends a frame from a container's card as its root may in a full OS.
func (c *cell) frame(t *testing.T, kind uint16, payload []byte) {
	t.Helper()
	must(t, in(t, c.ns, func() error {
		l, err := netlink.LinkByName(inside)
		must(t, err)
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		head := slices.Concat([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, l.Attrs().HardwareAddr)
		return unix.Sendto(fd, append(binary.BigEndian.AppendUint16(head, kind), payload...), 0,
			&unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6})
	}))
}

// icmp6 is an ICMPv6 packet with the hop limit that neighbours must have.
func icmp6(src, dst netip.Addr, body []byte) []byte {
	pseudo := append(slices.Concat(src.AsSlice(), dst.AsSlice()), 0, 0, 0, byte(len(body)), 0, 0, 0, nft.ICMPv6)
	body = slices.Clone(body)
	binary.BigEndian.PutUint16(body[2:], fold(append(pseudo, body...)))
	return slices.Concat([]byte{0x60, 0, 0, 0, 0, byte(len(body)), nft.ICMPv6, 255}, src.AsSlice(), dst.AsSlice(), body)
}

// TestFalseNeighbours: a container says by ARP, neighbour advertisements and router advertisements that it is others, their gateway and a
// router: nothing changes at its host, others reach whom they reached, and nothing of theirs comes to it.
func TestFalseNeighbours(t *testing.T) {
	y := newYard(t)
	eve, one, two, platform := y.cells["eve0"], y.cells["acme0"], y.cells["acme1"], y.cells["jelastic0"]
	seen := func() (text string) {
		must(t, in(t, y.hosts[0].ns, func() error {
			for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
				routes, err := netlink.RouteList(nil, family)
				must(t, err)
				addrs, err := netlink.AddrList(nil, family)
				must(t, err)
				for _, r := range routes {
					text += fmt.Sprintln("route", r.Dst, r.Gw, r.LinkIndex)
				}
				for _, a := range addrs {
					text += fmt.Sprintln("address", a.IPNet, a.LinkIndex)
				}
			}
			return nil
		}))
		return text
	}
	before := seen()
	mac := []byte{2, 0, 0, 0, 0, 0x66}
	all := a("ff02::1")
	lie := func() {
		for _, victim := range []netip.Addr{one.IPv4, two.IPv4, platform.IPv4, Gateway, under[0][0], under[1][0]} {
			for _, op := range []byte{1, 2} { // a request and an answer
				eve.frame(t, unix.ETH_P_ARP, slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, op}, mac, victim.AsSlice(), mac, victim.AsSlice()))
			}
		}
		for _, victim := range []netip.Addr{one.IPv6, two.IPv6, platform.IPv6, gateway6, under[0][1], under[1][1]} {
			na := slices.Concat([]byte{136, 0, 0, 0, 0xe0, 0, 0, 0}, victim.AsSlice(), []byte{2, 1}, mac)
			for _, src := range []netip.Addr{victim, a("fe80::66")} {
				eve.frame(t, unix.ETH_P_IPV6, icmp6(src, all, na))
			}
		}
		// a router for everything, with a prefix of its own and a name server (RFC 4861 4.2, RFC 8106)
		prefix := slices.Concat([]byte{3, 4, 64, 0xc0, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, a("2001:db8:66::").AsSlice())
		ra := slices.Concat([]byte{134, 0, 0, 0, 64, 0x08, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, mac, prefix)
		for _, src := range []netip.Addr{a("fe80::66"), gateway6} {
			eve.frame(t, unix.ETH_P_IPV6, icmp6(src, all, ra))
		}
		// a redirect to itself (RFC 4861 4.5)
		redirect := slices.Concat([]byte{137, 0, 0, 0, 0, 0, 0, 0}, a("fe80::66").AsSlice(), two.IPv6.AsSlice())
		eve.frame(t, unix.ETH_P_IPV6, icmp6(gateway6, all, redirect))
	}
	for range 5 {
		lie()
		time.Sleep(20 * time.Millisecond)
	}
	if after := seen(); after != before {
		t.Errorf("the host has now\n%s\nbefore\n%s", after, before)
	}
	var ps []probe
	for _, six := range []bool{false, true} {
		for _, w := range [][2]*cell{{one, two}, {two, one}, {platform, one}, {platform, eve}} {
			ps = append(ps, probe{w[0].account + " to " + w[1].account, w[0], w[0].of(six), w[1].of(six), nft.UDP, 80, w[1].ear, true},
				probe{w[0].account + " to " + w[1].account + ", heard by eve", w[0], w[0].of(six), w[1].of(six), nft.UDP, 81, eve.ear,
					w[1] == eve})
		}
	}
	run(t, ps)
}
