package host

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
)

func goodContainer() Container {
	return Container{CTID: 101, Env: "hello", Hostname: "node101", Generation: 1, Run: true, Profile: ProfileApp,
		Image:   Image{Name: "nginx", Digest: wire.Digest("sha256:" + strings.Repeat("a", 64))},
		Process: Process{Argv: []string{"/bin/true"}},
		IPv4:    netip.MustParseAddr("10.96.1.10")}
}

func TestContainerValidate(t *testing.T) {
	if err := goodContainer().Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, want string
		change     func(*Container)
	}{
		{"no number", "not positive", func(c *Container) { c.CTID = 0 }},
		{"platform number outside jelastic", "belong to the environment jelastic", func(c *Container) { c.CTID = 5 }},
		{"hostname with a dot", "hostname", func(c *Container) { c.Hostname = "a.b" }},
		{"no digest", "no digest", func(c *Container) { c.Image.Digest = "" }},
		{"no program", "no program", func(c *Container) { c.Process.Argv = nil }},
		{"groups", "supplementary groups", func(c *Container) { c.Process.Groups = make([]uint32, MaxGroups+1) }},
		{"id blocks out of order", "ascending", func(c *Container) { c.Image.IDBlocks = []uint16{3, 2} }},
		{"id block 0", "ascending", func(c *Container) { c.Image.IDBlocks = []uint16{0} }},
		{"too many id blocks", "at most 15", func(c *Container) { c.Image.IDBlocks = make([]uint16, MaxIDBlocks+1) }},
		{"profile", "profile", func(c *Container) { c.Profile = "root" }},
		{"address", "IPv4", func(c *Container) { c.IPv4 = netip.Addr{} }},
		{"publish by a user", "only containers of jelastic", func(c *Container) { c.Publish = []Port{{"tcp", 80, 80}} }},
		{"sockets of a user", "only the component netboot", func(c *Container) { c.Sockets = NetbootSockets("eth0") }},
		{"file outside", "/run/hardnode/", func(c *Container) { c.Files = []File{{Path: "/etc/passwd"}} }},
		{"file climbs out", "/run/hardnode/", func(c *Container) { c.Files = []File{{Path: "/run/hardnode/../../etc/passwd"}} }},
		{"setuid file", "permission bits", func(c *Container) { c.Files = []File{{Path: "/run/hardnode/x", Mode: 0o4755}} }},
		{"volume over the root", "volume", func(c *Container) { c.Volumes = []Volume{{Name: "d", Path: "/"}} }},
		{"volume climbs out", "volume", func(c *Container) { c.Volumes = []Volume{{Name: "d", Path: "/../d"}} }},
		{"begins with what it is", "none before its 1.", func(c *Container) { c.Begins = &Begins{Generation: 1} }},
		{"was what it is", "none before its 1.", func(c *Container) { c.Formers = []Former{{Generation: 1, Image: c.Image}} }},
		{"was something without an image", "digest", func(c *Container) { c.Generation, c.Formers = 2, []Former{{Generation: 1}} }},
		{"was too much", "at most 4", func(c *Container) { c.Formers = make([]Former, MaxFormers+1) }},
		{"check without port", "check", func(c *Container) { c.Check = &Check{Path: "/"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := goodContainer()
			tt.change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// TestSockets: netboot's own on one card, and no others.
func TestSockets(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		change     func(*Container)
	}{
		{"its own", "", func(*Container) {}},
		{"some of them", "", func(c *Container) { c.Sockets = c.Sockets[1:] }},
		{"another component", "only the component netboot", func(c *Container) { c.Component = "resolver" }},
		{"another port", "not one that netboot takes", func(c *Container) { c.Sockets[0].Port = 22 }},
		{"another protocol", "not one that netboot takes", func(c *Container) { c.Sockets[0].Proto = "tcp" }},
		{"another name", "not one that netboot takes", func(c *Container) { c.Sockets[0].Name = "a:b" }},
		{"twice", "twice", func(c *Container) { c.Sockets = append(c.Sockets, c.Sockets[0]) }},
		{"no card", "network card", func(c *Container) { c.Sockets = NetbootSockets("") }},
		{"a card's path", "network card", func(c *Container) { c.Sockets = NetbootSockets("../eth0") }},
		{"a long name", "network card", func(c *Container) { c.Sockets = NetbootSockets("0123456789abcdef") }},
	} {
		c := goodContainer()
		c.CTID, c.Env, c.Component, c.Sockets = 8, "jelastic", ComponentNetboot, NetbootSockets("underlay")
		tt.change(&c)
		if err := c.Validate(); (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestImageHas(t *testing.T) {
	i := Image{IDBlocks: []uint16{2, 65535}}
	for id, want := range map[uint32]bool{0: true, 65535: true, 65536: false, 131071: false, 131072: true, 196607: true, 196608: false,
		4294967294: true, 4294967295: false} {
		if i.Has(id) != want {
			t.Errorf("has %d: %v, want %v", id, i.Has(id), want)
		}
	}
}

func TestWorkValidate(t *testing.T) {
	a, b := goodContainer(), goodContainer()
	if err := (&Work{Version: 1, Containers: []Container{a, b}}).Validate(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one number twice: got %v", err)
	}
	b.CTID = 102
	if err := (&Work{Version: 1, Containers: []Container{a, b}}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "belongs to container 101") {
		t.Errorf("one address twice: got %v", err)
	}
}

func TestPeersValidate(t *testing.T) {
	good := func() *Peers {
		return &Peers{Version: 1, Range4: netip.MustParsePrefix("10.96.0.0/12"),
			Hosts: []Peer{{ID: "h-0123456789ab", Identity: make([]byte, 32),
				Blocks: []netip.Prefix{netip.MustParsePrefix("10.96.1.0/24")}}}}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Peers){
		"block outside the range": func(p *Peers) { p.Hosts[0].Blocks[0] = netip.MustParsePrefix("0.0.0.0/0") },
		"block with host bits":    func(p *Peers) { p.Hosts[0].Blocks[0] = netip.MustParsePrefix("10.96.1.1/24") },
		"short identity":          func(p *Peers) { p.Hosts[0].Identity = make([]byte, 31) },
		"twice":                   func(p *Peers) { p.Hosts = append(p.Hosts, p.Hosts[0]) },
		"name of the world":       func(p *Peers) { p.Names = []Name{{Name: "example.com"}} },
		"short gossip key":        func(p *Peers) { p.Gossip.Use = []byte("x") },
	} {
		p := good()
		change(p)
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// An agent of the version before says only what is fully applied: that was planned for too.
func TestPlannedFor(t *testing.T) {
	for _, c := range []struct {
		r    Report
		want wire.Revision
	}{{Report{}, 0}, {Report{Work: 3, Seen: 5}, 3}, {Report{Work: 3, Seen: 5, Planned: 4}, 4}} {
		if got := c.r.PlannedFor(); got != c.want {
			t.Errorf("%+v is planned for %d, want %d", c.r, got, c.want)
		}
	}
}

func FuzzDecodeAssignment(f *testing.F) {
	c := goodContainer()
	c.Volumes, c.Check = []Volume{{Name: "data", Path: "/data"}}, &Check{Port: 80, Path: "/"}
	seed, _ := json.Marshal(Assignment{Work: &Work{Version: 1, Revision: 3, Containers: []Container{c}}})
	f.Add(string(seed))
	f.Add(`{"peers":{"version":1,"range4":"10.96.0.0/12","hosts":[]}}`)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := DecodeAssignment(strings.NewReader(s))
		if err != nil {
			return
		}
		again, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeAssignment(strings.NewReader(string(again))); err != nil {
			t.Errorf("what was accepted is refused when written again: %v", err)
		}
	})
}
