package place

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

const gib = int64(1) << 30

var cp = Layer{"hello", "cp"}

func node(reserved, dynamic int) Node {
	return Node{Layer: cp, Cloudlets: wire.Cloudlets{Reserved: reserved, Dynamic: dynamic}, DiskBytes: gib, Image: "sha256:n"}
}

func user(name string, change ...func(*Host)) Host {
	h := Host{ID: wire.HostID("h-" + name), Name: name, Role: host.RoleUser, State: operator.HostActive, Memory: 4 * gib, Disk: 100 * gib,
		Addresses: 200}
	for _, f := range change {
		f(&h)
	}
	return h
}

var (
	ssd  = &operator.PlaceSpec{Labels: map[string]string{"disk": "ssd"}}
	both = &operator.PlaceSpec{Labels: map[string]string{"disk": "ssd", "gpu": "a"}}
	inAB = &operator.PlaceSpec{Zones: []string{"b", "a"}}
)

func asks(n Node, p *operator.PlaceSpec) Node {
	n.Place = p
	return n
}

func has(pairs ...string) func(*Host) {
	return func(h *Host) {
		h.Labels = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			h.Labels[pairs[i]] = pairs[i+1]
		}
	}
}

func TestChoice(t *testing.T) {
	reserve := func(n int64) func(*Host) { return func(h *Host) { h.Reserved = n * wire.CloudletBytes } }
	for _, c := range []struct {
		name  string
		nodes []Node
		hosts []Host
		want  string // hosts in order, or what the refusal says
	}{
		{"spread over hosts first", []Node{node(1, 4), node(1, 4)}, []Host{user("a", reserve(8)), user("b")}, "a b"},
		{"then back to the first", []Node{node(1, 4), node(1, 4), node(1, 4)}, []Host{user("a"), user("b")}, "a b a"},
		{"best fit: the fuller one", []Node{node(1, 4)}, []Host{user("a"), user("b", reserve(20))}, "b"},
		{"the image decides among equals", []Node{node(1, 4)},
			[]Host{user("a"), user("b", func(h *Host) { h.Images = map[wire.Digest]bool{"sha256:n": true} })}, "b"},
		{"then the name", []Node{node(1, 4)}, []Host{user("b"), user("a")}, "a"},
		{"infra hosts take none", []Node{node(1, 4)}, []Host{user("a", func(h *Host) { h.Role = host.RoleInfra }), user("b")}, "b"},
		{"only infra", []Node{node(1, 4)}, []Host{user("a", func(h *Host) { h.Role = host.RoleInfra })}, "!no host for users"},
		{"none", []Node{node(1, 4)}, nil, "!no host for users"},
		{"not active", []Node{node(1, 4)}, []Host{user("a", func(h *Host) { h.State = operator.HostUnreachable })}, "!a is UNREACHABLE"},
		{"not licensed", []Node{node(1, 4)}, []Host{user("a", func(h *Host) { h.Unlicensed = "number 3 of 2" })},
			"!a is not licensed: number 3 of 2"},
		{"closed", []Node{node(1, 4)}, []Host{user("a", func(h *Host) { h.Closed = "on its DATA, metadata has no room" })},
			"!a takes no new nodes: on its DATA, metadata has no room"},
		{"closed, for what moves too", []Node{{Layer: cp, Cloudlets: wire.Cloudlets{Dynamic: 1}, Moves: true}},
			[]Host{user("a", func(h *Host) { h.Closed, h.Moves = "full", true }), user("b", func(h *Host) { h.Moves = true })}, "b"},
		{"excluded", []Node{{Layer: cp, Cloudlets: wire.Cloudlets{Dynamic: 1}, Not: "h-a"}}, []Host{user("a"), user("b")}, "b"},
		{"limit above the host's memory", []Node{node(0, 64)}, []Host{user("a"), user("b", func(h *Host) { h.Memory = 16 * gib })}, "b"},
		{"reserved is what counts, not the limit", []Node{node(1, 24), node(1, 24), node(1, 24)}, []Host{user("a")}, "a a a"},
		{"no memory left", []Node{node(4, 4)}, []Host{user("a", reserve(29))}, "!a has 256 MiB not reserved"},
		{"the second finds no room", []Node{node(20, 20), node(20, 20)}, []Host{user("a")}, "!a has"},
		{"no disk left", []Node{node(1, 1)}, []Host{user("a", func(h *Host) { h.DiskTaken = h.Disk })}, "!a has 0 MiB of disk left"},
		{"disk not known", []Node{node(1, 1)}, []Host{user("a", func(h *Host) { h.Disk, h.DiskTaken = 0, gib })}, "a"},
		{"no address left", []Node{node(1, 1)}, []Host{user("a", func(h *Host) { h.Addresses = 0 })}, "!a has no free address"},
		{"labels", []Node{asks(node(1, 1), ssd)}, []Host{user("a"), user("b", has("disk", "ssd"))}, "b"},
		{"all of them", []Node{asks(node(1, 1), both)}, []Host{user("a", has("disk", "ssd")), user("b", has("disk", "ssd", "gpu", "a"))},
			"b"},
		{"zones", []Node{asks(node(1, 1), inAB), asks(node(1, 1), inAB), asks(node(1, 1), inAB)},
			[]Host{user("a", has("zone", "c")), user("b", has("zone", "b")), user("c", has("zone", "a")), user("d")}, "b c b"},
		{"no host has it", []Node{asks(node(1, 1), ssd)}, []Host{user("a"), user("b", has("disk", "hdd")),
			user("c", has("disk", "ssd"), func(h *Host) { h.Role = host.RoleInfra })}, "!no host has label disk=ssd$"},
		{"nor two", []Node{asks(node(1, 1), both)}, []Host{user("a")}, "!no host has label disk=ssd, nor label gpu=a$"},
		{"one is lacking", []Node{asks(node(1, 1), both)}, []Host{user("a", has("disk", "ssd"))}, "!no host has label gpu=a$"},
		{"none has both", []Node{asks(node(1, 1), both)}, []Host{user("a", has("disk", "ssd")), user("b", has("gpu", "a"))},
			"!no host has label disk=ssd and label gpu=a together$"},
		{"no zone", []Node{asks(node(1, 1), inAB)}, []Host{user("a", has("zone", "c"))}, "!no host has label zone of a, b$"},
		{"those that have it are full", []Node{asks(node(4, 4), ssd)}, []Host{user("a"), user("b", has("disk", "ssd"), reserve(29))},
			"!b has 256 MiB not reserved, 4 reserved cloudlets are 512 MiB; 1 host does not have label disk=ssd$"},
		{"zones first", []Node{node(1, 4), node(1, 4), node(1, 4), node(1, 4)}, []Host{user("a", has("zone", "x")),
			user("b", has("zone", "x")), user("c", has("zone", "y"))}, "a c b c"},
		{"then a full zone's others", []Node{node(20, 20), node(20, 20), node(20, 20)}, []Host{user("a", has("zone", "x")),
			user("b", has("zone", "x")), user("c", has("zone", "y"))}, "a c b"},
		{"who is in none is in one", []Node{node(1, 4), node(1, 4), node(1, 4)}, []Host{user("a"), user("b"), user("c", has("zone", "y"))},
			"a c b"},
		{"infra hosts are in none", []Node{node(1, 4), node(1, 4)}, []Host{user("a", has("zone", "x")), user("b", has("zone", "x")),
			user("c", func(h *Host) { h.Role = host.RoleInfra })}, "a b"},
		{"what it replaces does not count", []Node{node(1, 4), {Layer: cp, Cloudlets: wire.Cloudlets{Dynamic: 4}, For: "h-b", Not: "h-b"}},
			[]Host{user("b", has("zone", "x"), func(h *Host) { h.Layers = map[Layer]int{cp: 1} }), user("c", has("zone", "x")),
				user("a", has("zone", "y"))}, "a c"},
	} {
		got, refusal := Place(c.nodes, c.hosts)
		var names []string
		for _, g := range got {
			names = append(names, strings.TrimPrefix(string(g.Host), "h-"))
			if g.Why == "" {
				t.Errorf("%s: no reason for %s", c.name, g.Host)
			}
		}
		if want, refused := strings.CutPrefix(c.want, "!"); refused {
			want, whole := strings.CutSuffix(want, "$")
			if refusal == nil || !strings.Contains(refusal.String(), want) || whole && refusal.String() != want {
				t.Errorf("%s: got %v, %v, want a refusal with %q", c.name, names, refusal, want)
			}
		} else if s := strings.Join(names, " "); s != c.want {
			t.Errorf("%s: got %q (%v), want %q", c.name, s, refusal, c.want)
		}
	}
}

