//go:build guest

package network

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/network/nft"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// packet is a raw IP packet with a mark in it: a UDP datagram, a TCP SYN or an echo request.
func packet(src, dst netip.Addr, proto byte, port uint16, mark string) []byte {
	return packetFrom(12345, src, dst, proto, port, mark)
}

// packetFrom is packet with the port it is from.
func packetFrom(own uint16, src, dst netip.Addr, proto byte, port uint16, mark string) []byte {
	body := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, own), port)
	switch proto {
	case nft.UDP:
		body = append(body, 0, byte(8+len(mark)), 0, 0)
	case nft.TCP:
		body = append(body, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0)
	case nft.ICMP:
		body = []byte{8, 0, 0, 0, 0, 1, 0, 1}
	case nft.ICMPv6:
		body = []byte{128, 0, 0, 0, 0, 1, 0, 1}
	}
	body = append(body, mark...)
	var head []byte
	if src.Is4() {
		head = append([]byte{0x45, 0, 0, byte(20 + len(body)), 0, 0, 0, 0, 64, proto, 0, 0}, slices.Concat(src.AsSlice(), dst.AsSlice())...)
		binary.BigEndian.PutUint16(head[10:], fold(head))
	} else {
		head = append([]byte{0x60, 0, 0, 0, 0, byte(len(body)), proto, 64}, slices.Concat(src.AsSlice(), dst.AsSlice())...)
	}
	at, pseudo := map[byte]int{nft.UDP: 6, nft.TCP: 16, nft.ICMP: 2, nft.ICMPv6: 2}[proto], []byte{}
	if proto != nft.ICMP {
		pseudo = append(slices.Concat(src.AsSlice(), dst.AsSlice()), 0, 0, 0, byte(len(body)), 0, 0, 0, proto)
	}
	binary.BigEndian.PutUint16(body[at:], fold(append(pseudo, body...)))
	return append(head, body...)
}

// fold is the Internet checksum (RFC 1071).
func fold(b []byte) uint16 {
	sum := uint32(0)
	for i, v := range b {
		sum += uint32(v) << (8 * (1 - i%2))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// throw sends a packet as it is, from a namespace; that the kernel there refuses to send it is as good as that it does not arrive.
func throw(t *testing.T, ns netns.NsHandle, dst netip.Addr, raw []byte) {
	t.Helper()
	family, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte(dst.AsSlice()[:4])})
	if dst.Is6() {
		to6 := &unix.SockaddrInet6{Addr: dst.As16()}
		if family, to = unix.AF_INET6, to6; dst.IsLinkLocalUnicast() {
			to6.ZoneId = 2 // eth0
		}
	}
	must(t, in(t, ns, func() error {
		fd, err := unix.Socket(family, unix.SOCK_RAW, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		unix.Sendto(fd, raw, 0, to)
		return nil
	}))
}

// ear hears every packet that comes in at eth0 of a container.
type ear struct {
	mu    sync.Mutex
	heard map[string]bool // marks
}

func (e *ear) has(mark string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[mark]
}

// take notes the marks, "<…>", that are in b.
func (e *ear) take(b []byte) {
	_, after, ok := bytes.Cut(b, []byte("<"))
	mark, _, end := bytes.Cut(after, []byte(">"))
	if ok && end {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard["<"+string(mark)+">"] = true
	}
}

func listen(t *testing.T, ns netns.NsHandle) *ear {
	t.Helper()
	e, fd := &ear{heard: map[string]bool{}}, -1
	must(t, in(t, ns, func() (err error) {
		all := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, int(all)); err != nil {
			return err
		}
		l, err := netlink.LinkByName(inside)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index})
	}))
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		defer unix.Close(fd)
		for b := make([]byte, 4096); ; {
			select {
			case <-stop:
				return
			default:
			}
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, _ := unix.Poll(p, 100); n < 1 {
				continue
			}
			n, from, err := unix.Recvfrom(fd, b, 0)
			if l, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && l.Pkttype != unix.PACKET_OUTGOING {
				e.take(b[:n])
			}
		}
	}()
	return e
}

// hear notes the marks of all datagrams that reach a socket of the host at a port.
func hear(t *testing.T, ns netns.NsHandle, port int, e *ear) {
	t.Helper()
	var p net.PacketConn
	must(t, in(t, ns, func() (err error) { p, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port)); return err }))
	t.Cleanup(func() { p.Close() })
	go func() {
		for b := make([]byte, 4096); ; {
			n, _, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			e.take(b[:n])
		}
	}()
}

