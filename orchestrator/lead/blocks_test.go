package lead

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/blocks"
	"hardnode.dev/orchestrator/store"
)

// crowded is a cluster of large hosts whose range has 8 blocks.
func crowded() *cluster {
	c := newCluster()
	c.update(func(tx *store.Tx) {
		rec, _ := store.Clusters.Read(tx, store.Only)
		rec.Range4 = netip.MustParsePrefix("10.96.0.0/21")
		store.Clusters.Put(tx, store.Only, rec)
		store.Numbers.Put(tx, "block", store.Number{Next: 4})
		store.Hosts.Delete(tx, "h-3")
	})
	c.restart()
	for _, a := range c.agents {
		a.rep.Capacity.MemoryBytes, a.rep.Capacity.DiskBytes = 1<<40, 1<<50
	}
	c.license.Hosts = 20
	c.pass(2e9)
	return c
}

// crowd makes an environment of so many nodes.
func (c *cluster) crowd(name wire.EnvName, nodes int) {
	c.update(func(tx *store.Tx) {
		if _, there := store.Envs.Read(tx, string(name)); there {
			return
		}
		spec := operator.EnvironmentSpec{Version: 1, Name: name,
			Layers: []operator.LayerSpec{{Name: "cp", Template: "t0", Nodes: nodes, Cloudlets: wire.Cloudlets{Dynamic: 4}}}}
		store.Envs.Put(tx, string(name), store.Environment{Account: wire.AdminAccount, Want: store.WantRunning, Created: c.now, Spec: spec})
	})
}

// enroll does what orchestrator/enroll does with blocks; false: there is none left.
func (c *cluster) enroll() bool {
	joined := false
	c.update(func(tx *store.Tx) {
		var used blocks.Ledger
		rec, _ := store.Clusters.Read(tx, store.Only)
		used.Within(rec.Range4)
		for h := range store.Hosts.Rows(tx.View()) {
			for _, b := range append([]netip.Prefix{h.Block4}, h.More...) {
				used.Use(b, 1)
			}
		}
		for n := range store.Nodes.Rows(tx.View()) {
			used.Use(blocks.Around(n.Container.IPv4), 1)
		}
		given, _ := store.Numbers.Read(tx, "block")
		n, block, next, ok := used.Give(int(given.Next), nil)
		if joined = ok; !ok {
			return
		}
		store.Numbers.Put(tx, "block", store.Number{Next: int64(next)})
		c.joined++
		h := store.Host{ID: wire.HostID(fmt.Sprintf("h-j%d", c.joined)), Name: fmt.Sprintf("joined%d", c.joined), Role: "user",
			Number: n, Order: int64(c.joined), Joined: c.now, Block4: block}
		a := &agent{states: map[wire.CTID]host.ContainerState{}, rep: c.agents["h-1"].rep}
		a.rep.Underlay = netip.AddrFrom4([4]byte{10, 78, 0, byte(c.joined)})
		c.agents[h.ID] = a
		store.Hosts.Put(tx, string(h.ID), h)
	})
	return joined
}

// apart says what is wrong with the blocks of a state: each is one host's, and nodes have addresses in those of their host.
func apart(v *store.View) error {
	own := map[netip.Prefix]string{}
	for id, h := range store.Hosts.Refs(v) {
		for _, b := range append([]netip.Prefix{h.Block4}, h.More...) {
			if other, there := own[b]; there {
				return fmt.Errorf("hosts %s and %s have the block %s", other, id, b)
			}
			own[b] = id
		}
	}
	for n := range store.Nodes.Rows(v) {
		h := store.Hosts.Find(v, string(n.Host))
		if b := blocks.Around(n.Container.IPv4); h != nil && own[b] != string(n.Host) {
			return fmt.Errorf("node %d on %s has the address %s, which is in a block of %q", n.CTID, n.Host, n.Container.IPv4, own[b])
		}
	}
	return nil
}