func TestTooBig(t *testing.T) {
	_, r := Place([]Node{node(0, 64)}, []Host{user("a"), user("b", func(h *Host) { h.State = operator.HostUnreachable })})
	if r == nil || !r.TooBig || r.Largest != 4*gib-HostShare {
		t.Errorf("no host is ever large enough: %+v", r)
	}
	_, r = Place([]Node{node(0, 8)}, []Host{user("a", func(h *Host) { h.State = operator.HostUnreachable })})
	if r == nil || r.TooBig {
		t.Errorf("the host would be large enough: %+v", r)
	}
}

// Whatever the cluster: nothing is placed where it may not be, nothing is overbooked, and the order of the list does not matter.
func TestPlaceHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := make([]Host, rapid.IntRange(0, 6).Draw(t, "hosts"))
		for i := range hosts {
			hosts[i] = user(string(rune('a'+i)), func(h *Host) {
				h.Memory = rapid.Int64Range(0, 8*gib).Draw(t, "memory")
				h.Addresses = rapid.IntRange(0, 4).Draw(t, "addresses")
				h.Reserved = rapid.Int64Range(0, 4*gib).Draw(t, "reserved")
				h.State = rapid.SampledFrom([]operator.HostState{operator.HostActive, operator.HostActive,
					operator.HostUnreachable}).Draw(t, "state")
				h.Closed = rapid.SampledFrom([]string{"", "", "full", "fuller"}).Draw(t, "closed")
			})
		}
		nodes := make([]Node, rapid.IntRange(1, 8).Draw(t, "nodes"))
		for i := range nodes {
			nodes[i] = node(rapid.IntRange(0, 4).Draw(t, "r"), rapid.IntRange(4, 20).Draw(t, "d"))
		}
		got, refusal := Place(nodes, hosts)
		shuffled := slices.Clone(hosts)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		again, _ := Place(nodes, shuffled)
		if !slices.Equal(got, again) {
			t.Fatalf("the order of the hosts changes the choice: %v, %v", got, again)
		}
		if (refusal == nil) != (len(got) == len(nodes)) {
			t.Fatalf("%d of %d nodes placed, refusal %v", len(got), len(nodes), refusal)
		}
		for _, h := range hosts {
			count, taken := 0, h.Reserved
			for i, g := range got {
				if g.Host == h.ID {
					count++
					taken += reserved(nodes[i])
				}
			}
			if count > 0 && (h.State != operator.HostActive || h.Closed != "" || count > h.Addresses || taken > h.Memory-HostShare) {
				t.Fatalf("host %+v got %d nodes and has %d bytes reserved", h, count, taken)
			}
		}
	})
}

