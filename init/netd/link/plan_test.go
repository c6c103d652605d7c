package link

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

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
		{"by MAC, any case", boot.Network{Links: []boot.Link{{Name: "up", MAC: "52:54:00:00:00:02"}}}, "eth1=up*", 0},
		{"by PCI, named underlay", boot.Network{Underlay: "b", Links: []boot.Link{{Name: "a", PCI: "0000:00:04.0"}, {Name: "b", PCI: "0000:00:03.0"}}}, "eth1=a eth0=b*", 0},
		{"one is not there", boot.Network{Links: []boot.Link{{Name: "a", MAC: "52:54:00:00:00:09"}, {Name: "b", MAC: "52:54:00:00:00:01"}}}, "eth0=b", 1},
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

func TestRenamesSwap(t *testing.T) {
	plans := []Plan{{Card: Card{Index: 2, Name: "eth0"}, Link: boot.Link{Name: "eth1"}}, {Card: Card{Index: 3, Name: "eth1"}, Link: boot.Link{Name: "eth0"}},
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
