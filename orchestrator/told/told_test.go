package told

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// cluster is a store, with what converge would write into it.
type cluster struct {
	t     *testing.T
	store *store.Memory
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t, store.NewMemory()}
	c.host("h-000000000001", "boot")
	c.env("jelastic", "admin", 3)
	return c
}

func (c *cluster) update(f func(tx *store.Tx)) {
	c.t.Helper()
	if _, err := c.store.Update(c.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		c.t.Fatal(err)
	}
}

// host puts a host into Peers, or with no boot takes it out.
func (c *cluster) host(id wire.HostID, boot string) {
	c.t.Helper()
	c.update(func(tx *store.Tx) {
		doc, _ := store.PeersDoc.Get(tx.View(), store.Only)
		doc.Version, doc.Revision, doc.Range4 = host.PeersVersion, doc.Revision+1, netip.MustParsePrefix("10.96.0.0/12")
		doc.Hosts = slices.DeleteFunc(slices.Clone(doc.Hosts), func(h host.Peer) bool { return h.ID == id })
		if boot != "" {
			doc.Hosts = append(doc.Hosts, host.Peer{ID: id, Name: "name-" + string(id), Role: host.RoleUser, Identity: make([]byte, 32),
				Boot: boot})
		}
		slices.SortFunc(doc.Hosts, func(a, b host.Peer) int { return strings.Compare(string(a.ID), string(b.ID)) })
		store.PeersDoc.Put(tx, store.Only, doc)
	})
}

func names(e wire.EnvName, nodes ...int) (n store.Names) {
	for _, i := range nodes {
		a := []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})}
		n.Nodes = append(n.Nodes, host.Name{Name: env.DNSName(wire.CTID(i), e), Addrs: a})
		n.Layers = []host.Name{{Name: "cp." + string(e) + ".internal", Addrs: a}}
	}
	return n
}

// env puts an environment and its names into the store, or with no nodes takes both out.
func (c *cluster) env(e wire.EnvName, a wire.Account, nodes ...int) {
	c.t.Helper()
	c.update(func(tx *store.Tx) {
		if len(nodes) == 0 {
			store.EnvNames.Delete(tx, string(e))
			store.Envs.Delete(tx, string(e))
			return
		}
		store.Envs.Put(tx, string(e), store.Environment{Spec: operator.EnvironmentSpec{Name: e}, Account: a, System: e == env.System})
		store.EnvNames.Put(tx, string(e), names(e, nodes...))
	})
}

// want is what a host shall have, worked out the long way.
func (c *cluster) want(accounts []wire.Account) string {
	v := c.store.View()
	doc, _ := store.PeersDoc.Get(v, store.Only)
	var all []host.Name
	groups := map[string][]netip.Addr{}
	for _, a := range slices.Compact(slices.Sorted(slices.Values(append([]wire.Account{""}, accounts...)))) {
		for e, n := range store.EnvNames.Refs(v) {
			group := host.PlatformGroup
			if e != string(env.System) {
				rec, ok := store.Envs.Get(v, e)
				if !ok || rec.Account.Owner() != a {
					continue
				}
				group = "account " + string(a)
			} else if a != "" {
				continue
			}
			all = append(append(all, n.Nodes...), n.Layers...)
			for _, n := range n.Nodes {
				groups[group] = append(groups[group], n.Addrs...)
			}
		}
	}
	return show(doc, all, groups)
}

func show(doc host.Peers, all []host.Name, groups map[string][]netip.Addr) string {
	var b strings.Builder
	fmt.Fprintf(&b, "peers %d:", doc.Revision)
	for _, h := range doc.Hosts {
		fmt.Fprintf(&b, " %s %s %s", h.ID, h.Name, h.Boot)
	}
	var lines []string
	for _, n := range all {
		lines = append(lines, fmt.Sprint("\n", n.Name, n.Addrs))
	}
	for g, addrs := range groups {
		slices.SortFunc(addrs, netip.Addr.Compare)
		lines = append(lines, fmt.Sprint("\n", g, addrs))
	}
	slices.Sort(lines)
	return b.String() + strings.Join(lines, "")
}

func has(k *host.Kept) string {
	groups := map[string][]netip.Addr{}
	for _, g := range k.Groups {
		groups[g.Name] = slices.Clone(g.Addrs)
	}
	return show(k.Peers, k.Names, groups)
}

