package main

import (
	"testing"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/store"
)

// Nodes that serve are made anew one after the other: each is stopped once the resolver has said that it sends it nothing more and that
// nothing is under way to it, and the next one is left alone until the resolver was told that the one before serves again.
func TestRedeployDrains(t *testing.T) {
	t.Parallel()
	c, h1, h2, _, on1, on2 := two(t)
	infra, _ := c.join("infra1", 0)
	var self *identity.Holder
	c.eventually("the infra host's components are known", func() bool {
		for _, ct := range infra.Work().Containers {
			if ct.CTID == 4 {
				self = c.component(infra, 4)
			}
		}
		return self != nil
	})
	client, has := c.with(self), host.Routes{}
	held := func(busy string) (all map[wire.CTID]bool) { // what the resolver holds, once it has said what it held before
		said := ""
		for _, s := range has.Sites {
			for _, b := range s.Backends {
				if b.Held {
					said += "," + b.CTID.String() + ":" + busy
				}
			}
		}
		if said != "" {
			said = said[1:]
		}
		if doc, _ := c.routes(client, has.Revision, said); doc != nil {
			has = *doc
		}
		all = map[wire.CTID]bool{}
		for _, s := range has.Sites {
			for _, b := range s.Backends {
				all[b.CTID] = b.Held
			}
		}
		return all
	}
	generation := func(id wire.CTID) int64 {
		for _, w := range []host.Work{h1.Work(), h2.Work()} {
			if ct, there := w.Container(id); there {
				return ct.Generation
			}
		}
		return 0
	}
	c.eventually("the resolver knows both", func() bool { return len(held("0")) == 2 })
	_, err := c.o.store.Update(t.Context(), func(tx *store.Tx) error {
		m, _ := store.Templates.Read(tx, store.TemplateKey("nginx:1.22"))
		m.Digest = digest("another nginx")
		store.Templates.Put(tx, store.TemplateKey(m.Name), m)
		return nil
	})
	must(t, err)
	var a operator.Accepted
	c.ok("POST", "/api/v1/environments/hello/redeploy", operator.RedeployEnvironment{Layers: []operator.RedeployLayer{{Name: "cp"}}}, &a)
	op := a.Operation.ID
	first, second := on1, on2
	c.eventually("one is held", func() bool {
		all := held("1")
		if all[on2] {
			first, second = on2, on1
		}
		return all[first]
	})
	for range 5 {
		if all := held("1"); !all[first] || generation(first) != 1 {
			t.Fatalf("while a request is under way to node %s: held are %v, its generation is %d", first, all, generation(first))
		}
	}
	c.eventually("the first is made anew", func() bool {
		all := held("0")
		if all[second] && generation(first) == 1 || generation(second) != 1 {
			t.Fatalf("before the first: held are %v, generations %d and %d", all, generation(first), generation(second))
		}
		return generation(first) == 2
	})
	c.eventually("the second is made anew", func() bool {
		all := held("0")
		if all[first] && all[second] {
			t.Fatal("both are held")
		}
		if generation(second) == 2 && all[first] {
			t.Fatal("the second is stopped, and the resolver has not been told yet that the first serves")
		}
		return generation(second) == 2
	})
	if got := c.ended(op); got.State != operator.OpDone {
		t.Errorf("it ended as %+v", got)
	}
	c.eventually("both serve", func() bool { all := held("0"); return len(all) == 2 && !all[first] && !all[second] })
}
