package accounts

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// same tells whether two amounts are: a kind that is not in one is none of it.
func same(a, b Amount) bool {
	for _, k := range account.Kinds {
		if a[k] != b[k] {
			return false
		}
	}
	return true
}

// TestSumsAreTheLongWay: over any history, the sums are what looking at everything finds, however much happens between two looks.
func TestSumsAreTheLongWay(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := opened(t)
		name := func(n int) string { return fmt.Sprintf("e%d", r.IntN(n)) }
		for step := range 150 {
			b.put(func(tx *store.Tx) {
				if host := fmt.Sprintf("d%d.example", r.IntN(5)); r.IntN(3) == 0 {
					store.Domains.Put(tx, host, store.Domain{Name: host, Env: wire.EnvName(name(9))})
				} else if r.IntN(6) == 0 {
					store.Domains.Delete(tx, host)
				}
				switch r.IntN(8) {
				case 0, 1, 2:
					e := store.Environment{Spec: spec(wire.EnvName(name(8))), Account: wire.Account(fmt.Sprintf("a%d", r.IntN(4))),
						Want: store.WantRunning, System: r.IntN(9) == 0}
					if r.IntN(5) == 0 {
						e.Want = store.WantDeleted
					}
					e.Spec.Layers[0].Nodes = r.IntN(3)
					store.Envs.Put(tx, string(e.Spec.Name), e)
				case 3:
					store.Envs.Delete(tx, name(8))
				case 4, 5:
					n := store.Node{CTID: wire.CTID(100 + r.IntN(12)), Env: wire.EnvName(name(9)), Layer: "cp", Index: r.IntN(3),
						Cloudlets: wire.Cloudlets{Dynamic: 1 + r.IntN(9)}, Gone: r.IntN(6) == 0}
					store.Nodes.Put(tx, n.CTID.String(), n)
				case 6:
					store.Nodes.Delete(tx, wire.CTID(100+r.IntN(12)).String())
				default:
					hash := fmt.Sprintf("t%d", r.IntN(5))
					if store.Tokens.Delete(tx, hash); r.IntN(2) == 0 {
						store.Tokens.Put(tx, hash, store.Token{Hash: hash, Account: wire.Account(fmt.Sprintf("a%d", r.IntN(6)))})
					}
					d := host.Template{Image: host.Image{Name: "nginx:1"}, Profile: host.ProfileApp}
					if r.IntN(2) == 0 {
						d.Account = "a1"
					}
					store.Templates.Put(tx, store.TemplateKey("nginx:1"), d)
				}
			})
			if r.IntN(3) == 0 {
				continue
			}
			v, got := b.Store.View(), b.sums.of(b.Store.View)
			for i := range 7 {
				of := wire.Account(fmt.Sprintf("a%d", i))
				x, there := got[of]
				if !same(x, Has(v, of)) || there != known(v, of) {
					t.Fatalf("seed %d, step %d: account %s has %v (there %v), want %v (%v)", seed, step, of, x, there, Has(v, of),
						known(v, of))
				}
			}
		}
	}
}

// TestRoomCostsTheAccount: whether an account may have more is looked up by its own environments and by the templates that are meant,
// however many others have.
func TestRoomCostsTheAccount(t *testing.T) {
	cost := func(others int) float64 {
		b := opened(t)
		for at := 0; at < others; at += 50 {
			b.put(func(tx *store.Tx) {
				for i := at; i < min(others, at+50); i++ {
					e := store.Environment{Spec: spec(wire.EnvName(fmt.Sprintf("e%d", i))), Account: "shop", Want: store.WantRunning}
					store.Envs.Put(tx, string(e.Spec.Name), e)
					d := host.Template{Image: host.Image{Name: wire.TemplateName(fmt.Sprintf("t%d:1", i))}, Account: "shop"}
					store.Templates.Put(tx, store.TemplateKey(d.Name), d)
				}
			})
		}
		b.made(account.NewAccount{Name: "acme", Limits: account.Limits{account.Environments: 3}})
		for _, name := range []wire.EnvName{"one", "two"} {
			if err := b.make("acme", spec(name)); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for e := range store.EnvsOf.Of(b.Store.View(), "acme") {
			if n++; e.Account != "acme" {
				t.Fatalf("among what is acme's is %s of %s", e.Spec.Name, e.Account)
			}
		}
		if n != 2 {
			t.Fatalf("%d environments are acme's, want 2", n)
		}
		return testing.AllocsPerRun(20, func() {
			if p := b.Room("acme", spec("three")); p != nil {
				t.Fatal(p)
			}
		})
	}
	few, many := cost(50), cost(5000)
	// The runtime's own allocations, which are counted too, make a difference of a few; five thousand looked at would be thousands.
	if many > 2*few+200 {
		t.Errorf("with 50 environments and templates of others %v allocations, with 5000 %v", few, many)
	}
}

// TestListCostsTheAccounts: a hundred times as many environments cost the list of accounts no more, nor does one that changed.
func TestListCostsTheAccounts(t *testing.T) {
	cost := func(envs int) (list, changed float64, looked int) {
		b := opened(t)
		for at := 0; at < envs; at += 50 {
			b.put(func(tx *store.Tx) {
				for i := at; i < min(envs, at+50); i++ {
					e := store.Environment{Spec: spec(wire.EnvName(fmt.Sprintf("e%d", i))), Account: wire.Account(fmt.Sprintf("a%d", i%5)),
						Want: store.WantRunning}
					store.Envs.Put(tx, string(e.Spec.Name), e)
					for n := range 2 {
						node := store.Node{CTID: wire.CTID(100 + 2*i + n), Env: e.Spec.Name, Layer: "cp", Index: n}
						store.Nodes.Put(tx, node.CTID.String(), node)
					}
				}
			})
		}
		if n := len(b.List(wire.AdminAccount)); n != 6 {
			t.Fatalf("%d accounts are listed", n)
		}
		list = testing.AllocsPerRun(20, func() { b.List(wire.AdminAccount) })
		b.put(func(tx *store.Tx) {
			e, _ := store.Envs.Read(tx, "e3")
			e.Want = store.WantDeleted
			store.Envs.Put(tx, "e3", e)
		})
		v, before := b.Store.View(), b.sums.looked
		b.List(wire.AdminAccount)
		looked = b.sums.looked - before
		changed = testing.AllocsPerRun(20, func() {
			b.sums.mu.at = v.Revision() - 1
			b.List(wire.AdminAccount)
		})
		return list, changed, looked
	}
	list, changed, looked := cost(50)
	list2, changed2, looked2 := cost(5000)
	// The runtime's own allocations, which are counted too, make a difference of a few.
	if list2 > 2*list+10 || changed2 > 2*changed+10 || looked != 1 || looked2 != 1 {
		t.Errorf("of 50 environments: %v and %v allocations, %d looked at; of 5000: %v and %v, %d", list, changed, looked, list2, changed2,
			looked2)
	}
}
