package firewall

import (
	"fmt"
	"strings"
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) { golden.Wire[PacketRule](t, "rule") }

func TestValidate(t *testing.T) {
	good := PacketRule{Name: "web", Direction: In, Action: Allow, Priority: 100, Protocol: TCP, Ports: []Port{"80", "8000-8100"},
		Peer: "192.0.2.0/24"}
	if err := Validate([]PacketRule{good}, MaxRules); err != nil {
		t.Fatal(err)
	}
	for _, peer := range []string{"", "192.0.2.1", "2001:db8::/32", "fd48::1", "shop.internal", "cp.shop.internal",
		"node101.shop.internal"} {
		r := good
		if r.Peer = peer; r.Validate() != nil {
			t.Errorf("peer %q: %v", peer, r.Validate())
		}
	}
	for _, c := range []struct {
		change func(*PacketRule)
		want   string
	}{
		{func(r *PacketRule) { r.Name = "" }, "name: is empty"},
		{func(r *PacketRule) { r.Name = "A b" }, "use lower-case letters"},
		{func(r *PacketRule) { r.Direction = "up" }, `direction "up": want in or out`},
		{func(r *PacketRule) { r.Action = "reject" }, `action "reject": want allow or deny`},
		{func(r *PacketRule) { r.Priority = 0 }, "priority 0: want 1 to 1000"},
		{func(r *PacketRule) { r.Priority = 1001 }, "priority 1001"},
		{func(r *PacketRule) { r.Protocol = "sctp" }, `protocol "sctp": want tcp, udp or icmp`},
		{func(r *PacketRule) { r.Protocol = ICMP }, "want tcp or udp beside them"},
		{func(r *PacketRule) { r.Protocol = "" }, "want tcp or udp beside them"},
		{func(r *PacketRule) { r.Ports = []Port{"0"} }, `"0" is no port`},
		{func(r *PacketRule) { r.Ports = []Port{"65536"} }, "is no port"},
		{func(r *PacketRule) { r.Ports = []Port{"90-80"} }, "is no port"},
		{func(r *PacketRule) { r.Ports = []Port{"080"} }, "is no port"},
		{func(r *PacketRule) { r.Ports = []Port{"80-"} }, "is no port"},
		{func(r *PacketRule) { r.Ports = make([]Port, 17) }, "at most 16"},
		{func(r *PacketRule) { r.Rate = -1 }, "rate -1"},
		{func(r *PacketRule) { r.Rate = 100_001 }, "rate 100001"},
		{func(r *PacketRule) { r.Rate, r.Action = 5, Deny }, "what is denied has none"},
		{func(r *PacketRule) { r.Peer = "192.0.2.1/24" }, "write 192.0.2.0/24"},
		{func(r *PacketRule) { r.Peer = "example.org" }, "want an address, a prefix"},
		{func(r *PacketRule) { r.Peer = "a.b.c.internal" }, "want an address, a prefix"},
		{func(r *PacketRule) { r.Peer = ".internal" }, "want an address, a prefix"},
		{func(r *PacketRule) { r.Peer = "fe80::1%eth0" }, "want an address, a prefix"},
		{func(r *PacketRule) { r.Peer = "::ffff:192.0.2.1" }, "want an address, a prefix"},
	} {
		r := good
		c.change(&r)
		err := Validate([]PacketRule{r}, MaxRules)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "rules[0]") {
			t.Errorf("%+v: got %v, want %q", r, err, c.want)
		}
	}
	if err := Validate([]PacketRule{good, good}, MaxRules); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one name twice: %v", err)
	}
	var many []PacketRule
	for i := range MaxRules + 1 {
		r := good
		r.Name = fmt.Sprint("r", i)
		many = append(many, r)
	}
	if err := Validate(many, MaxRules); err == nil || !strings.Contains(err.Error(), "at most 64") {
		t.Errorf("65 rules: %v", err)
	}
}

func TestSort(t *testing.T) {
	var got []string
	rules := []PacketRule{{Name: "d", Priority: 9}, {Name: "c", Priority: 5, Action: Allow}, {Name: "b", Priority: 5, Action: Deny},
		{Name: "a", Priority: 5, Action: Allow}}
	for _, r := range Sort(rules) {
		got = append(got, r.Name)
	}
	if strings.Join(got, "") != "bacd" {
		t.Errorf("got %v", got)
	}
}

func TestMerge(t *testing.T) {
	layer := []PacketRule{{Name: "web", Priority: 5, Peer: "192.0.2.1"}, {Name: "ssh", Priority: 7}}
	got := Merge(layer, []PacketRule{{Name: "web", Priority: 9}, {Name: "db", Priority: 1}})
	if len(got) != 3 || got[0].Name != "db" || got[1].Name != "ssh" || got[2].Name != "web" || got[2].Peer != "" || len(layer) != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestRenamed(t *testing.T) {
	for was, want := range map[string]string{"": "", "10.0.0.0/8": "10.0.0.0/8", "2001:db8::/32": "2001:db8::/32",
		"a.internal": "b.internal", "cp.a.internal": "cp.b.internal", "a.c.internal": "a.c.internal", "aa.internal": "aa.internal",
		"internal": "internal"} {
		rules := []PacketRule{{Name: "r", Peer: was}}
		if got := Renamed(rules, "a", "b"); got[0].Peer != want || rules[0].Peer != was {
			t.Errorf("%q: got %q, want %q; it was given %q", was, got[0].Peer, want, rules[0].Peer)
		}
	}
}
