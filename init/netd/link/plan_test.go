package link

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/init/netd/device"
	"hardnode.dev/init/netd/lease"
	"hardnode.dev/internal/wire/boot"
)

func TestMatch(t *testing.T) {
	cards := []Card{{2, "eth0", "52:54:00:00:00:01", "0000:00:03.0"}, {3, "eth1", "52:54:00:00:00:02", "0000:00:04.0"}}
	for _, c := range []struct {
		name    string
		net     boot.Network
		want    string
		missing int
	}{
		{"no links: DHCP on all", boot.Network{}, "eth0=eth0* eth1=eth1", 0},
		{"by MAC, any case", boot.Network{Links: []boot.Link{{Name: "up", MAC: "52:54:00:00:00:02", DHCP: true}}}, "eth1=up*", 0},
		{"by PCI, named underlay", boot.Network{Underlay: "b",
			Links: []boot.Link{{Name: "a", PCI: "0000:00:04.0"}, {Name: "b", PCI: "0000:00:03.0"}}}, "eth1=a eth0=b*", 0},
		{"one is not there", boot.Network{Links: []boot.Link{{Name: "a", MAC: "52:54:00:00:00:09"}, {Name: "b", MAC: "52:54:00:00:00:01"}}},
			"eth0=b", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			plans, missing := Match(c.net, cards)
			var got []string
			for _, p := range plans {
				mark := ""
				if p.Underlay {
					mark = "*"
				}
				got = append(got, p.Card.Name+"="+p.Link.Name+mark)
			}
			if strings.Join(got, " ") != c.want || len(missing) != c.missing {
				t.Errorf("got %q, missing %q; want %q and %d", got, missing, c.want, c.missing)
			}
		})
	}
}

// TestMatchAbove: bonds and VLANs, with a card that is not there.
func TestMatchAbove(t *testing.T) {
	n := boot.Network{Links: []boot.Link{
		{Name: "v", VLAN: &boot.VLAN{ID: 7, Link: "b"}, DHCP: true},
		{Name: "b", Bond: &boot.Bond{Mode: boot.ActiveBackup, Links: []string{"up0", "up1"}, Primary: "up1"}, MTU: 9000},
		{Name: "up0", MAC: "52:54:00:00:00:01"},
		{Name: "up1", MAC: "52:54:00:00:00:02"},
		{Name: "w", VLAN: &boot.VLAN{ID: 8, Link: "lan"}, DHCP: true},
		{Name: "lan", MAC: "52:54:00:00:00:03"},
		{Name: "x", VLAN: &boot.VLAN{ID: 9, Link: "gone"}, DHCP: true},
		{Name: "gone", MAC: "52:54:00:00:00:04"},
	}}
	cards := []Card{{2, "eth0", "52:54:00:00:00:01", ""}, {4, "eth2", "52:54:00:00:00:03", ""}}
	plans, missing := Match(n, cards)
	if len(missing) != 3 { // up1, gone, and x above it
		t.Errorf("missing %q", missing)
	}
	var order []string
	for _, p := range upwards(plans) {
		order = append(order, p.Link.Name)
		if p.Underlay != (p.Link.Name == "v") {
			t.Errorf("link %s: underlay %v", p.Link.Name, p.Underlay)
		}
	}
	if got := strings.Join(order, " "); got != "up0 lan b v w" {
		t.Errorf("made in the order %s", got)
	}
	if plans[0].Link.MTU != 9000 {
		t.Errorf("VLAN with MTU %d, want that of the bond", plans[0].Link.MTU)
	}
	want := []device.Device{{Name: "v", VLAN: 7, Below: "b"}, {Name: "b", Bond: boot.ActiveBackup, Ports: []int{2}, Primary: "up1"},
		{Name: "w", VLAN: 8, Card: 4}}
	if got := devices(plans); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Renames(plans); len(got) != 2 {
		t.Errorf("renames %v: bonds and VLANs are made with their names", got)
	}
	again, _ := Match(n, cards)
	if !plans[0].Unchanged(again[0]) {
		t.Error("the same VLAN counts as changed")
	}
	other := slices.Clone(n.Links)
	other[1].Bond = &boot.Bond{Mode: boot.LACP, Links: other[1].Bond.Links}
	if after, _ := Match(boot.Network{Links: other}, cards); plans[0].Unchanged(after[0]) {
		t.Error("a VLAN on a bond that is made anew counts as unchanged")
	}
}

