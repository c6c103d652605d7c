//go:build guest

package network

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"hardnode.dev/agent/network/nft"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
)

// uplink joins a host to the world by a cable; each is the other's way to everywhere.
func uplink(t *testing.T, own, world netns.NsHandle) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "u0"
	must(t, in(t, own, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "u0", PeerNamespace: netlink.NsFd(world)})
	}))
	for ns, last := range map[netns.NsHandle]int{own: 2, world: 1} {
		must(t, in(t, ns, func() error {
			up(t, "u0", fmt.Sprintf("203.0.113.%d/24", last))
			up(t, "u0", fmt.Sprintf("2001:db8::%d/64", last))
			l, err := netlink.LinkByName("u0")
			must(t, err)
			for _, gw := range []string{fmt.Sprintf("203.0.113.%d", 3-last), fmt.Sprintf("2001:db8::%d", 3-last)} {
				must(t, netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: a(gw).AsSlice()}))
			}
			return nil
		}))
	}
}

// knows gives what a machine knows of an address, or has it believe that it is somewhere else.
func knows(t *testing.T, ns netns.NsHandle, addr string, set bool) (mac string) {
	t.Helper()
	must(t, in(t, ns, func() error {
		l, err := netlink.LinkByName("u0")
		must(t, err)
		if set {
			return netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_STALE, IP: a(addr).AsSlice(),
				HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 0x99}})
		}
		list, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_ALL)
		for _, n := range list {
			if n.IP.Equal(net.IP(a(addr).AsSlice())) {
				mac = n.HardwareAddr.String()
			}
		}
		return err
	}))
	return mac
}

