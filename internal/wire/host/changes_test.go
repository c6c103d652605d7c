package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// peer is a host with a sum that is its number.
func peer(n int) Peer {
	return Peer{ID: wire.HostID(fmt.Sprintf("h-%012d", n)), Name: fmt.Sprintf("host%d", n), Role: RoleUser,
		Identity: make([]byte, 32), Sum: Sum(n), Blocks: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.96.%d.0/24", n))}}
}

func cluster(hosts ...Peer) Peers {
	return Peers{Version: PeersVersion, Revision: 5, Cluster: "cl-0123456789abcdef", Hosts: hosts,
		Range4: netip.MustParsePrefix("10.96.0.0/12")}
}

func zone(env wire.EnvName, sum Sum, nodes ...int) Zone {
	z := Zone{Env: env, Sum: sum}
	var all []netip.Addr
	for _, n := range nodes {
		a := netip.AddrFrom4([4]byte{10, 96, 1, byte(n)})
		all = append(all, a)
		z.Nodes = append(z.Nodes, Name{Name: fmt.Sprintf("node%d.%s.internal", n, env), Addrs: []netip.Addr{a}})
	}
	z.Layers = []Name{{Name: "cp." + string(env) + ".internal", Addrs: all}}
	return z
}

// told is what a host has of names, for people.
func told(k *Kept) string {
	var b strings.Builder
	for _, h := range k.Hosts {
		fmt.Fprintf(&b, "%s ", h.Name)
	}
	for _, n := range k.Names {
		fmt.Fprintf(&b, "%s ", n.Name)
	}
	for _, g := range k.Groups {
		fmt.Fprintf(&b, "%s%v ", g.Name, g.Addrs)
	}
	return strings.TrimSpace(b.String())
}

// keptOf is a host that has two hosts and the names of the platform and of two accounts.
func keptOf(t *testing.T) *Kept {
	t.Helper()
	k, err := (*Kept)(nil).Take(Assignment{PeersChange: &PeersChange{To: 8 ^ 1 ^ 2, Head: 8, Peers: cluster(peer(2), peer(1))},
		Names: &NamesChange{Accounts: []AccountNames{{To: 16, Zones: []Zone{zone("jelastic", 16, 3)}},
			{Account: "bob", To: 32, Zones: []Zone{zone("shop", 32, 9)}},
			{Account: "admin", To: 64 ^ 128, Zones: []Zone{zone("web", 128, 7, 8), zone("db", 64, 6)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The parts of what keptOf is told.
const (
	twoHosts = "host1 host2 "
	platform = "node3.jelastic.internal cp.jelastic.internal "
	db       = "node6.db.internal cp.db.internal "
	web      = "node7.web.internal node8.web.internal cp.web.internal "
	shop     = "node9.shop.internal cp.shop.internal "
	ofNone   = "jelastic[10.96.1.3]"
	ofAdmin  = " account admin[10.96.1.6 10.96.1.7 10.96.1.8]"
	ofBob    = " account bob[10.96.1.9]"
	all      = platform + db + web + shop + ofNone + ofAdmin + ofBob
	keptTold = twoHosts + all
)

func TestTake(t *testing.T) {
	if got := told(keptOf(t)); got != keptTold {
		t.Errorf("the whole is\n%s\nwant\n%s", got, keptTold)
	}
	known := Known{Hosts: 11, Names: map[wire.Account]Sum{"": 16, "admin": 192, "bob": 32}}
	if got, want := keptOf(t).Known().Query(), known.Query(); got != want {
		t.Errorf("it asks with %s, want %s", got, want)
	}
	same := func(a wire.Account, s Sum) AccountNames { return AccountNames{Account: a, From: s, To: s} }
	peers := func(from, to, head Sum, gone string, put ...Peer) Assignment {
		c := &PeersChange{From: from, To: to, Head: head, Peers: cluster(put...)}
		if gone != "" {
			c.Gone = []wire.HostID{wire.HostID(gone)}
		}
		return Assignment{PeersChange: c}
	}
	moved := peer(2)
	moved.Name, moved.Sum = "moved2", 4
	names := func(a ...AccountNames) Assignment { return Assignment{Names: &NamesChange{Accounts: a}} }
	// rest is the platform's and one account's names as they are, beside another account's.
	rest := func(a wire.Account, s Sum, other AccountNames) Assignment {
		return names(same("", 16), same(a, s), other)
	}
	for name, c := range map[string]struct {
		a    Assignment
		want string // "": the change does not fit
	}{
		"nothing":            {Assignment{}, keptTold},
		"a host changed":     {peers(11, 8^1^4, 8, "", moved), "host1 moved2 " + all},
		"a host more":        {peers(11, 8^1^2^3, 8, "", peer(3)), "host1 host2 host3 " + all},
		"a host less":        {peers(11, 8^2, 8, "h-000000000001"), "host2 " + all},
		"only what all have": {peers(11, 9^1^2, 9, ""), keptTold},
		"whole again":        {peers(0, 8^1, 8, "", peer(1)), "host1 " + all},
		"of another":         {peers(12, 8^1^4, 8, "", moved), ""},
		"to another":         {peers(11, 8^1^5, 8, "", moved), ""},
		"a zone changed": {rest("bob", 32, AccountNames{Account: "admin", From: 192, To: 64 ^ 1, Zones: []Zone{zone("web", 1, 5)}}),
			twoHosts + platform + db + "node5.web.internal cp.web.internal " + shop + ofNone +
				" account admin[10.96.1.6 10.96.1.5]" + ofBob},
		"a zone less": {rest("bob", 32, AccountNames{Account: "admin", From: 192, To: 64, Gone: []wire.EnvName{"web"}}),
			twoHosts + platform + db + shop + ofNone + " account admin[10.96.1.6]" + ofBob},
		"an account less":         {names(same("", 16), same("admin", 192)), twoHosts + platform + db + web + ofNone + ofAdmin},
		"an account whole":        {rest("admin", 192, AccountNames{Account: "bob"}), twoHosts + platform + db + web + ofNone + ofAdmin},
		"an account of another":   {rest("admin", 192, same("bob", 33)), ""},
		"an account it never had": {names(same("eve", 3)), ""},
		"an account to another":   {names(AccountNames{Account: "bob", From: 32, To: 5, Gone: []wire.EnvName{"shop"}}), ""},
		"addresses of no host":    {elsewhere(), ""},
		"a zone of two accounts":  {shared(), ""},
		"an environment it never had": {rest("admin", 192, AccountNames{Account: "bob", From: 32, To: 32, Gone: []wire.EnvName{"none"}}),
			keptTold},
	} {
		k := keptOf(t)
		next, err := k.Take(c.a)
		if told(k) != keptTold {
			t.Fatalf("%s: what it was taken into has changed: %s", name, told(k))
		}
		if c.want == "" {
			if !errors.Is(err, ErrOther) || next != nil {
				t.Errorf("%s: %v, want ErrOther", name, err)
			}
			continue
		}
		if err != nil || told(next) != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, told(next), c.want)
		} else if err := next.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (*Kept)(nil).Take(names(same("", 0))); !errors.Is(err, ErrOther) {
		t.Errorf("names without peers: %v", err)
	}
}

// A host whose names came with the names of all keeps them until it is sent those it may see, and then has no others.
func TestTakeAfterProtocol1(t *testing.T) {
	whole := cluster(peer(1))
	whole.Hosts[0].Sum = 0
	whole.Names, whole.Groups = []Name{{Name: "node1.old.internal"}}, []Group{{Name: "users"}}
	k, err := (*Kept)(nil).Take(Assignment{Peers: &whole})
	if err != nil || k.Known().Query() != "work=0&peers=5&system=0" {
		t.Fatalf("%v, it asks with %s", err, k.Known().Query())
	}
	k, err = k.Take(Assignment{PeersChange: &PeersChange{To: 8 ^ 1, Head: 8, Peers: cluster(peer(1))}})
	if err != nil || told(k) != "host1 node1.old.internal users[]" || k.Known().Query() != (Known{Hosts: 9}).Query() {
		t.Errorf("after peers without names: %v %s, it asks with %s", err, told(k), k.Known().Query())
	}
	k, err = k.Take(Assignment{Names: &NamesChange{}})
	if err != nil || told(k) != "host1" || k.Known().Names == nil {
		t.Errorf("after there are no names for it: %v %s, it asks with %s", err, told(k), k.Known().Query())
	}
	k, err = keptOf(t).Take(Assignment{Peers: &whole})
	if err != nil || told(k) != "host1 node1.old.internal users[]" || k.Known().Query() != "work=0&peers=5&system=0" {
		t.Errorf("back to protocol 1: %v %s, it asks with %s", err, told(k), k.Known().Query())
	}
}

// What a host keeps is Peers to an agent of protocol 1: with all names and groups it has. What such an agent wrote is whole, of protocol 1.
func TestKeptIsPeers(t *testing.T) {
	raw, err := json.Marshal(keptOf(t))
	if err != nil {
		t.Fatal(err)
	}
	var p Peers
	if err := neighbour.Decode(raw, &p); err != nil || p.Validate() != nil {
		t.Fatal(err, p.Validate())
	}
	if got := told(&Kept{Peers: p}); got != keptTold {
		t.Errorf("read as Peers it is\n%s\nwant\n%s", got, keptTold)
	}
	for i := range p.Hosts {
		p.Hosts[i].Sum = 0
	}
	if raw, err = json.Marshal(p); err != nil {
		t.Fatal(err)
	}
	var k Kept
	if err := neighbour.Decode(raw, &k); err != nil || k.Validate() != nil {
		t.Fatal(err, k.Validate())
	}
	if told(&k) != keptTold || k.Known().Query() != "work=0&peers=5&system=0" {
		t.Errorf("what an agent of protocol 1 wrote is %s, and asks with %s", told(&k), k.Known().Query())
	}
}

// A document whose zones do not fit its names is no valid one.
func TestKeptValidate(t *testing.T) {
	for name, spoil := range map[string]func(*Kept){
		"more nodes than names":  func(k *Kept) { k.Zones[2].Nodes = 100 },
		"more layers than names": func(k *Kept) { k.Zones[3].Layers = 2 },
		"a negative number":      func(k *Kept) { k.Zones[0].Nodes, k.Zones[0].Layers = -1, 3 },
		"a name in no zone":      func(k *Kept) { k.Zones = k.Zones[:3] },
		"a peer that is none":    func(k *Kept) { k.Hosts[0].ID = "x" },
	} {
		k := keptOf(t)
		if spoil(k); k.Validate() == nil {
			t.Errorf("%s passes", name)
		}
	}
	if err := keptOf(t).Validate(); err != nil {
		t.Error(err)
	}
}

func TestChangesValidate(t *testing.T) {
	bad := peer(1)
	bad.ID = "x"
	with := cluster(peer(1))
	with.Names = []Name{{Name: "node1.a.internal"}}
	z := func(mend func(*Zone)) AccountNames {
		zone := zone("web", 1, 7)
		mend(&zone)
		return AccountNames{Account: "admin", Zones: []Zone{zone}}
	}
	names := func(a ...AccountNames) Assignment { return Assignment{Names: &NamesChange{Accounts: a}} }
	for name, a := range map[string]Assignment{
		"a host that is none":      {PeersChange: &PeersChange{Peers: cluster(bad)}},
		"names in peers":           {PeersChange: &PeersChange{Peers: with}},
		"an account that is none":  names(AccountNames{Account: "A b"}),
		"an account twice":         names(AccountNames{Account: "a"}, AccountNames{Account: "a"}),
		"an environment twice":     names(z(func(*Zone) {}), AccountNames{Account: "b", Zones: []Zone{zone("web", 1, 7)}}),
		"no environment":           names(z(func(z *Zone) { z.Env = "" })),
		"a name of another":        names(z(func(z *Zone) { z.Nodes[0].Name = "node7.other.internal" })),
		"a name outside":           names(z(func(z *Zone) { z.Layers[0].Name = "web.internal.example.com" })),
		"a name that is no domain": names(z(func(z *Zone) { z.Nodes[0].Name = "a b.web.internal" })),
	} {
		raw, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeAssignment(strings.NewReader(string(raw))); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	good := names(z(func(*Zone) {}))
	good.PeersChange = &PeersChange{Peers: cluster(peer(1))}
	raw, _ := json.Marshal(good)
	if _, err := DecodeAssignment(strings.NewReader(string(raw))); err != nil {
		t.Error(err)
	}
}

// TestGroups: environments of one account are in the groups that they say, and no group has the name of another's.
func TestGroups(t *testing.T) {
	node := func(n string, last byte) []Name {
		return []Name{{Name: n, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, last})}}}
	}
	c := &NamesChange{Accounts: []AccountNames{
		{Account: "acme", To: 1 ^ 2 ^ 4 ^ 8, Zones: []Zone{{Env: "a", Sum: 1, Nodes: node("node1.a.internal", 1)},
			{Env: "b", Sum: 2, Nodes: node("node2.b.internal", 2), Group: "apart"}, {Env: "c", Sum: 4, Nodes: node("node3.c.internal", 3)},
			{Env: "d", Sum: 8, Nodes: node("node4.d.internal", 4), Group: "apart"}}},
		{Account: "bob", To: 16, Zones: []Zone{{Env: "e", Sum: 16, Nodes: node("node5.e.internal", 5), Group: "apart"}}}}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	k := &Kept{Peers: Peers{Version: 1, Revision: 1}}
	k, err := k.Take(Assignment{Names: c})
	if err != nil {
		t.Fatal(err)
	}
	want := "[{account acme [10.96.0.1 10.96.0.3]} {account acme group apart [10.96.0.2 10.96.0.4]} {account bob group apart [10.96.0.5]}]"
	if got := fmt.Sprint(k.Groups); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if z := k.zones()["acme"]["b"]; z.Group != "apart" {
		t.Errorf("it is kept as %+v", z)
	}
	c.Accounts[0].Zones[1].Group = "a b"
	if err := c.Validate(); err == nil {
		t.Error("a group that is no name")
	}
}
