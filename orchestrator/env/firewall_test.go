package env

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/operator"
)

func TestRules(t *testing.T) {
	rule := func(name, peer string) firewall.PacketRule {
		return firewall.PacketRule{Name: name, Direction: firewall.In, Action: firewall.Allow, Priority: 1, Peer: peer}
	}
	up := rule("up", "")
	up.Direction = "up"
	for _, c := range []struct {
		name         string
		rules        []firewall.PacketRule
		object, want string
	}{
		{"none", nil, "", ""},
		{"all kinds of peers", []firewall.PacketRule{rule("a", ""), rule("b", "192.0.2.0/24"), rule("c", "bl.hello.internal"),
			rule("d", "hello.internal"), rule("e", "node100.hello.internal"), rule("f", "other.internal")}, "", ""},
		{"no such direction", []firewall.PacketRule{rule("a", ""), up}, "layers[0].firewall[1]", `rule "up": direction "up": want in or out`},
		{"one name twice", []firewall.PacketRule{rule("a", ""), rule("a", "")}, "layers[0].firewall[1].name", "twice"},
		{"no such layer", []firewall.PacketRule{rule("a", "db.hello.internal")}, "layers[0].firewall[0].peer", `there is no layer "db"`},
		{"like a node", []firewall.PacketRule{rule("a", "nodes.hello.internal")}, "layers[0].firewall[0].peer", `no layer "nodes"`},
		{"no form of a peer", []firewall.PacketRule{rule("a", "example.org")}, "layers[0].firewall[0]", "want an address, a prefix"},
		{"too many", make([]firewall.PacketRule, firewall.MaxRules+1), "layers[0].firewall", "at most 64"},
	} {
		layer := func(name wire.LayerName, rules []firewall.PacketRule) operator.LayerSpec {
			return operator.LayerSpec{Name: name, Template: "nginx", Nodes: 1, Cloudlets: wire.Cloudlets{Dynamic: 1}, Firewall: rules}
		}
		p := Validate(operator.EnvironmentSpec{Version: 1, Name: "hello",
			Layers: []operator.LayerSpec{layer("cp", c.rules), layer("bl", nil)}})
		if (p == nil) != (c.want == "") || p != nil && (p.Object != c.object || !strings.Contains(p.Reason, c.want) || p.Next == "") {
			t.Errorf("%s: %v, want %q of %s", c.name, p, c.want, c.object)
		}
	}
}

// A rule may name environments of its account, and what it named already.
func TestPeers(t *testing.T) {
	spec := func(layer wire.LayerName, peers ...string) operator.EnvironmentSpec {
		l := operator.LayerSpec{Name: layer}
		for _, p := range peers {
			l.Firewall = append(l.Firewall, firewall.PacketRule{Name: strings.ReplaceAll(p, ".", "-"), Peer: p})
		}
		return operator.EnvironmentSpec{Name: "hello", Layers: []operator.LayerSpec{l}}
	}
	has := func(name wire.EnvName) bool { return name == "mine" }
	good := spec("cp", "", "10.0.0.0/8", "hello.internal", "cp.hello.internal", "mine.internal", "bl.mine.internal", "jelastic.internal")
	if p := Peers(operator.EnvironmentSpec{}, good, "ann", has); p != nil {
		t.Error(p)
	}
	other := spec("cp", "mine.internal", "bl.other.internal")
	p := Peers(spec("bl", "bl.other.internal"), other, "ann", has)
	if p == nil || p.Object != "layers[0].firewall[1].peer" || !strings.Contains(p.Reason, "account ann has no environment other") {
		t.Errorf("another's: %v", p)
	}
	if p := Peers(other, other, "ann", has); p != nil {
		t.Errorf("as it is: %v", p)
	}
}
