package boot

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestNetwork: what a person may write about links, and what each mistake is told.
func TestNetwork(t *testing.T) {
	const cards = `
  - {name: a, mac: "52:54:00:00:00:01"}
  - {name: b, pci: "0000:00:04.0"}
`
	const v = "\n  - {name: v, vlan: {id: 1, link: bond0}, dhcp: true}"
	const bond = cards + "  - {name: bond0, bond: {mode: active-backup, links: [a, b]}, "
	for _, c := range []struct{ name, network, want string }{
		{"nothing", "{}", ""},
		{"a bond", "links:" + bond + "dhcp: true, mtu: 9000}", ""},
		{"LACP", "links:" + strings.Replace(bond, "active-backup", "802.3ad", 1) + "dhcp: true}", ""},
		{"a bond of one", "links:" + cards[:strings.Index(cards, "\n  - {name: b")] +
			"\n  - {name: c, bond: {mode: 802.3ad, links: [a]}, dhcp: true}", ""},
		{"a VLAN on a bond that has no address",
			"links:" + bond + "mtu: 9000}\n  - {name: v, vlan: {id: 4094, link: bond0}, dhcp: true, mtu: 9000}", ""},
		{"a VLAN on a card", `links:
  - {name: v, vlan: {id: 1, link: a}, addresses: [10.1.0.2/24]}
  - {name: a, mac: "52:54:00:00:00:01", addresses: ["2001:db8::2/64"], gateway: "2001:db8::1"}`, ""},
		{"routes", `links: [{name: a, mac: "52:54:00:00:00:01", addresses: [10.1.0.2/24, "2001:db8::2/64"], gateway: 10.1.0.1, routes: [` +
			`{to: 10.0.0.0/8, via: 10.1.0.3}, {to: "::/0", via: "fe80::1"}]}]`, ""},
		{"several servers", `{ntp: [ntp.example.com, 10.0.0.1, "2001:db8::1", "[2001:db8::1]:123"]}`, ""},

		{"two kinds",
			`links: [{name: a, mac: "52:54:00:00:00:01", vlan: {id: 1, link: a}, dhcp: true}]`, "links[0].mac: link a: give one of"},
		{"no kind", `links: [{name: a, dhcp: true}]`, "links[0].mac: link a: give one of"},
		{"names twice", `links: [{name: a, mac: "52:54:00:00:00:01", dhcp: true}, {name: a, mac: "52:54:00:00:00:02", dhcp: true}]`,
			`links[1].name: "a" is there twice`},
		{"a card twice", `links: [{name: a, mac: "52:54:00:00:00:0a", dhcp: true}, {name: b, mac: "52:54:00:00:00:0A", dhcp: true}]`,
			"links[1].mac: 52:54:00:00:00:0a is link a already"},
		{"a card in two bonds", "links:" + bond + "dhcp: true}\n  - {name: c, bond: {mode: active-backup, links: [b]}, dhcp: true}",
			"links[3].bond.links[0]: link b is in bond bond0 already"},
		{"a card twice in a bond",
			"links:" + strings.Replace(bond, "[a, b]", "[a, a]", 1) + "dhcp: true}", "links[2].bond.links[1]: link a is there twice"},
		{"an address on a card of a bond", "links:" + strings.Replace(bond, "00:01\"}", "00:01\", dhcp: true}", 1) + "dhcp: true}",
			"links[0].addresses: link a is in bond bond0"},
		{"an MTU on a card of a bond", "links:" + strings.Replace(bond, "00:01\"}", "00:01\", mtu: 1500}", 1) + "dhcp: true}",
			"links[0].mtu: link a is in bond bond0"},
		{"a bond of nothing", "links: [{name: c, bond: {mode: 802.3ad}, dhcp: true}]", "links[0].bond.links: names 0 links"},
		{"a bond of what is not there",
			"links: [{name: c, bond: {mode: 802.3ad, links: [x]}, dhcp: true}]", `links[0].bond.links[0]: there is no link "x"`},
		{"a bond of bonds", "links:" + bond + "dhcp: true}\n  - {name: c, bond: {mode: active-backup, links: [bond0]}, dhcp: true}",
			"links[3].bond.links[0]: link bond0 is no card"},
		{"a mode of bonds",
			"links:" + strings.Replace(bond, "active-backup", "balance-rr", 1) + "dhcp: true}",
			`links[2].bond.mode: "balance-rr" is not known`},
		{"primary of LACP",
			"links:" + strings.Replace(bond, "active-backup,", "802.3ad, primary: a,", 1) + "dhcp: true}",
			"links[2].bond.primary: 802.3ad uses all"},
		{"primary elsewhere",
			"links:" + strings.Replace(bond, "backup,", "backup, primary: x,", 1) + "dhcp: true}", `links[2].bond.primary: "x" is not one`},
		{"VLAN 0",
			"links:" + bond + "dhcp: true}\n  - {name: v, vlan: {id: 0, link: bond0}, dhcp: true}", "links[3].vlan.id: 0: want 1 to 4094"},
		{"VLAN 4095",
			"links:" + bond + "dhcp: true}\n  - {name: v, vlan: {id: 4095, link: bond0}, dhcp: true}",
			"links[3].vlan.id: 4095: want 1 to 4094"},
		{"VLAN on a card of a bond",
			"links:" + bond + "dhcp: true}\n  - {name: v, vlan: {id: 1, link: b}, dhcp: true}",
			"links[3].vlan.link: link b is in bond bond0"},
		{"VLAN on nothing", "links:\n  - {name: v, vlan: {id: 1, link: b}, dhcp: true}", `links[0].vlan.link: there is no link "b"`},
		{"VLAN on a VLAN", "links:" + bond + "}" + v + "\n  - {name: w, vlan: {id: 2, link: v}, dhcp: true}",
			"links[4].vlan.link: link v is a VLAN itself"},
		{"VLAN twice", "links:" + bond + "}" + v + "\n  - {name: w, vlan: {id: 1, link: bond0}, dhcp: true}",
			"links[4].vlan.id: VLAN 1 of link bond0 is link v already"},
		{"a VLAN's MTU",
			"links:" + bond + "mtu: 8000}\n  - {name: v, vlan: {id: 1, link: bond0}, dhcp: true, mtu: 9000}",
			"links[3].mtu: 9000: link bond0 below has 8000"},
		{"an MTU too small", "links:" + bond + "dhcp: true, mtu: 1279}", "links[2].mtu: 1279: want 1280 to 9216"},
		{"an MTU too large", "links:" + bond + "dhcp: true, mtu: 9217}", "links[2].mtu: 9217: want 1280 to 9216"},
		{"a bond that nothing uses", "links:" + bond + "}", "links[2].addresses: link bond0 has none"},
		{"the underlay without address", "underlay: bond0\nlinks:" + bond + "}" + v, "underlay: link bond0 has no addresses"},
		{"a route to a host's address",
			"links:" + bond + "addresses: [10.1.0.2/24], routes: [{to: 10.0.0.1/8, via: 10.1.0.1}]}",
			"links[2].routes[0].to: 10.0.0.1/8: want a network"},
		{"a route over the other IP",
			"links:" + bond + `addresses: [10.1.0.2/24], routes: [{to: "::/0", via: 10.1.0.1}]}`,
			"links[2].routes[0].via: 10.1.0.1: want a router"},
		{"a route over a stranger",
			"links:" + bond + "addresses: [10.1.0.2/24], routes: [{to: 10.0.0.0/8, via: 10.2.0.1}]}",
			"links[2].routes[0].via: 10.2.0.1 is not on"},
		{"a second gateway",
			"links:" + bond + "addresses: [10.1.0.2/24], gateway: 10.1.0.1, routes: [{to: 0.0.0.0/0, via: 10.1.0.3}]}",
			"links[2].routes[0].to: 0.0.0.0/0 is the gateway's"},
		{"a route twice",
			"links:" + bond + "addresses: [10.1.0.2/24], routes: [{to: 10.0.0.0/8, via: 10.1.0.3}, {to: 10.0.0.0/8, via: 10.1.0.4}]}",
			"links[2].routes[1].to: 10.0.0.0/8 is there twice"},
		{"a server of names", "links:" + bond + "dhcp: true, dns: [0.0.0.0]}", "links[2].dns[0]: 0.0.0.0 is no address"},
		{"a server of time", `{ntp: [10.0.0.1, "a b"]}`, `ntp[1]: "a b": want a server`},
	} {
		var n Network
		if err := yaml.Unmarshal([]byte(c.network), &n); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		err := n.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestFirst: the underlay is the first link that has an address.
func TestFirst(t *testing.T) {
	n := Network{Links: []Link{{Name: "a"}, {Name: "b"}, {Name: "c", DHCP: true}, {Name: "d", DHCP: true}}}
	if got := n.First(); got != "c" {
		t.Errorf("got %q, want c", got)
	}
	if n.Underlay = "d"; n.First() != "d" {
		t.Errorf("got %q, want d", n.First())
	}
	if got := (Network{}).First(); got != "" {
		t.Errorf("got %q of no links", got)
	}
}
