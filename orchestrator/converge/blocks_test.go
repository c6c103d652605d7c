package converge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/store"
)

// large gives hosts the memory for more nodes than a block has addresses.
func (w *world) large(hosts ...int) {
	for _, i := range hosts {
		w.report(i, operator.HostActive)
		w.in.Live[w.in.Hosts[i].ID].Report.Capacity.MemoryBytes = 1 << 40
	}
}

// crowd wants so many nodes, in environments of at most 100.
func (w *world) crowd(name string, nodes int) {
	for i := 0; nodes > 0; i++ {
		w.env(wire.EnvName(fmt.Sprintf("%s%d", name, i)), min(nodes, 100), store.WantRunning)
		nodes -= min(nodes, 100)
	}
}

// sound checks that each node has an address of its own in a block of its host, and that the others are told of all blocks.
func (w *world) sound(t *testing.T) {
	t.Helper()
	own, taken := map[wire.HostID][]netip.Prefix{}, map[netip.Prefix]wire.HostID{}
	for i, h := range w.in.Hosts {
		own[h.ID] = append([]netip.Prefix{h.Block4}, h.More...)
		for _, b := range own[h.ID] {
			if other, there := taken[b]; there {
				t.Errorf("hosts %s and %s have the block %s", other, h.ID, b)
			}
			taken[b] = h.ID
		}
		p := w.in.Peers.Hosts[i]
		if !slices.Equal(p.Moved, h.More) {
			t.Errorf("host %s has the further blocks %v, an orchestrator before this one goes on to publish %v", h.ID, h.More, p.Moved)
		}
		if h.Block6.IsValid() {
			own[h.ID] = append(own[h.ID], h.Block6)
		}
		told, has := slices.Clone(p.Blocks), slices.Clone(own[h.ID])
		for _, l := range [][]netip.Prefix{told, has} {
			slices.SortFunc(l, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
		}
		if p.ID != h.ID || !slices.Equal(told, has) {
			t.Errorf("host %s has the blocks %v, the others are told %v of %s", h.ID, has, told, p.ID)
		}
	}
	seen := map[netip.Addr]bool{}
	for _, n := range w.in.Nodes {
		for _, a := range []netip.Addr{n.Container.IPv4, n.Container.IPv6} {
			if !a.IsValid() {
				continue
			}
			if seen[a] || !slices.ContainsFunc(own[n.Host], func(b netip.Prefix) bool { return b.Contains(a) }) {
				t.Errorf("node %d on %s has the address %s: another one has it too (%v), or it is outside %v", n.CTID, n.Host, a, seen[a],
					own[n.Host])
			}
			seen[a] = true
		}
	}
}

// TestBlocksGrow: a host takes as many nodes as it has room for, whatever a block has addresses.
func TestBlocksGrow(t *testing.T) {
	for _, c := range []struct {
		nodes, hosts int
		blocks       string // what each user host has at the end beside its first
	}{
		{241, 1, "[]"},
		{242, 1, "[10.96.2.0/24]"},
		{300, 1, "[10.96.2.0/24]"},
		{483, 1, "[10.96.2.0/24 10.96.3.0/24]"},
		{1500, 1, "[10.96.2.0/24 10.96.3.0/24 10.96.4.0/24 10.96.5.0/24 10.96.6.0/24 10.96.7.0/24]"},
		{700, 2, "[10.96.3.0/24] [10.96.4.0/24]"},
	} {
		w := newWorld(c.hosts + 1)
		for i := range w.in.Hosts {
			w.in.Hosts[i].Block6 = netip.MustParsePrefix(fmt.Sprintf("fd48:4e00:0:%d::/64", i))
		}
		w.in.Cluster.Range6 = netip.MustParsePrefix("fd48:4e00::/48")
		for i := 1; i <= c.hosts; i++ {
			w.large(i)
		}
		w.crowd("e", c.nodes)
		p := w.turn("create")
		if len(w.in.Nodes) != c.nodes || len(p.Stuck) != 0 {
			t.Errorf("%d of %d nodes placed on %d hosts: %v", len(w.in.Nodes), c.nodes, c.hosts, p.Stuck)
		}
		var more []string
		for _, h := range w.in.Hosts[1:] {
			more = append(more, fmt.Sprint(h.More))
		}
		if got := strings.Join(more, " "); got != c.blocks {
			t.Errorf("%d nodes: further blocks %s, want %s", c.nodes, got, c.blocks)
		}
		w.sound(t)
		w.settled(t)
	}
}

// An address that was freed is given again before a host gets a block more, and rests while there are others.
func TestFurtherBlocksRest(t *testing.T) {
	w := newWorld(2)
	w.large(1)
	w.crowd("e", 400)
	w.turn("create")
	first := w.in.Nodes[:100]
	w.env("e0", 100, store.WantDeleted)
	w.turn("delete")
	w.large(1)
	w.turn("gone")
	freed := map[netip.Addr]bool{}
	for _, n := range first {
		freed[n.Container.IPv4] = true
	}
	w.env("next", 82, store.WantRunning)
	w.turn("as many as were never given")
	for _, n := range w.in.Nodes[300:] {
		if freed[n.Container.IPv4] {
			t.Fatalf("address %s is given again while others are free", n.Container.IPv4)
		}
	}
	w.env("more", 100, store.WantRunning)
	w.turn("the freed ones")
	if n := len(w.in.Hosts[1].More); n != 1 || len(w.in.Nodes) != 482 {
		t.Errorf("%d further blocks for %d nodes", n, len(w.in.Nodes))
	}
	w.sound(t)
}

// TestRangeExhausted: who needs a block when all are used is told so, and of what can be done. A host that leaves gives its blocks back.
func TestRangeExhausted(t *testing.T) {
	w := newWorld(3)
	w.in.Cluster.Range4 = netip.MustParsePrefix("10.96.0.0/22") // 4 blocks: of three hosts, and one more
	w.large(1, 2)
	w.crowd("e", 800)
	p := w.turn("create")
	if len(w.in.Nodes) != 3*blocks.Addresses || len(p.Stuck) != 1 {
		t.Errorf("%d nodes placed, want %d: %v", len(w.in.Nodes), 3*blocks.Addresses, p.Stuck)
	}
	const want = "host1 has no free address; host2 has no free address; range 10.96.0.0/22 has no block of addresses left: all 4 are used"
	if p.Stuck["e7"] != want {
		t.Errorf("told %q, want %q", p.Stuck["e7"], want)
	}
	w.sound(t)
	w.settled(t)
	x := w.in.index()
	x.Plan(w.in.Now)
	x.Looked()
	one := operator.EnvironmentSpec{Version: 1, Name: "one",
		Layers: []operator.LayerSpec{{Name: "cp", Template: "nginx", Nodes: 1, Cloudlets: wire.Cloudlets{Dynamic: 1}, DiskMiB: 64}}}
	_, problem := x.DryRun("admin", one)
	if problem == nil || problem.Code != operator.Exhausted || !strings.Contains(problem.Reason, "range 10.96.0.0/22") ||
		!strings.Contains(problem.Next, "hnctl host remove") {
		t.Errorf("a dry run: %+v", problem)
	}
	// The first host leaves, with whatever it has; its nodes go to the other one, which gets its blocks.
	had := append([]netip.Prefix{w.in.Hosts[1].Block4}, w.in.Hosts[1].More...)
	w.in.Hosts = slices.Delete(w.in.Hosts, 1, 2)
	delete(w.in.Live, "h-1")
	w.turn("host1 is removed")
	p = w.turn("its nodes are made anew")
	if len(w.in.Nodes) != 3*blocks.Addresses {
		t.Errorf("%d nodes, want %d: %v", len(w.in.Nodes), 3*blocks.Addresses, p.Stuck)
	}
	for _, b := range had {
		if !slices.Contains(w.in.Hosts[1].More, b) {
			t.Errorf("block %s of the host that left is not used: host2 has %v", b, w.in.Hosts[1].More)
		}
	}
	w.sound(t)
	w.settled(t)
}

// TestBlocksOfAnEarlierOrchestrator: one that was rolled back knows the first block alone. What it publishes leads to the others all the
// same, and where it counts on from is understood.
func TestBlocksOfAnEarlierOrchestrator(t *testing.T) {
	w := newWorld(2)
	w.large(1)
	w.crowd("e", 300)
	w.turn("create")
	w.settled(t)
	more := w.in.Hosts[1].More
	for i := range w.in.Peers.Hosts { // as it makes Peers: from the first block and what was in it before
		p := &w.in.Peers.Hosts[i]
		p.Blocks = p.Blocks[:1]
	}
	if told := w.in.Peers.Hosts[1].Moved; len(more) != 1 || !slices.Equal(told, more) {
		t.Fatalf("the further blocks are %v, published without them is %v", more, told)
	}
	w.in.Cursors["h-1"] = 17 // of the first block
	w.turn("the orchestrator is the present one again")
	w.sound(t)
	w.crowd("more", 100)
	w.turn("create more")
	w.sound(t)
	w.settled(t)
	if len(w.in.Nodes) != 400 || len(w.in.Hosts[1].More) != 1 {
		t.Errorf("%d nodes, further blocks %v", len(w.in.Nodes), w.in.Hosts[1].More)
	}
}