// TestPublicAddresses: the world reaches a container by the addresses it was given, of both families, on its host's network and routed to
// it, and sees it by these; who the container's firewall keeps out stays out; nothing of the host's is there; what another has is refused.
func TestPublicAddresses(t *testing.T) {
	m, world := machine{newNS(t), New(nil, slog.New(slog.NewTextHandler(t.Output(), nil)))}, newNS(t)
	uplink(t, m.ns, world)
	web := Endpoint{CTID: 300, IPv4: a("10.96.0.10"), IPv6: a("fd48:4e00::10"),
		Public: []netip.Addr{a("203.0.113.100"), a("2001:db8::100"), a("198.51.100.7")}}
	eve := Endpoint{CTID: 310, IPv4: a("10.96.0.11"), IPv6: a("fd48:4e00::11")}
	peers := &host.Peers{Version: 1, Range4: p("10.96.0.0/12"), Range6: p("fd48:4e00::/48"),
		Hosts: []host.Peer{{ID: hostID(0), Name: "host-0", Underlay: a("203.0.113.2"), Addrs: []netip.Addr{a("2001:db8::2")},
			Blocks: []netip.Prefix{p("10.96.0.0/24"), p("fd48:4e00::/64")}}},
		Groups: []host.Group{{Name: "acme", Addrs: []netip.Addr{web.IPv4, web.IPv6}},
			{Name: "eve", Addrs: []netip.Addr{eve.IPv4, eve.IPv6}}}}
	state := func(list ...Endpoint) State {
		return State{Role: host.RoleUser, Self: hostID(0), Addrs: []netip.Addr{a("203.0.113.2"), a("2001:db8::2")}, Peers: peers,
			Endpoints: list}
	}
	bare := web
	bare.Public = nil
	m.apply(t, state(bare, eve))
	nsWeb, nsEve := m.attach(t, web), m.attach(t, eve)
	for _, addr := range []string{"203.0.113.100", "2001:db8::100"} {
		knows(t, world, addr, true)
	}
	m.apply(t, state(web, eve))
	var mac string
	must(t, in(t, m.ns, func() error {
		l, err := netlink.LinkByName("u0")
		mac = l.Attrs().HardwareAddr.String()
		return err
	}))
	for _, addr := range []string{"203.0.113.100", "2001:db8::100"} {
		for end := time.Now().Add(10 * time.Second); knows(t, world, addr, false) != mac; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s was announced, and is still believed to be at %s, want %s", addr, knows(t, world, addr, false), mac)
			}
		}
		must(t, in(t, world, func() error { // and from here on it is asked for
			l, err := netlink.LinkByName("u0")
			must(t, err)
			return netlink.NeighDel(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: a(addr).AsSlice()})
		}))
	}
	serve(t, world, ":80")
	serve(t, nsWeb, ":80")
	serve(t, nsEve, ":80")
	serve(t, m.ns, ":9999")
	echo(t, nsWeb, ":81")
	check := func(t *testing.T, what string, from netns.NsHandle, addr string, want ...string) {
		t.Helper()
		wait := 10 * time.Second
		if want == nil {
			wait = 700 * time.Millisecond
		}
		got, err := call(t, from, "", addr, wait)
		switch {
		case want == nil && err == nil:
			t.Errorf("%s: connected, and was seen as %s", what, got)
		case want != nil && err != nil:
			t.Errorf("%s: %v", what, err)
		case want != nil && want[0] != "" && got != want[0]:
			t.Errorf("%s: was seen as %s, want %s", what, got, want[0])
		}
	}
	check(t, "from the world", world, "203.0.113.100:80", "203.0.113.1")
	check(t, "from the world, IPv6", world, "[2001:db8::100]:80", "2001:db8::1")
	check(t, "from the world, an address that is routed to the host", world, "198.51.100.7:80", "203.0.113.1")
	check(t, "to the world", nsWeb, "203.0.113.1:80", "203.0.113.100")
	check(t, "to the world, IPv6", nsWeb, "[2001:db8::1]:80", "2001:db8::100")
	check(t, "a container without one to the world", nsEve, "203.0.113.1:80", "203.0.113.2")
	check(t, "from another account's container beside it, as from the world", nsEve, "203.0.113.100:80", eve.IPv4.String())
	check(t, "likewise, IPv6", nsEve, "[2001:db8::100]:80", eve.IPv6.String())
	check(t, "from itself", nsWeb, "203.0.113.100:80", "")
	check(t, "from itself, IPv6", nsWeb, "[2001:db8::100]:80", "")
	check(t, "from its host", m.ns, "203.0.113.100:80", "")
	check(t, "what the host has at another port", world, "203.0.113.100:9999")
	check(t, "another account's container, by its own address", nsEve, web.IPv4.String()+":80")
	check(t, "the container's own address, from the world", world, web.IPv4.String()+":80")

	t.Run("spoofed", func(t *testing.T) {
		e := &ear{heard: map[string]bool{}}
		hear(t, world, 9, e)
		from := &cell{Endpoint: eve, ns: nsEve}
		run(t, []probe{{"eve as web", from, a("203.0.113.100"), a("203.0.113.1"), nft.UDP, 9, e, false},
			{"eve as web, IPv6", from, a("2001:db8::100"), a("2001:db8::1"), nft.UDP, 9, e, false},
			{"eve", from, eve.IPv4, a("203.0.113.1"), nft.UDP, 9, e, true},
			{"eve, IPv6", from, eve.IPv6, a("2001:db8::1"), nft.UDP, 9, e, true}})
	})
	t.Run("its own port, IPv6", func(t *testing.T) { // of a container that publishes some at its host's addresses
		with := bare
		with.Publish = []host.Port{{Proto: "tcp", Host: 20080, Container: 80}}
		m.apply(t, state(with, eve))
		check(t, "by IPv4", nsWeb, "203.0.113.2:20080", "")
		check(t, "by IPv6", nsWeb, "[2001:db8::2]:20080", "")
	})
	t.Run("firewall", func(t *testing.T) {
		with := web
		with.Firewall = []firewall.PacketRule{{Name: "world", Direction: firewall.In, Action: firewall.Deny, Priority: 10,
			Protocol: firewall.TCP, Ports: []firewall.Port{"80"}, Peer: "203.0.113.0/24"}}
		m.apply(t, state(with, eve))
		check(t, "who is denied", world, "203.0.113.100:80")
		check(t, "who is not", world, "[2001:db8::100]:80", "2001:db8::1")
	})
	t.Run("gone", func(t *testing.T) {
		m.apply(t, state(web, eve))
		var open []net.Conn
		for _, addr := range []string{"203.0.113.100:81", "[2001:db8::100]:81"} {
			open = append(open, dial(t, &cell{ns: world}, addr))
			must(t, asks(open[len(open)-1]))
		}
		m.apply(t, state(bare, eve))
		for _, c := range open {
			if err := asks(c); err == nil {
				t.Errorf("a connection to %s goes on", c.RemoteAddr())
			}
		}
		for _, addr := range []string{"203.0.113.100", "2001:db8::100"} {
			check(t, "an address that is gone", world, net.JoinHostPort(addr, "80"))
		}
		check(t, "the container without one to the world", nsWeb, "203.0.113.1:80", "203.0.113.2")
	})
	t.Run("refused", func(t *testing.T) {
		bad := eve
		bad.Public = []netip.Addr{a("203.0.113.2"), a("203.0.113.1"), a("203.0.113.255"), a("203.0.113.100"),
			a("10.97.0.1"), a("203.0.113.101")}
		four := Endpoint{CTID: 320, IPv4: a("10.96.0.12"), Public: []netip.Addr{a("2001:db8::200")}}
		m.apply(t, state(web, bad, four))
		var got []string
		for _, r := range m.net.Refused() {
			got = append(got, fmt.Sprint(r.CTID, " ", r.Addr, ": ", r.Why))
		}
		want := []string{"the host's own address", "the gateway", "of all machines in it", "another node's", "the cluster's own range",
			"no address of the family"}
		if len(got) != len(want) {
			t.Fatalf("refused: %q, want %q", got, want)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("refused: %q, want %q", got[i], want[i])
			}
		}
		check(t, "one that is in force beside them", world, "203.0.113.101:80", "203.0.113.1")
		check(t, "whose it was before", world, "203.0.113.100:80", "203.0.113.1")
		must(t, in(t, world, func() error {
			up(t, "u0", "203.0.113.150/24")
			up(t, "u0", "2001:db8::150/64")
			return nil
		}))
		bad.Public = []netip.Addr{a("203.0.113.150"), a("2001:db8::150"), a("203.0.113.101"), a("203.0.113.102")}
		for _, when := range []string{"at once", "and again"} {
			m.apply(t, state(web, bad))
			got = nil
			for _, r := range m.net.Refused() {
				got = append(got, fmt.Sprint(r.CTID, " ", r.Addr, ": ", r.Why))
			}
			slices.Sort(got)
			if len(got) != 2 || !strings.Contains(got[0], "2001:db8::150 is answered by ") ||
				!strings.Contains(got[1], "203.0.113.150 is answered by ") {
				t.Errorf("another machine has them, %s: refused: %q", when, got)
			}
		}
		check(t, "a free one beside them", world, "203.0.113.102:80", "203.0.113.1")
		again := New(nil, nil) // a restarted agent, without any: what the one before left is taken away
		must(t, in(t, m.ns, func() error { return again.Apply(context.Background(), state(bare, eve)) }))
		check(t, "what a restarted agent knows nothing of", world, "203.0.113.101:80")
	})
}