// poll asks once, as a host would, over the wire; the number of bytes it is told.
func (c *cluster) poll(b *Book, k *host.Kept, accounts ...wire.Account) (*host.Kept, int, error) {
	c.t.Helper()
	var a host.Assignment
	a.PeersChange, a.Names = b.News(c.store.View(), k.Known(), accounts)
	if a == (host.Assignment{}) {
		return k, 0, nil
	}
	raw, err := json.Marshal(a)
	if err != nil {
		c.t.Fatal(err)
	}
	got, err := host.DecodeAssignment(strings.NewReader(string(raw)))
	if err != nil {
		c.t.Fatal(err)
	}
	next, err := k.Take(got)
	return next, len(raw), err
}

func (c *cluster) must(b *Book, k *host.Kept, accounts ...wire.Account) (*host.Kept, int) {
	c.t.Helper()
	next, n, err := c.poll(b, k, accounts...)
	if err != nil {
		c.t.Fatal(err)
	}
	if got, want := has(next), c.want(accounts); got != want {
		c.t.Fatalf("a host of %v has\n%s\nwant\n%s", accounts, got, want)
	}
	return next, n
}

// What a host is told costs what changed for it, and nothing if that is nothing.
func TestBytes(t *testing.T) {
	c, b := newCluster(t), &Book{}
	for i := range 200 {
		c.host(wire.HostID(fmt.Sprintf("h-%012d", i)), "boot")
		c.env(wire.EnvName(fmt.Sprintf("admin%d", i)), "admin", 1000+2*i, 1001+2*i)
	}
	c.env("shop", "bob", 500)
	admin, whole := c.must(b, nil, "admin")
	bob, _ := c.must(b, nil, "bob")
	none, few := c.must(b, nil)
	if whole < 40_000 || few > whole-20_000 {
		t.Errorf("the whole was %d bytes, of a host without containers %d", whole, few)
	}
	for _, s := range []struct {
		what   string
		do     func()
		others bool // hosts without containers of admin are told of it too
	}{
		{"an environment of admin", func() { c.env("more", "admin", 900, 901) }, false},
		{"a node more", func() { c.env("more", "admin", 900, 901, 902) }, false},
		{"an environment less", func() { c.env("admin3", "admin") }, false},
		{"a host", func() { c.host("h-000000000777", "boot") }, true},
		{"a host's new boot", func() { c.host("h-000000000777", "boot2") }, true},
		{"a host less", func() { c.host("h-000000000777", "") }, true},
		{"a component", func() { c.env("jelastic", "admin", 3, 4) }, true},
	} {
		s.do()
		var n, of, on int
		admin, n = c.must(b, admin, "admin")
		bob, of = c.must(b, bob, "bob")
		none, on = c.must(b, none)
		if n == 0 || n > 1200 || s.others != (of > 0) || s.others != (on > 0) || of > 1200 || on > 1200 {
			t.Errorf("%s: a host of its account is told %d bytes, one of another %d, one of none %d", s.what, n, of, on)
		}
	}
	// Another orchestrator, or this one after a restart, has nothing to tell to hosts that have it all.
	for k, a := range map[*host.Kept]wire.Account{admin: "admin", bob: "bob"} {
		if _, n := c.must(&Book{}, k, a); n != 0 {
			t.Errorf("after a restart a host of %s is told %d bytes", a, n)
		}
	}
	// And what happens after it has started it tells as a difference to what they had before.
	again := &Book{}
	again.Follow(c.store.View())
	c.host("h-000000000778", "boot")
	c.env("again", "admin", 950)
	if admin, n := c.must(again, admin, "admin"); n == 0 || n > 1200 || !strings.Contains(has(admin), "node950.again") {
		t.Errorf("after a restart and a change it is told %d bytes", n)
	}
	// A container of another account comes to a host and goes: it is told that account's names, and forgets them.
	both, n := c.must(b, admin, "bob", "admin")
	if n == 0 || n > 1000 || !strings.Contains(has(both), "node500.shop.internal") {
		t.Errorf("with bob's names a host is told %d bytes", n)
	}
	if one, n := c.must(b, both, "bob"); n == 0 || n > 1000 || strings.Contains(has(one), "admin7") {
		t.Errorf("without admin's names a host is told %d bytes", n)
	}
}

