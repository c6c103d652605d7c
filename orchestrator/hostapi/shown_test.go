package hostapi

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/store"
)

// TestShown: what follows from the store is with resolvers once each that asks says so; those that ask no more are nobody's matter, and
// without any nothing is shown.
func TestShown(t *testing.T) {
	c, now := newCited(), time.Now()
	rev := func() wire.Revision { return c.store.View().Revision() }
	shown := func(of wire.Revision, want bool, when string) {
		t.Helper()
		if got := c.routes.Shown(of, now); got != want {
			t.Errorf("%s: shown is %v", when, got)
		}
	}
	c.put(func(tx *store.Tx) { environment(tx, "a", store.WantRunning) })
	one := rev()
	c.routes.heard("r1", 1<<60, now)
	shown(one, false, "before there is a document")
	c.follow()
	first, _ := c.routes.Get()
	c.routes.heard("r1", 0, now)
	shown(one, false, "a resolver that has nothing")
	c.routes.heard("r1", first.Revision, now)
	shown(one, true, "a resolver that has it")
	shown(one+1, false, "what is not stored yet")
	c.put(func(tx *store.Tx) {
		store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test", Name: "other"})
	})
	two := rev()
	shown(two, false, "what is not followed yet")
	c.follow()
	shown(two, true, "what changes no site")
	c.put(func(tx *store.Tx) { environment(tx, "b", store.WantRunning) })
	c.follow()
	three := rev()
	second, _ := c.routes.Get()
	shown(three, false, "a resolver that has what was before")
	shown(one, true, "likewise, of what it has")
	c.routes.heard("r1", second.Revision, now)
	c.routes.heard("r2", first.Revision, now)
	shown(three, false, "one of two has it")
	now = now.Add(silent + time.Second)
	shown(three, false, "nobody asks any more")
	c.routes.heard("r1", second.Revision, now)
	shown(three, true, "the other one asks no more")
}