// places are some that nodes ask for.
var places = []*operator.PlaceSpec{nil, nil, ssd, inAB, {Labels: map[string]string{"disk": "ssd"}, Zones: []string{"a"}}}

func labels(t *rapid.T, h *Host) {
	h.Labels = rapid.SampledFrom([]map[string]string{nil, nil, {"disk": "ssd"}, {"zone": "a"}, {"zone": "b", "disk": "ssd"}, {"zone": "c"},
		{"zone": "a", "disk": "hdd"}}).Draw(t, "labels")
}

// The board finds the host that looking at all of them finds.
func TestBoardIsTheLongWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := make([]Host, rapid.IntRange(1, 12).Draw(t, "hosts"))
		for i := range hosts {
			hosts[i] = user(string(rune('a'+i)), func(h *Host) {
				h.Memory = HostShare + wire.CloudletBytes*rapid.Int64Range(0, 24).Draw(t, "memory") + rapid.Int64Range(0, 9).Draw(t, "odd")
				h.Disk = rapid.Int64Range(0, 8*gib).Draw(t, "disk")
				h.Addresses = rapid.IntRange(0, 6).Draw(t, "addresses")
				h.Reserved = rapid.Int64Range(0, gib).Draw(t, "reserved")
				h.Images = map[wire.Digest]bool{rapid.SampledFrom([]wire.Digest{"a", "b", "c"}).Draw(t, "image"): true}
				h.State = rapid.SampledFrom([]operator.HostState{operator.HostActive, operator.HostActive, operator.HostActive,
					operator.HostUnreachable}).Draw(t, "state")
				h.Closed = rapid.SampledFrom([]string{"", "", "full", "fuller"}).Draw(t, "closed")
				labels(t, h)
			})
		}
		b := NewBoard(hosts)
		b.Blocks(rapid.IntRange(0, 3).Draw(t, "blocks"), 2, "no block")
		for range rapid.IntRange(1, 20).Draw(t, "nodes") {
			n := Node{Layer: Layer{"e", wire.LayerName(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "layer"))}, DiskBytes: gib,
				Cloudlets: wire.Cloudlets{Reserved: rapid.IntRange(0, 6).Draw(t, "r"), Dynamic: rapid.IntRange(6, 16).Draw(t, "d")},
				Image:     rapid.SampledFrom([]wire.Digest{"a", "b", "c"}).Draw(t, "its image"),
				Not:       rapid.SampledFrom([]wire.HostID{"", "h-a"}).Draw(t, "not"),
				Place:     rapid.SampledFrom(places).Draw(t, "place"), For: rapid.SampledFrom([]wire.HostID{"", "h-b"}).Draw(t, "for")}
			want, in := -1, b.census(n)
			for _, i := range b.order {
				if s := b.slots[i]; b.check(n, &s.Host) == passes && (want < 0 || better(n, in, s, b.slots[want])) {
					want = i
				}
			}
			got, refusal := b.Place(n)
			if (want < 0) != (refusal != nil) || want >= 0 && got.Host != b.slots[want].ID {
				t.Fatalf("%+v goes to %q (%v), looking at all hosts gives number %d", n, got.Host, refusal, want)
			}
			if rapid.Bool().Draw(t, "retire") && refusal == nil {
				b.Retire(n.Layer, got.Host)
			}
		}
		counted := 0
		b.settle()
		for _, c := range b.classes {
			for _, l := range c.levels {
				counted += len(l.all)
			}
		}
		for _, s := range b.slots {
			if s.listed && b.open(&s.Host) {
				counted--
			}
		}
		if counted != 0 {
			t.Fatalf("the board holds %d hosts too many", counted)
		}
	})
}