// An environment that comes into a group of its account is told of to the hosts of that account, and to no others.
func TestGroup(t *testing.T) {
	c, b := newCluster(t), &Book{}
	c.env("one", "admin", 10)
	c.env("two", "admin", 20)
	k, _ := c.must(b, nil, "admin")
	bob, _ := c.must(b, nil, "bob")
	c.update(func(tx *store.Tx) {
		e, _ := store.Envs.Read(tx, "two")
		e.Group = "apart"
		store.Envs.Put(tx, "two", e)
	})
	next, n, err := c.poll(b, k, "admin")
	if err != nil || n == 0 || len(next.Groups) != 3 || next.Groups[2].Name != "account admin group apart" ||
		len(next.Groups[2].Addrs) != 1 {
		t.Errorf("its hosts are told %d bytes and have %+v, %v", n, next.Groups, err)
	}
	if _, n, err := c.poll(b, bob, "bob"); n != 0 || err != nil {
		t.Errorf("hosts of another account are told %d bytes, %v", n, err)
	}
}

// A random history: whatever a host missed, and from whichever orchestrator it has what it has, it is told what leads to the whole.
func TestHistory(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := newCluster(t)
		accounts := []wire.Account{"admin", "bob", "eve", "zoe"}
		type member struct {
			kept *host.Kept
			of   []wire.Account
			away bool
		}
		hosts := make([]*member, 6)
		for i := range hosts {
			hosts[i] = &member{}
		}
		books := []*Book{{}, {}}
		owner := map[int]wire.Account{}
		whole := 0
		for step := range 150 {
			for range 1 + r.IntN(3) {
				switch i := r.IntN(12); r.IntN(10) {
				case 0:
					c.host(wire.HostID(fmt.Sprintf("h-%012d", i)), fmt.Sprint("boot", step))
				case 1:
					c.host(wire.HostID(fmt.Sprintf("h-%012d", i)), "")
				case 2:
					c.env(wire.EnvName(fmt.Sprintf("env%d", i)), "", []int{}...)
					delete(owner, i)
				case 3:
					c.env("jelastic", "admin", 3, 4+r.IntN(3))
				case 4: // the record goes before the names, or comes after them
					c.update(func(tx *store.Tx) { store.Envs.Delete(tx, fmt.Sprintf("env%d", i)) })
					delete(owner, i)
				case 5:
					books[r.IntN(len(books))] = &Book{} // another process
				default:
					if owner[i] == "" {
						owner[i] = accounts[r.IntN(len(accounts))]
					}
					nodes := []int{i * 20}
					for n := range r.IntN(4) {
						nodes = append(nodes, i*20+n+1)
					}
					c.env(wire.EnvName(fmt.Sprintf("env%d", i)), owner[i], nodes...)
				}
			}
			for _, h := range hosts {
				if r.IntN(4) == 0 {
					h.away = !h.away
				}
				if r.IntN(5) == 0 {
					h.of = slices.DeleteFunc(slices.Clone(accounts), func(wire.Account) bool { return r.IntN(2) == 0 })
				}
				if h.away {
					continue
				}
				b := books[r.IntN(len(books))]
				h.kept, _ = c.must(b, h.kept, h.of...)
				if _, n := c.must(b, h.kept, h.of...); n != 0 {
					t.Fatalf("seed %d, step %d: a host that has all is told %d bytes", seed, step, n)
				}
				if raw, err := json.Marshal(h.kept); err != nil || h.kept.Validate() != nil {
					t.Fatal(err, h.kept.Validate(), string(raw))
				}
			}
			if r.IntN(40) == 0 { // the store is brought back as it was, and goes another way
				whole++
				old := c.store
				c.store = store.NewMemory()
				c.update(func(tx *store.Tx) {
					doc, _ := store.PeersDoc.Get(old.View(), store.Only)
					store.PeersDoc.Put(tx, store.Only, doc)
					for e, n := range store.EnvNames.Refs(old.View()) {
						if rec, ok := store.Envs.Get(old.View(), e); ok && r.IntN(3) > 0 || e == "jelastic" {
							store.EnvNames.Put(tx, e, *n)
							store.Envs.Put(tx, e, rec)
						}
					}
				})
				books = []*Book{{}, {}}
			}
		}
		if whole == 0 && seed == 0 {
			t.Log("the store was never brought back with the first seed")
		}
	}
}

