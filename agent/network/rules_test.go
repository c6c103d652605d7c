package network

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
)

var update = flag.Bool("update", false, "write the golden files anew")

func a(s string) netip.Addr   { return netip.MustParseAddr(s) }
func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func key(n byte) string       { k := wgtypes.Key{n}; return k.String() }

func states() map[string]State {
	peers := &host.Peers{Version: 1, Range4: p("10.96.0.0/12"), Range6: p("fd48:4e00::/48"),
		Names: []host.Name{{Name: "node100.shop.internal", Addrs: []netip.Addr{a("10.96.1.10"), a("fd48:4e00:0:1::a")}},
			{Name: "node102.shop.internal", Addrs: []netip.Addr{a("10.96.2.10")}}},
		Hosts: []host.Peer{
			{ID: "h-000000000000", Name: "infra", Role: host.RoleInfra, Underlay: a("10.77.0.2"), MeshKey: key(1),
				Blocks: []netip.Prefix{p("10.96.0.0/24")}},
			{ID: "h-000000000001", Name: "host-1", Role: host.RoleUser, Underlay: a("10.77.0.11"), MeshKey: key(2),
				Blocks: []netip.Prefix{p("10.96.1.0/24"), p("fd48:4e00:0:1::/64")}},
			{ID: "h-000000000002", Name: "host-2", Role: host.RoleUser, Underlay: a("10.77.0.12"), Addrs: []netip.Addr{a("192.0.2.12"),
				a("2001:db8::12")}, MeshKey: key(3), Blocks: []netip.Prefix{p("10.96.2.0/24")}, Moved: []netip.Prefix{p("10.96.1.77/32")}},
			{ID: "h-000000000003", Name: "host-3", Role: host.RoleUser, Blocks: []netip.Prefix{p("10.96.3.0/24")}},
		},
		Groups: []host.Group{
			{Name: "jelastic", Addrs: []netip.Addr{a("10.96.0.13"), a("10.96.0.14")}},
			{Name: "acme", Addrs: []netip.Addr{a("10.96.1.10"), a("10.96.2.10"), a("fd48:4e00:0:1::a")}},
			{Name: "other", Addrs: []netip.Addr{a("10.96.1.11"), a("10.96.1.10")}},
		}}
	return map[string]State{
		"empty": {Role: host.RoleUser},
		"infra-before-peers": {Role: host.RoleInfra, Addrs: []netip.Addr{a("10.77.0.2")}, Jelastic: []netip.Addr{a("10.96.0.13")},
			Endpoints: []Endpoint{{CTID: 3, IPv4: a("10.96.0.13"),
				Publish: []host.Port{{Proto: "tcp", Host: 7443, Container: 7443}, {Proto: "tcp", Host: 7444, Container: 7444}}}}},
		"beside": {Role: host.RoleInfra, Addrs: []netip.Addr{a("10.77.0.2")}, Endpoints: []Endpoint{{CTID: 4, IPv4: a("10.96.0.14")},
			{CTID: 54, IPv4: a("10.96.0.64"), IPv6: a("fd48:4e00::40"), As4: a("10.96.0.14"), As6: a("fd48:4e00::e"),
				Publish: []host.Port{{Proto: "tcp", Host: 80, Container: 80}}}}},
		"netboot": {Role: host.RoleInfra, Addrs: []netip.Addr{a("10.77.0.2")},
			Endpoints: []Endpoint{{CTID: 8, IPv4: a("10.96.0.18"), Sockets: host.NetbootSockets("underlay")}}},
		"firewall": {Role: host.RoleUser, Self: "h-000000000001", Peers: peers, Endpoints: []Endpoint{{CTID: 101, IPv4: a("10.96.1.11")},
			{CTID: 100, IPv4: a("10.96.1.10"), IPv6: a("fd48:4e00:0:1::a"), Firewall: []firewall.PacketRule{
				{Name: "bl", Direction: "in", Action: "allow", Priority: 10, Protocol: "tcp", Ports: []firewall.Port{"80", "8000-8100"},
					Peer: "shop.internal"},
				{Name: "ssh", Direction: "in", Action: "allow", Priority: 20, Protocol: "tcp", Ports: []firewall.Port{"22"},
					Peer: "192.0.2.0/24", Rate: 10},
				{Name: "ping", Direction: "in", Action: "allow", Priority: 30, Protocol: "icmp"},
				{Name: "nobody", Direction: "in", Action: "allow", Priority: 30, Peer: "gone.internal"},
				{Name: "rest", Direction: "in", Action: "deny", Priority: 1000},
				{Name: "mail", Direction: "out", Action: "deny", Priority: 10, Protocol: "tcp", Ports: []firewall.Port{"25"}},
				{Name: "web", Direction: "out", Action: "allow", Priority: 20, Peer: "2001:db8::/32"},
			}}}},
		"user": {Role: host.RoleUser, Self: "h-000000000001", Addrs: []netip.Addr{a("fd00::11"), a("10.77.0.11"), a("10.77.0.11")},
			Peers: peers,
			Endpoints: []Endpoint{{CTID: 101, IPv4: a("10.96.1.11")}, {CTID: 100, IPv4: a("10.96.1.10"), IPv6: a("fd48:4e00:0:1::a"),
				Public: []netip.Addr{a("192.0.2.100"), a("192.0.2.101"), a("2001:db8::100")}}}},
	}
}

func TestRulesGolden(t *testing.T) {
	for name, s := range states() {
		t.Run(name, func(t *testing.T) {
			r, _ := rules(s)
			got := r.String()
			path := filepath.Join("testdata", name+".nft")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("rules differ from %s; if they are right: go test ./agent/network -run Golden -update\n%s", path, got)
			}
		})
	}
}

func TestRulesAreProgrammable(t *testing.T) {
	for name, s := range states() {
		r, _ := rules(s)
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRoutes(t *testing.T) {
	var got []string
	for _, r := range states()["user"].routes() {
		got = append(got, r.String())
	}
	want := []string{"10.96.0.0/24 dev hn-mesh", "blackhole 10.96.1.0/24", "10.96.1.10/32 dev hv100", "10.96.1.11/32 dev hv101",
		"10.96.1.77/32 dev hn-mesh", "10.96.2.0/24 dev hn-mesh", "blackhole 10.96.3.0/24", "192.0.2.100/32 dev hv100",
		"192.0.2.101/32 dev hv100", "2001:db8::100/128 dev hv100", "blackhole fd48:4e00:0:1::/64",
		"fd48:4e00:0:1::a/128 dev hv100"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestFurtherBlocks: a host has as many blocks as it was given, and one an earlier orchestrator publishes as moved alone is reached like
// the others.
func TestFurtherBlocks(t *testing.T) {
	s := states()["user"]
	hosts := s.Peers.Hosts
	hosts[1].Blocks, hosts[1].Moved = append(hosts[1].Blocks, p("10.96.7.0/24")), []netip.Prefix{p("10.96.7.0/24")}
	hosts[0].Moved = []netip.Prefix{p("10.96.8.0/24")}
	s.Endpoints = append(s.Endpoints, Endpoint{CTID: 102, IPv4: a("10.96.7.10"), IPv6: a("fd48:4e00:0:1::10a")})
	var got []string
	for _, r := range s.routes() {
		got = append(got, r.String())
	}
	for _, want := range []string{"blackhole 10.96.7.0/24", "10.96.7.10/32 dev hv102", "fd48:4e00:0:1::10a/128 dev hv102",
		"10.96.8.0/24 dev hn-mesh"} {
		if !slices.Contains(got, want) {
			t.Errorf("no route %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}