// A board that is kept through changes and trials chooses as one made anew.
func TestBoardIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type on struct {
			id   wire.HostID
			node Node
			gone bool
		}
		hosts, nodes, blocks := map[wire.HostID]Host{}, []on{}, 0
		kept := &Board{}
		kept.Blocks(0, 2, "no block")
		images := []wire.Digest{"a", "b", "c"}
		wanted := func() Node {
			return Node{Layer: Layer{"e", wire.LayerName(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "layer"))}, DiskBytes: gib,
				Cloudlets: wire.Cloudlets{Reserved: rapid.IntRange(0, 6).Draw(t, "r"), Dynamic: rapid.IntRange(6, 16).Draw(t, "d")},
				Image:     rapid.SampledFrom(images).Draw(t, "image"), Place: rapid.SampledFrom(places).Draw(t, "place")}
		}
		fresh := func() *Board {
			b := &Board{}
			b.Blocks(blocks, 2, "no block")
			for _, h := range hosts {
				b.Set(h)
			}
			for _, n := range nodes {
				b.Add(n.id, n.node, n.gone)
			}
			return b
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				name := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "host")
				h := user(rapid.SampledFrom([]string{name, "z"}).Draw(t, "name"), func(h *Host) {
					h.ID = wire.HostID("h-" + name)
					h.Memory = HostShare + wire.CloudletBytes*rapid.Int64Range(0, 24).Draw(t, "memory")
					h.Addresses = rapid.IntRange(0, 6).Draw(t, "addresses")
					h.State = rapid.SampledFrom([]operator.HostState{operator.HostActive, operator.HostActive,
						operator.HostUnreachable}).Draw(t, "state")
					h.Closed = rapid.SampledFrom([]string{"", "", "full", "fuller"}).Draw(t, "closed")
					labels(t, h)
				})
				hosts[h.ID] = h
				kept.Set(h)
			},
			"drop": func(t *rapid.T) {
				id := rapid.SampledFrom([]wire.HostID{"h-a", "h-b", "h-c"}).Draw(t, "host")
				delete(hosts, id)
				kept.Drop(id)
			},
			"add": func(t *rapid.T) {
				n := on{rapid.SampledFrom([]wire.HostID{"h-a", "h-b", "h-c"}).Draw(t, "host"), wanted(), rapid.Bool().Draw(t, "gone")}
				nodes = append(nodes, n)
				kept.Add(n.id, n.node, n.gone)
			},
			"remove": func(t *rapid.T) {
				if len(nodes) == 0 {
					t.Skip("nothing is there")
				}
				i := rapid.IntRange(0, len(nodes)-1).Draw(t, "node")
				kept.Remove(nodes[i].id, nodes[i].node, nodes[i].gone)
				nodes = slices.Delete(nodes, i, i+1)
			},
			"blocks": func(t *rapid.T) {
				blocks = rapid.IntRange(0, 3).Draw(t, "blocks")
				kept.Blocks(blocks, 2, "no block")
			},
			"try": func(t *rapid.T) {
				version := kept.Version()
				kept.Try()
				other := fresh()
				moved := false
				for range rapid.IntRange(1, 5).Draw(t, "nodes") {
					n := wanted()
					from := rapid.SampledFrom([]wire.HostID{"h-a", "h-b", "h-c"}).Draw(t, "from")
					a, whyA, foundA := kept.Evener(n, from)
					b, whyB, foundB := other.Evener(n, from)
					if a != b || whyA != whyB || foundA != foundB {
						t.Fatalf("evener: %q %s, made anew %q %s", a, whyA, b, whyB)
					}
					c, ref := kept.Place(n)
					d, other := other.Place(n)
					if c != d || fmt.Sprint(ref) != fmt.Sprint(other) {
						t.Fatalf("%+v: %+v %v, made anew %+v %v", n, c, ref, d, other)
					}
					moved = moved || ref == nil
				}
				if kept.Undo() != moved || kept.Version() != version {
					t.Fatalf("undone: version %d, was %d; want something undone: %v", kept.Version(), version, moved)
				}
			},
		})
	})
}