// What a poll costs is what it is told, whatever else there is: one that is told nothing, one that is told of one environment, and taking
// in what changed for all.
func TestCost(t *testing.T) {
	cost := func(envs int) (nothing, one, taken float64) {
		c, b := newCluster(t), &Book{}
		c.update(func(tx *store.Tx) {
			for i := range envs {
				e := wire.EnvName(fmt.Sprintf("e%d", i))
				store.Envs.Put(tx, string(e), store.Environment{Spec: operator.EnvironmentSpec{Name: e}, Account: "admin"})
				store.EnvNames.Put(tx, string(e), names(e, i))
			}
		})
		k, _ := c.must(b, nil, "admin")
		before := k.Known()
		c.env("e3", "admin", 1, 2)
		v := c.store.View()
		b.News(v, before, nil)
		all, _ := c.must(b, k, "admin")
		known := all.Known()
		nothing = testing.AllocsPerRun(100, func() { b.News(v, known, []wire.Account{"admin"}) })
		one = testing.AllocsPerRun(100, func() { b.News(v, before, []wire.Account{"admin"}) })
		changes, ok := v.Since(v.Revision() - 1)
		if !ok || len(changes) > 2 {
			t.Fatalf("%d changes, %v", len(changes), ok)
		}
		taken = testing.AllocsPerRun(100, func() {
			b.at = v.Revision() - 1
			b.Follow(v)
		})
		return nothing, one, taken
	}
	nothing, one, taken := cost(50)
	nothing2, one2, taken2 := cost(5000)
	// A hundred times as many environments: what grew with them would be far beyond twice as many. Below that the runtime's own
	// allocations, which are counted too, make a difference of a few.
	more := func(few, many float64) bool { return many > 2*few+10 }
	if more(nothing, nothing2) || more(one, one2) || more(taken, taken2) || nothing > 20 || one > 100 {
		t.Errorf("of 50 environments allocations are %v, %v and %v, of 5000 %v, %v and %v", nothing, one, taken, nothing2, one2, taken2)
	}
}

// More changes than the book remembers: a host that missed them is told all, once.
func TestLongAway(t *testing.T) {
	c, b := newCluster(t), &Book{}
	for i := range 8 {
		c.env(wire.EnvName(fmt.Sprintf("e%d", i)), "admin", i+10)
	}
	k, _ := c.must(b, nil, "admin")
	near, _ := c.must(b, nil, "admin")
	for i := range 3 * keptSteps {
		c.env("e1", "admin", 100+i)
		b.News(c.store.View(), host.Known{}, nil)
		if i == 3*keptSteps-10 {
			near, _ = c.must(b, near, "admin")
		}
	}
	news := func(k *host.Kept) host.AccountNames {
		peers, names := b.News(c.store.View(), k.Known(), []wire.Account{"admin"})
		if peers != nil || len(names.Accounts) != 2 {
			t.Fatalf("it is told %+v, %+v", peers, names)
		}
		return names.Accounts[1]
	}
	if n := news(k); n.From != 0 || len(n.Zones) != 8 {
		t.Errorf("after %d changes it is told %+v", 3*keptSteps, n)
	}
	if n := news(near); n.From == 0 || len(n.Zones) != 1 {
		t.Errorf("after 9 changes it is told %+v", n)
	}
	c.must(b, k, "admin")
}

// dependent are some of the sums that make nothing together: among more than there are bits in a sum, there always are some.
func dependent(sums map[wire.EnvName]host.Sum) []wire.EnvName {
	type row struct {
		sum host.Sum
		of  map[wire.EnvName]bool
	}
	basis := map[int]row{} // by the highest bit
	for e, s := range sums {
		r := row{s, map[wire.EnvName]bool{e: true}}
		for r.sum != 0 {
			top := bits.Len64(uint64(r.sum))
			b, ok := basis[top]
			if !ok {
				basis[top] = r
				break
			}
			r.sum ^= b.sum
			for e := range b.of {
				if r.of[e] {
					delete(r.of, e)
				} else {
					r.of[e] = true
				}
			}
		}
		if r.sum == 0 {
			return slices.Collect(maps.Keys(r.of))
		}
	}
	return nil
}

// Who makes many environments and knows all that is told of them can't find some that hosts are not told of when they go: whose names, and
// whose places in the account's group, hosts would keep.
func TestNobodyChoosesSums(t *testing.T) {
	c := newCluster(t)
	real, theirs := &Book{Key: []byte("only orchestrators know this")}, &Book{}
	for i := range 70 {
		c.env(wire.EnvName(fmt.Sprintf("e%d", i)), "eve", 100+i)
	}
	k, _ := c.must(real, nil, "eve")
	theirs.Follow(c.store.View())
	sums := map[wire.EnvName]host.Sum{}
	for e, z := range theirs.accounts["eve"].all {
		sums[e] = z.Sum
	}
	gone := dependent(sums)
	if len(gone) == 0 {
		t.Fatal("of 70 sums none depend on each other")
	}
	for _, e := range gone {
		c.env(e, "eve")
	}
	if _, n := c.must(real, k, "eve"); n == 0 {
		t.Errorf("%d environments went, and the host is told nothing", len(gone))
	}
	// Another orchestrator of the cluster, or this one after a restart, has nothing more to tell.
	k, _ = c.must(real, k, "eve")
	if _, n := c.must(&Book{Key: real.Key}, k, "eve"); n != 0 {
		t.Errorf("after a restart it is told %d bytes", n)
	}
	// What an orchestrator without the key told is told again, once.
	k, n := c.must(theirs, k, "eve")
	if n == 0 {
		t.Error("with other sums it is told nothing")
	}
	if k, n = c.must(real, k, "eve"); n == 0 {
		t.Error("with the sums of before it is told nothing")
	}
	if _, n = c.must(real, k, "eve"); n != 0 {
		t.Errorf("it has all, and is told %d bytes", n)
	}
}