// cell is one container of the tests of isolation.
type cell struct {
	Endpoint
	account string
	on      int // its host
	ns      netns.NsHandle
	ear     *ear
}

// yard is two hosts with containers of two accounts and of the platform on each, and a cable between them.
type yard struct {
	hosts  [2]machine
	states [2]State
	ears   [2]*ear // of the hosts' own sockets
	cells  map[string]*cell
}

// under are the hosts' own addresses.
var under = [2][]netip.Addr{{a("10.78.0.2"), a("fd78::2")}, {a("10.78.0.11"), a("fd78::11")}}

func newYard(t *testing.T) *yard {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	y := &yard{cells: map[string]*cell{}}
	for i := range y.hosts {
		y.hosts[i] = machine{newNS(t), New(nil, log)}
	}
	must(t, in(t, y.hosts[0].ns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "u0"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "u0", PeerNamespace: netlink.NsFd(y.hosts[1].ns)})
	}))
	peers := &host.Peers{Version: 1, Range4: p("10.96.0.0/12"), Range6: p("fd48:4e00::/48")}
	groups := map[string][]netip.Addr{}
	for i, account := range []string{"acme", "eve", host.PlatformGroup} {
		for on := range 2 {
			if account == host.PlatformGroup && on == 1 {
				continue
			}
			n := byte(10 + i)
			four := netip.AddrFrom4([4]byte{10, 96, byte(on), n})
			six := netip.AddrFrom16([16]byte{0xfd, 0x48, 0x4e, 0, 0, 0, 0, byte(on), 15: n})
			c := &cell{Endpoint: Endpoint{CTID: wire.CTID(300 + 10*i + on), IPv4: four, IPv6: six}, account: account, on: on}
			y.cells[fmt.Sprint(account, on)] = c
			y.states[on].Endpoints = append(y.states[on].Endpoints, c.Endpoint)
			groups[account] = append(groups[account], four, six)
			peers.Names = append(peers.Names, host.Name{Name: fmt.Sprintf("node%d.%s.internal", c.CTID, account),
				Addrs: []netip.Addr{four, six}})
		}
	}
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		peers.Groups = append(peers.Groups, host.Group{Name: g, Addrs: groups[g]})
	}
	for i := range y.hosts {
		must(t, in(t, y.hosts[i].ns, func() error {
			l, err := netlink.LinkByName("u0")
			if err != nil {
				return err
			}
			for _, own := range under[i] {
				bits := map[bool]int{true: 24, false: 64}[own.Is4()]
				if err := addAddr(nil, l, netip.PrefixFrom(own, bits)); err != nil {
					return err
				}
			}
			return netlink.LinkSetUp(l)
		}))
		peers.Hosts = append(peers.Hosts, host.Peer{ID: hostID(i), Name: fmt.Sprint("host-", i), Role: host.RoleUser, Underlay: under[i][0],
			Addrs:  under[i][1:],
			Blocks: []netip.Prefix{p(fmt.Sprintf("10.96.%d.0/24", i)), p(fmt.Sprintf("fd48:4e00:0:%d::/64", i))}})
		y.states[i].Role, y.states[i].Self, y.states[i].Addrs, y.states[i].Peers = host.RoleUser, hostID(i), under[i], peers
	}
	y.apply(t)
	for i := range y.hosts {
		peers.Hosts[i].MeshKey = y.hosts[i].net.MeshKey()
	}
	y.apply(t)
	for _, c := range y.cells {
		c.ns = y.hosts[c.on].attach(t, c.Endpoint)
		c.ear = listen(t, c.ns)
	}
	for i := range y.ears {
		y.ears[i] = &ear{heard: map[string]bool{}}
		for _, port := range []int{53, 7442, 7444, 9999} { // DNS, gossip, the infra host's API, something nobody opened
			hear(t, y.hosts[i].ns, port, y.ears[i])
		}
	}
	return y
}

func (y *yard) apply(t *testing.T) {
	t.Helper()
	for i, m := range y.hosts {
		m.apply(t, y.states[i])
	}
}

// probe is one packet that is thrown, and who shall hear it.
type probe struct {
	what     string
	from     *cell
	src, dst netip.Addr
	proto    byte
	port     uint16
	at       *ear
	want     bool
}

