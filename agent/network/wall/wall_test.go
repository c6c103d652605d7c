package wall

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
)

func a(s string) netip.Addr { return netip.MustParseAddr(s) }

const tcp, udp, icmp, icmp6 = unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6

// cluster is two accounts, of which acme has two environments.
func cluster() *host.Peers {
	return &host.Peers{Range4: netip.MustParsePrefix("10.96.0.0/12"), Range6: netip.MustParsePrefix("fd48:4e00::/48"),
		Names: []host.Name{{Name: "node101.shop.internal", Addrs: []netip.Addr{a("10.96.1.10"), a("fd48:4e00:0:1::a")}},
			{Name: "node102.shop.internal", Addrs: []netip.Addr{a("10.96.2.10")}},
			{Name: "bl.shop.internal", Addrs: []netip.Addr{a("10.96.2.10")}},
			{Name: "node103.crm.internal", Addrs: []netip.Addr{a("10.96.1.11")}}},
		Groups: []host.Group{{Name: host.PlatformGroup, Addrs: []netip.Addr{a("10.96.0.4")}},
			{Name: "account acme", Addrs: []netip.Addr{a("10.96.1.10"), a("fd48:4e00:0:1::a"), a("10.96.2.10"), a("10.96.1.11")}},
			{Name: "account eve", Addrs: []netip.Addr{a("10.96.3.10")}}}}
}

func TestAllows(t *testing.T) {
	p := cluster()
	w := New(p, []netip.Addr{a("10.96.0.5")})
	w.Put([]netip.Addr{a("10.96.1.10"), a("fd48:4e00:0:1::a")}, []firewall.PacketRule{
		{Name: "bl", Direction: "in", Action: "allow", Priority: 10, Protocol: "tcp", Ports: []firewall.Port{"80", "8000-8100"},
			Peer: "bl.shop.internal"},
		{Name: "world", Direction: "in", Action: "allow", Priority: 10, Protocol: "tcp", Ports: []firewall.Port{"22"},
			Peer: "192.0.2.0/24"},
		{Name: "rest", Direction: "in", Action: "deny", Priority: 20},
		{Name: "smtp", Direction: "out", Action: "deny", Priority: 20, Protocol: "tcp", Ports: []firewall.Port{"25"}},
		{Name: "crm", Direction: "out", Action: "deny", Priority: 20, Peer: "crm.internal"},
		{Name: "nobody", Direction: "out", Action: "deny", Priority: 20, Peer: "nobody.internal"},
		{Name: "ping", Direction: "out", Action: "deny", Priority: 20, Protocol: "icmp"},
	}, p)
	for _, c := range []struct {
		what  string
		c     Connection
		allow bool
	}{
		{"the balancer", Connection{a("10.96.2.10"), a("10.96.1.10"), tcp, 80, false}, true},
		{"the balancer, in a range", Connection{a("10.96.2.10"), a("10.96.1.10"), tcp, 8050, false}, true},
		{"the balancer, another port", Connection{a("10.96.2.10"), a("10.96.1.10"), tcp, 81, false}, false},
		{"the balancer, another protocol", Connection{a("10.96.2.10"), a("10.96.1.10"), udp, 80, false}, false},
		{"another of the account", Connection{a("10.96.1.11"), a("10.96.1.10"), tcp, 80, false}, false},
		{"the platform", Connection{a("10.96.0.4"), a("10.96.1.10"), tcp, 81, false}, true},
		{"the platform, known before", Connection{a("10.96.0.5"), a("10.96.1.10"), tcp, 81, false}, true},
		{"another account", Connection{a("10.96.3.10"), a("10.96.1.10"), tcp, 80, false}, false},
		{"another account, where there are no rules", Connection{a("10.96.3.10"), a("10.96.2.10"), tcp, 80, false}, false},
		{"nobody's address", Connection{a("10.96.4.10"), a("10.96.4.11"), tcp, 80, false}, false},
		{"the world, published", Connection{a("192.0.2.7"), a("10.96.1.10"), tcp, 22, true}, true},
		{"elsewhere in the world", Connection{a("198.51.100.7"), a("10.96.1.10"), tcp, 22, true}, false},
		{"the world, published without rules", Connection{a("198.51.100.7"), a("10.96.2.10"), udp, 53, true}, true},
		{"the world, not published", Connection{a("198.51.100.7"), a("10.96.2.10"), udp, 53, false}, false},
		{"out", Connection{a("10.96.1.10"), a("198.51.100.7"), tcp, 443, false}, true},
		{"out, denied", Connection{a("10.96.1.10"), a("198.51.100.7"), tcp, 25, false}, false},
		{"out by IPv6, denied", Connection{a("fd48:4e00:0:1::a"), a("2001:db8::1"), tcp, 25, false}, false},
		{"ping, denied", Connection{a("10.96.1.10"), a("198.51.100.7"), icmp, 0, false}, false},
		{"ping by IPv6, denied", Connection{a("fd48:4e00:0:1::a"), a("2001:db8::1"), icmp6, 0, false}, false},
		{"to an environment, denied", Connection{a("10.96.1.10"), a("10.96.1.11"), tcp, 80, false}, false},
		{"to another", Connection{a("10.96.1.10"), a("10.96.2.10"), tcp, 80, false}, true},
	} {
		if got := w.Allows(c.c); got != c.allow {
			t.Errorf("%s: got %v", c.what, got)
		}
	}
	if New(nil, nil).Allows(Connection{a("10.96.1.10"), a("198.51.100.7"), tcp, 25, false}) == false {
		t.Error("a host that is told nothing yet")
	}
}

func TestNarrower(t *testing.T) {
	p := cluster()
	old := New(p, nil)
	if old.Narrower(New(cluster(), nil)) || !old.Narrower(nil) {
		t.Error("the same is not narrower, the first is")
	}
	more := cluster()
	more.Groups[1].Addrs = append(more.Groups[1].Addrs, a("10.96.9.9"))
	if New(more, nil).Narrower(old) || !old.Narrower(New(more, nil)) {
		t.Error("a container that comes narrows nothing, one that goes does")
	}
	moved := cluster()
	moved.Groups[1].Name = "account bob"
	if !New(moved, nil).Narrower(old) {
		t.Error("another group is narrower")
	}
	walled := New(p, nil)
	rules := []firewall.PacketRule{{Name: "x", Direction: "in", Action: "allow", Priority: 1, Rate: 5}}
	walled.Put([]netip.Addr{a("10.96.1.10")}, rules, p)
	if !walled.Narrower(old) {
		t.Error("rules that come are looked at")
	}
	again := New(p, nil)
	again.Put([]netip.Addr{a("10.96.1.10")}, append([]firewall.PacketRule{}, rules...), p)
	if again.Narrower(walled) || old.Narrower(walled) {
		t.Error("the same rules, or none any more, are not narrower")
	}
}