// Spreading a layer better ends, with zones as even as they can be.
func TestEvenerEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hosts := make([]Host, rapid.IntRange(1, 6).Draw(t, "hosts"))
		for i := range hosts {
			hosts[i] = user(string(rune('a'+i)), func(h *Host) {
				h.Addresses = rapid.IntRange(0, 6).Draw(t, "addresses")
				labels(t, h)
			})
		}
		b, n := NewBoard(hosts), node(0, 1)
		n.Place = rapid.SampledFrom(places).Draw(t, "place")
		var on []wire.HostID
		for range rapid.IntRange(1, 10).Draw(t, "nodes") {
			h := rapid.SampledFrom(hosts).Draw(t, "on")
			b.Add(h.ID, n, false)
			on = append(on, h.ID)
		}
		for moves := 0; ; moves++ {
			moved := false
			for i, from := range on {
				to, why, ok := b.Evener(n, from)
				if !ok {
					continue
				}
				if why == "" || to == from {
					t.Fatalf("from %s to %s: %q", from, to, why)
				}
				if _, refusal := b.PlaceOn(to, n); refusal != nil {
					t.Fatalf("%s takes none: %v", to, refusal)
				}
				b.Remove(from, n, false)
				on[i], moved = to, true
				break
			}
			if !moved {
				break
			}
			if moves > 100 {
				t.Fatalf("it does not end: %v", on)
			}
		}
		in := b.census(n)
		for z, most := range in {
			for few, count := range in {
				if count+1 < most && b.bestIn(n, in, func(s *slot) bool { return s.zone() == few }) >= 0 {
					t.Fatalf("zone %q has %d, zone %q has room and %d", z, most, few, count)
				}
			}
		}
	})
}

// What a refusal says of a large cluster can be read.
func TestRefusalIsBounded(t *testing.T) {
	hosts := make([]Host, 5000)
	for i := range hosts {
		hosts[i] = user(fmt.Sprintf("host%04d", i), func(h *Host) { h.State = operator.HostUnreachable })
	}
	_, r := Place([]Node{node(1, 4)}, hosts)
	s := r.String()
	if len(s) > 2000 || !strings.HasPrefix(s, "host0000 is UNREACHABLE; host0001") ||
		!strings.HasSuffix(s, fmt.Sprintf("and %d hosts more can't take it either", 5000-mostReasons)) {
		t.Errorf("%d characters: %s", len(s), s)
	}
}

func BenchmarkPlace5000(b *testing.B) {
	hosts := make([]Host, 5000)
	for i := range hosts {
		hosts[i] = user(string(rune('a'+i%26)) + strings.Repeat("x", i%7))
		hosts[i].ID = wire.HostID(rune(i))
	}
	for b.Loop() {
		Place([]Node{node(1, 4)}, hosts)
	}
}