func TestRenamesSwap(t *testing.T) {
	plans := []Plan{{Card: Card{Index: 2, Name: "eth0"}, Link: boot.Link{Name: "eth1"}},
		{Card: Card{Index: 3, Name: "eth1"}, Link: boot.Link{Name: "eth0"}},
		{Card: Card{Index: 4, Name: "eth2"}, Link: boot.Link{Name: "eth2"}}}
	names := map[string]int{"eth0": 2, "eth1": 3, "eth2": 4}
	for _, r := range Renames(plans) {
		if _, taken := names[r.To]; taken {
			t.Fatalf("rename %v: the name is taken in %v", r, names)
		}
		names[r.To] = names[r.From]
		delete(names, r.From)
	}
	if want := map[string]int{"eth1": 2, "eth0": 3, "eth2": 4}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestResolvers(t *testing.T) {
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	got := Resolvers([]netip.Addr{a("10.0.0.1")}, []netip.Addr{a("10.0.2.3"), a("10.0.0.1"), a("10.0.2.4"), a("10.0.2.5")})
	if want := []netip.Addr{a("10.0.0.1"), a("10.0.2.3"), a("10.0.2.4")}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if text := resolvConf(got[:1]); text != "nameserver 10.0.0.1\noptions timeout:2 attempts:2\n" {
		t.Errorf("got %q", text)
	}
}

func TestRoutes(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	all, all6 := p("0.0.0.0/0"), p("::/0")
	for _, c := range []struct {
		name       string
		addresses  []netip.Prefix
		want       []lease.Route
		configured bool
		routes     string
	}{
		{"a router on the subnet", []netip.Prefix{p("10.0.2.15/24")}, []lease.Route{{To: all, Via: a("10.0.2.2")}}, false,
			"0.0.0.0/0 by 10.0.2.2"},
		{"/32 and a router outside", []netip.Prefix{p("203.0.113.7/32")}, []lease.Route{{To: all, Via: a("203.0.113.1")}}, false,
			"203.0.113.1/32, 0.0.0.0/0 by 203.0.113.1"},
		{"/24 and a router outside", []netip.Prefix{p("10.0.2.15/24")}, []lease.Route{{To: all, Via: a("172.16.0.1")}}, false,
			"172.16.0.1/32, 0.0.0.0/0 by 172.16.0.1"},
		{"two routes by one router outside", []netip.Prefix{p("10.0.2.15/32")},
			[]lease.Route{{To: p("10.0.0.0/8"), Via: a("10.0.2.1")}, {To: all, Via: a("10.0.2.1")}}, false,
			"10.0.2.1/32, 10.0.0.0/8 by 10.0.2.1, 0.0.0.0/0 by 10.0.2.1"},
		{"the way to the router is given too", []netip.Prefix{p("10.0.2.15/32")},
			[]lease.Route{{To: all, Via: a("169.254.9.1")}, {To: p("169.254.9.1/32")}}, false, "169.254.9.1/32, 0.0.0.0/0 by 169.254.9.1"},
		{"a subnet over the link, a router in it", []netip.Prefix{p("10.0.2.15/32")},
			[]lease.Route{{To: p("10.9.0.0/24")}, {To: all, Via: a("10.9.0.1")}}, false, "10.9.0.0/24, 0.0.0.0/0 by 10.9.0.1"},
		{"a default over the link", []netip.Prefix{p("10.0.2.15/32")}, []lease.Route{{To: all}}, false, "0.0.0.0/0"},
		{"a person's gateway: no other default", []netip.Prefix{p("10.0.2.15/32")},
			[]lease.Route{{To: all, Via: a("10.0.2.1")}, {To: p("10.0.0.0/8"), Via: a("10.0.2.1")}}, true,
			"10.0.2.1/32, 10.0.0.0/8 by 10.0.2.1"},
		{"IPv6, /128", []netip.Prefix{p("2001:db8::7/128")}, []lease.Route{{To: all6, Via: a("2001:db8::1")}}, false,
			"2001:db8::1/128, ::/0 by 2001:db8::1"},
		{"IPv6, link-local", []netip.Prefix{p("2001:db8::7/128")}, []lease.Route{{To: all6, Via: a("fe80::1")}}, false, "::/0 by fe80::1"},
		{"IPv4, link-local", []netip.Prefix{p("10.0.2.15/32")}, []lease.Route{{To: all, Via: a("169.254.9.1")}}, false,
			"169.254.9.1/32, 0.0.0.0/0 by 169.254.9.1"},
		{"no routes", []netip.Prefix{p("10.0.2.15/24")}, nil, false, ""},
	} {
		var got []string
		for _, r := range Routes(c.addresses, c.want, c.configured) {
			text := r.To.String()
			if r.Via.IsValid() {
				text += " by " + r.Via.String()
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != c.routes {
			t.Errorf("%s: got %q, want %q", c.name, got, c.routes)
		}
	}
}

// TestGone: what a network before had and the next one has not, is taken away; the last route first.
func TestGone(t *testing.T) {
	plan := func(metric int, gateway string, addrs ...string) Plan {
		p := Plan{Metric: metric}
		if gateway != "" {
			p.Link.Gateway = netip.MustParseAddr(gateway)
		}
		for _, a := range addrs {
			p.Link.Addresses = append(p.Link.Addresses, netip.MustParsePrefix(a))
		}
		return p
	}
	near := plan(100, "10.0.0.1", "10.0.0.2/24")
	routed := near
	routed.Link.Routes = []boot.Route{{To: netip.MustParsePrefix("10.8.0.0/16"), Via: netip.MustParseAddr("10.0.0.3")}}
	far := plan(100, "10.9.0.1", "10.0.0.2/32")
	for _, c := range []struct {
		name string
		p, q Plan
		want []string
	}{
		{"the same", near, near, nil},
		{"no gateway before", plan(100, "", "10.0.0.2/24"), near, nil},
		{"no gateway any more", near, plan(100, "", "10.0.0.2/24"), []string{"0.0.0.0/0"}},
		{"another one", near, plan(100, "10.0.0.9", "10.0.0.2/24"), []string{"0.0.0.0/0"}},
		{"another place", near, plan(101, "10.0.0.1", "10.0.0.2/24"), []string{"0.0.0.0/0"}},
		{"a route", routed, near, []string{"10.8.0.0/16"}},
		{"one behind a route", far, Plan{}, []string{"0.0.0.0/0", "10.9.0.1/32"}},
	} {
		var got []string
		for _, r := range gone(c.p, c.q) {
			got = append(got, r.To.String())
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
