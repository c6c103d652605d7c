//go:build guest

package network

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestPath: what containers send arrives whole over a path that takes 1400 bytes, whether the hosts' own links say so or a router in
// between, by both families, in streams and in datagrams of any size.
func TestPath(t *testing.T) {
	y := newYard(t)
	from, to := y.cells["acme0"], y.cells["acme1"]
	mtu := func(ns netns.NsHandle, link string) (n int) {
		must(t, in(t, ns, func() error {
			l, err := netlink.LinkByName(link)
			if err == nil {
				n = l.Attrs().MTU
			}
			return err
		}))
		return n
	}
	if got := mtu(y.hosts[0].ns, "hn-mesh"); got != 1420 {
		t.Errorf("the mesh's MTU is %d, want 1420", got)
	}
	t.Run("behind a router", func(t *testing.T) {
		y.between(t, 1400)
		carries(t, from, to)
	})
	t.Run("of the link, which changes", func(t *testing.T) {
		for i := range y.hosts {
			must(t, in(t, y.hosts[i].ns, func() error {
				l, err := netlink.LinkByName("u0")
				if err != nil {
					return err
				}
				return netlink.LinkSetMTU(l, 1400)
			}))
		}
		y.apply(t)
		if got := mtu(y.hosts[0].ns, "hn-mesh"); got != 1320 {
			t.Errorf("the mesh's MTU is %d, want 1320", got)
		}
		carries(t, from, to) // containers that were there before keep theirs, and are told by ICMP
		late := Endpoint{CTID: 399, IPv4: a("10.96.0.99")}
		y.states[0].Endpoints = append(y.states[0].Endpoints, late)
		y.apply(t)
		if got := mtu(y.hosts[0].attach(t, late), inside); got != 1320 {
			t.Errorf("a new container's MTU is %d, want 1320", got)
		}
	})
}

// between puts two routers into the cable between the hosts, and between these one that takes packets of so many bytes.
func (y *yard) between(t *testing.T, mtu int) {
	t.Helper()
	routers := [2]netns.NsHandle{newNS(t), newNS(t)}
	way := func(link, to, by string) {
		t.Helper()
		l, err := netlink.LinkByName(link)
		must(t, err)
		n := toNet(p(to))
		r := netlink.Route{LinkIndex: l.Attrs().Index, Dst: &n, Scope: netlink.SCOPE_LINK}
		if by != "" {
			r.Scope, r.Gw, r.Flags = netlink.SCOPE_UNIVERSE, a(by).AsSlice(), int(netlink.FLAG_ONLINK)
		}
		must(t, netlink.RouteReplace(&r))
	}
	link := func(name string, at string, peer string, in netns.NsHandle, mtu int) {
		t.Helper()
		if old, err := netlink.LinkByName(name); err == nil {
			must(t, netlink.LinkDel(old)) // its other end goes too
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = name, mtu
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peer, PeerNamespace: netlink.NsFd(in), PeerMTU: uint32(mtu)}))
		up(t, name, at)
	}
	for i, m := range y.hosts {
		must(t, in(t, m.ns, func() error {
			link("u0", under[i][0].String()+"/32", "down", routers[i], 1500)
			way("u0", "10.78.0.0/24", fmt.Sprintf("192.0.2.%d", i+1))
			return nil
		}))
		must(t, in(t, routers[i], func() error {
			up(t, "down", fmt.Sprintf("192.0.2.%d/32", i+1))
			way("down", under[i][0].String()+"/32", "")
			return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
		}))
	}
	must(t, in(t, routers[0], func() error {
		link("over", "192.0.2.1/32", "over", routers[1], mtu)
		way("over", under[1][0].String()+"/32", "192.0.2.2")
		return nil
	}))
	must(t, in(t, routers[1], func() error {
		up(t, "over", "192.0.2.2/32")
		way("over", under[0][0].String()+"/32", "192.0.2.1")
		return nil
	}))
}

// up sets a link up with an address.
func up(t *testing.T, name, addr string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	must(t, addAddr(nil, l, p(addr)))
	must(t, netlink.LinkSetUp(l))
}

// carries sends a MiB and datagrams of all sizes there and back.
func carries(t *testing.T, from, to *cell) {
	t.Helper()
	for _, six := range []bool{false, true} {
		at := net.JoinHostPort(to.of(six).String(), "7000")
		var pc net.PacketConn
		stop := accept(t, to.ns, at, func(c net.Conn) { io.Copy(c, c) })
		must(t, in(t, to.ns, func() (err error) { pc, err = net.ListenPacket("udp", at); return err }))
		go func() {
			for b := make([]byte, 65536); ; {
				n, from, err := pc.ReadFrom(b)
				if err != nil {
					return
				}
				pc.WriteTo(b[:n], from)
			}
		}()
		c := dial(t, from, at)
		c.SetDeadline(time.Now().Add(30 * time.Second))
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go c.Write(sent)
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("IPv6 %v: a stream: %v", six, err)
		}
		var u net.Conn
		must(t, in(t, from.ns, func() (err error) { u, err = net.Dial("udp", at); return err }))
		for _, size := range []int{1, 1200, 1292, 1293, 1320, 1372, 1392, 1400, 1472, 4000} {
			ok := false
			for end := time.Now().Add(20 * time.Second); !ok && time.Now().Before(end); { // what was too large for the path so far is lost
				u.SetDeadline(time.Now().Add(500 * time.Millisecond))
				if _, err := u.Write(sent[:size]); err != nil {
					continue // too large: the kernel knows better the next time
				}
				n, err := u.Read(got)
				ok = err == nil && n == size
			}
			if !ok {
				t.Errorf("IPv6 %v: a datagram of %d bytes does not come back", six, size)
			}
		}
		u.Close()
		stop()
		pc.Close()
	}
}