// Over any history of crowds that come and go, hosts that join and leave: what is planned from what changed is what is planned from
// everything, blocks are one host's each, after each transaction, and who has no address is told so while no block is left, and at no other
// time.
func TestBlocksOverHistories(t *testing.T) {
	histories, grown, exhausted, again := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		if histories++; histories > 8 { // each has many nodes
			return
		}
		c := crowded()
		c.limit = limits{records: 150, bytes: 1 << 20}
		c.restart()
		ever := map[netip.Prefix]bool{}
		for i := range rapid.SampledFrom([]int{9, 6, 12}).Draw(t, "events") {
			name := wire.EnvName(fmt.Sprintf("e%d", rapid.IntRange(0, 11).Draw(t, "environment")))
			switch rapid.SampledFrom([]string{"crowd", "crowd", "crowd", "join", "delete", "leave", "join", "restart"}).Draw(t, "what") {
			case "crowd":
				c.crowd(name, rapid.SampledFrom([]int{1, 240, 400, 700}).Draw(t, "nodes"))
			case "delete":
				c.happen(event{"delete", i, 0, 0})
			case "join":
				c.enroll()
			case "leave":
				if id := c.some(rapid.IntRange(0, 59).Draw(t, "host")); id != "h-0" {
					c.update(func(tx *store.Tx) { store.Hosts.Delete(tx, string(id)) })
				}
			case "restart":
				c.restart()
			}
			c.door = func() error { return apart(c.memory.View()) }
			for round := range 3 {
				long := c.long()
				c.loop.catchUp()
				if d := differ(c.loop.mu.index.Plan(c.now), long); d != "" {
					t.Fatalf("event %d, round %d: the plan of what changed and the plan of everything differ in %s", i, round, d)
				}
				if err := c.loop.Once(t.Context()); err != nil {
					t.Fatalf("event %d, round %d: %v", i, round, err)
				}
				c.pass(1e9)
			}
			v := c.memory.View()
			if err := apart(v); err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
			if err := valid(v); err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
			had := 1
			for h := range store.Hosts.Rows(v) {
				for _, b := range append([]netip.Prefix{h.Block4}, h.More...) {
					if b != h.Block4 && !ever[b] {
						grown++
					}
					ever[b] = true
				}
				if had += 1 + len(h.More); h.Number == 0 {
					had--
				}
			}
			for _, why := range c.loop.Last().Stuck {
				if !strings.Contains(why, "no block of addresses left") && !strings.Contains(why, "no host for users") {
					t.Fatalf("event %d: stuck: %s", i, why)
				}
				if strings.Contains(why, "no block of addresses left") {
					if exhausted++; had != 8 {
						t.Fatalf("event %d: %d of 8 blocks are had, and somebody is told: %s", i, had, why)
					}
				}
			}
			if n, _ := store.Numbers.Get(v, "block"); n.Next > 8 {
				again++
			}
		}
	})
	t.Logf("%d blocks given to hosts that had some, %d times there was none left, %d times one was given again", grown, exhausted, again)
	if !t.Failed() && grown == 0 {
		t.Error("no host got a block more: the histories show nothing")
	}
}

// A host that joins while a plan is being carried out gets another block than the plan gives.
func TestBlockAgainstEnrolment(t *testing.T) {
	for _, given := range []int64{4, 8, 9} { // 8: all were given once, and the one of h-3 came back
		c := crowded()
		c.update(func(tx *store.Tx) { store.Numbers.Put(tx, "block", store.Number{Next: given}) })
		must(t, c.loop.Once(t.Context()))
		c.pass(2e9)
		c.crowd("e0", 700)
		joined, transactions := false, 0
		c.door = func() error {
			if transactions++; transactions == 1 {
				joined = c.enroll()
			}
			return nil
		}
		must(t, c.loop.Once(t.Context()))
		if !joined || transactions < 2 {
			t.Errorf("after %d blocks: joined %v, %d transactions: the plan was to be made again", given, joined, transactions)
		}
		must(t, apart(c.memory.View()))
		must(t, valid(c.memory.View()))
		var more []netip.Prefix
		for h := range store.Hosts.Rows(c.memory.View()) {
			more = append(more, h.More...)
		}
		if len(more) == 0 || len(slices.Compact(more)) != len(more) {
			t.Errorf("after %d blocks: further blocks %v", given, more)
		}
	}
}