// A host of very many accounts asks with one sum for all.
func TestManyAccounts(t *testing.T) {
	c, b := newCluster(t), &Book{}
	var of []wire.Account
	for i := range 20 {
		of = append(of, wire.Account(fmt.Sprintf("a%d", i)))
		c.env(wire.EnvName(fmt.Sprintf("e%d", i)), of[i], i+10)
	}
	k, _ := c.must(b, nil, of...)
	known := k.Known()
	for _, s := range known.Names {
		known.Total ^= s
	}
	known.Names = map[wire.Account]host.Sum{}
	if _, n := b.News(c.store.View(), known, of); n != nil {
		t.Errorf("it has all, and is told %+v", n)
	}
	c.env("e3", "a3", 99)
	_, n := b.News(c.store.View(), known, of)
	if n == nil || len(n.Accounts) != 21 {
		t.Fatalf("it is told %+v", n)
	}
	if k, err := k.Take(host.Assignment{Names: n}); err != nil || has(k) != c.want(of) {
		t.Errorf("%v, it has %s", err, has(k))
	}
}

// An earlier orchestrator kept the names of all in the document of Peers. While they are there, on the way to records of their own, hosts
// are told nothing of names: they keep those they have.
func TestMoving(t *testing.T) {
	c, b := newCluster(t), &Book{}
	c.env("web", "admin", 7)
	had, _ := c.must(b, nil, "admin")
	before := has(had)
	c.update(func(tx *store.Tx) {
		doc, _ := store.PeersDoc.Get(tx.View(), store.Only)
		doc.Names = names("web", 7).Nodes
		store.PeersDoc.Put(tx, store.Only, doc)
		store.EnvNames.Delete(tx, "web")
		store.EnvNames.Delete(tx, "jelastic")
	})
	for what, book := range map[string]*Book{"this": b, "another": {}} {
		k, n, err := c.poll(book, had, "admin")
		if err != nil || n != 0 || has(k) != before {
			t.Errorf("%s orchestrator told it %d bytes, %v: it has\n%s", what, n, err, has(k))
		}
	}
	for _, e := range []wire.EnvName{"jelastic", "web"} {
		c.update(func(tx *store.Tx) {
			store.EnvNames.Put(tx, string(e), names(e, map[wire.EnvName]int{"jelastic": 3, "web": 8}[e]))
		})
		if k, n, err := c.poll(b, had, "admin"); err != nil || n != 0 || has(k) != before {
			t.Errorf("with the names of %s it is told %d bytes, %v", e, n, err)
		}
	}
	c.update(func(tx *store.Tx) {
		doc, _ := store.PeersDoc.Get(tx.View(), store.Only)
		doc.Names = nil
		store.PeersDoc.Put(tx, store.Only, doc)
	})
	if k, n := c.must(b, had, "admin"); n == 0 || !strings.Contains(has(k), "node8.web") {
		t.Errorf("it is told %d bytes and has %s", n, has(k))
	}
}

// A host that has something else than the orchestrator thinks finds that out, and is told all when it says that it has nothing.
func TestOther(t *testing.T) {
	c, b := newCluster(t), &Book{}
	c.env("web", "admin", 7)
	k, _ := c.must(b, nil, "admin")
	c.env("web", "admin", 8)
	_, n := b.News(c.store.View(), k.Known(), []wire.Account{"admin"})
	spoilt := *k
	spoilt.Zones = slices.Clone(k.Zones)
	spoilt.Zones[0].Sum++
	if _, err := spoilt.Take(host.Assignment{Names: n}); !errors.Is(err, host.ErrOther) {
		t.Errorf("a host that has something else takes it in: %v", err)
	}
	c.must(b, nil, "admin")
}
