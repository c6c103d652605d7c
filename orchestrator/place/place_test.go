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
			if refusal == nil || !strings.Contains(refusal.String(), want) {
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
			})
		}
		b := NewBoard(hosts)
		b.Blocks(rapid.IntRange(0, 3).Draw(t, "blocks"), 2, "no block")
		for range rapid.IntRange(1, 20).Draw(t, "nodes") {
			n := Node{Layer: Layer{"e", wire.LayerName(rapid.SampledFrom([]string{"x", "y"}).Draw(t, "layer"))}, DiskBytes: gib,
				Cloudlets: wire.Cloudlets{Reserved: rapid.IntRange(0, 6).Draw(t, "r"), Dynamic: rapid.IntRange(6, 16).Draw(t, "d")},
				Image:     rapid.SampledFrom([]wire.Digest{"a", "b", "c"}).Draw(t, "its image"),
				Not:       rapid.SampledFrom([]wire.HostID{"", "h-a"}).Draw(t, "not")}
			want := -1
			for _, i := range b.order {
				if s := b.slots[i]; b.check(n, &s.Host) == passes && (want < 0 || better(n, s, b.slots[want])) {
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
				Image:     rapid.SampledFrom(images).Draw(t, "image")}
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
					a, refusedA := kept.Empty(n)
					b, refusedB := other.Empty(n)
					if a != b || refusedA != refusedB {
						t.Fatalf("empty: %q, made anew %q", a, b)
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