// run throws all probes: those that shall arrive again and again until they do. After these, which went the same ways, no other may have.
func run(t *testing.T, probes []probe) {
	t.Helper()
	mark := func(i int) string { return fmt.Sprintf("<%s %d>", t.Name(), i) }
	send := func(i int) {
		p := probes[i]
		throw(t, p.from.ns, p.dst, packet(p.src, p.dst, p.proto, p.port, mark(i)))
	}
	for i, p := range probes {
		if !p.want {
			send(i)
		}
	}
	end := time.Now().Add(30 * time.Second)
	for left := true; left && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left = false
		for i, p := range probes {
			if p.want && !p.at.has(mark(i)) {
				send(i)
				left = true
			}
		}
	}
	sent, arrived := 0, 0
	for i, p := range probes {
		got := p.at.has(mark(i))
		if sent++; got {
			arrived++
		}
		if got != p.want {
			t.Errorf("%s: from %s to %s, protocol %d, port %d: arrived %v, want %v", p.what, p.src, p.dst, p.proto, p.port, got, p.want)
		}
	}
	t.Logf("%d kinds of packets thrown, %d arrived", sent, arrived)
}

// protocols of a family.
func protocols(of netip.Addr) []byte {
	if of.Is4() {
		return []byte{nft.UDP, nft.TCP, nft.ICMP}
	}
	return []byte{nft.UDP, nft.TCP, nft.ICMPv6}
}

// of is the address of a container, of the family that six says.
func (c *cell) of(six bool) netip.Addr {
	if six {
		return c.IPv6
	}
	return c.IPv4
}

// TestAccounts: no packet gets from one account's container to another's, on one host and over the mesh, by either family, from its own
// address or from any other; within an account and from the platform all arrive.
func TestAccounts(t *testing.T) {
	y := newYard(t)
	names := slices.Sorted(maps.Keys(y.cells))
	t.Run("own address", func(t *testing.T) {
		var ps []probe
		for _, f := range names {
			for _, d := range names {
				for _, six := range []bool{false, true} {
					from, to := y.cells[f], y.cells[d]
					for _, proto := range protocols(from.of(six)) {
						if f != d {
							ps = append(ps, probe{f + " to " + d, from, from.of(six), to.of(six), proto, 80, to.ear,
								from.account == to.account || from.account == host.PlatformGroup})
						}
					}
				}
			}
		}
		run(t, ps)
	})
	t.Run("spoofed address", func(t *testing.T) {
		var ps []probe
		eve := y.cells["eve0"]
		for _, victim := range []string{"acme0", "acme1"} {
			to := y.cells[victim]
			for _, six := range []bool{false, true} {
				as := []netip.Addr{Gateway, under[0][0], under[1][0], a("127.0.0.1"), a("10.96.0.99"), a("0.0.0.0")}
				if six {
					as = []netip.Addr{gateway6, under[0][1], under[1][1], a("::1"), a("fd48:4e00::99"), a("::"), a("fe80::99")}
				}
				for _, c := range y.cells {
					if c != eve {
						as = append(as, c.of(six))
					}
				}
				for _, src := range as {
					for _, proto := range protocols(src) {
						ps = append(ps, probe{"eve0 as another to " + victim, eve, src, to.of(six), proto, 80, to.ear, false})
					}
				}
				for _, f := range []string{"acme0", "acme1", "jelastic0"} { // the ways there are open
					if from := y.cells[f]; from != to {
						ps = append(ps, probe{f + " to " + victim, from, from.of(six), to.of(six), nft.UDP, 80, to.ear, true})
					}
				}
			}
		}
		run(t, ps)
	})
	t.Run("hosts", func(t *testing.T) {
		var ps []probe
		eve := y.cells["eve0"]
		for _, port := range []uint16{53, 7442, 7444, 9999} {
			for i := range y.hosts {
				for _, dst := range under[i] {
					ps = append(ps, probe{"a host's own address", eve, eve.of(dst.Is6()), dst, nft.UDP, port, y.ears[i], false})
				}
			}
			ps = append(ps, probe{"the gateway", eve, eve.IPv4, Gateway, nft.UDP, port, y.ears[0], port == 53},
				probe{"the gateway, as another", eve, y.cells["acme0"].IPv4, Gateway, nft.UDP, port, y.ears[0], false},
				probe{"the gateway, IPv6", eve, eve.IPv6, gateway6, nft.UDP, port, y.ears[0], false})
		}
		run(t, ps)
	})
}

func hostID(i int) wire.HostID { return wire.HostID(fmt.Sprintf("h-%012d", i)) }
