package main

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"hardnode.dev/internal/testkit/ports"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certify"
	"hardnode.dev/orchestrator/store"
)

// TestCertifyKilled: whoever asks the CA ends with nothing but what is stored at any of its calls, which the CA may have heard all the
// same; the next one goes on, and asks for no second certificate once the order was stored.
func TestCertifyKilled(t *testing.T) {
	t.Parallel()
	a := authority(t, 90*24*time.Hour, ports.Own(t), ports.Own(t), "PEBBLE_VA_ALWAYS_VALID=1")
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	must(t, err)
	defer s.Close()
	desk := func() *certify.Desk {
		return certify.New(&certify.Desk{Store: s, Keys: make([]byte, 32), Now: time.Now, Lookup: a.lookup,
			Shown: func(wire.Revision) bool { return true }})
	}
	must(t, desk().Set(t.Context(), acme.SetAcmeSettings{Directory: a.directory, Mail: "ada@example.com", AgreeTerms: true, CA: a.trust,
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, "admin"))
	put := func(f func(*store.Tx)) {
		t.Helper()
		_, err := s.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil })
		must(t, err)
	}
	put(func(tx *store.Tx) {
		store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test"})
		store.Envs.Put(tx, "shop", store.Environment{Spec: operator.EnvironmentSpec{Version: 1, Name: "shop"}, Account: "acme",
			Want: store.WantRunning})
	})
	// run has a desk at work on a name until it has a certificate, or until its kill-th call; 0: none.
	run := func(name string, kill int) {
		t.Helper()
		ctx, end := context.WithCancel(t.Context())
		defer end()
		calls := 0
		a.set(func() {
			a.called = func() {
				a.set(func() {
					if calls++; calls == kill {
						end()
					}
				})
			}
		})
		ended := make(chan error, 1)
		go func() { ended <- desk().Run(ctx) }()
		until(t, name+" has a certificate", func() bool {
			i := store.Issues.Find(s.View(), name)
			return ctx.Err() != nil || i != nil && i.Certificate != nil
		})
		end()
		must(t, <-ended)
	}
	late, again := 0, 0 // kills behind the order's record, and before it
	for kill := 1; kill <= 30; kill++ {
		name := fmt.Sprintf("n%d.example", kill)
		before := a.orders.Load()
		put(func(tx *store.Tx) { store.Domains.Put(tx, name, store.Domain{Name: name, Env: "shop"}) })
		run(name, kill)
		rec, _ := store.Issues.Get(s.View(), name)
		if rec.Certificate != nil {
			break // it has no more calls
		}
		run(name, 0)
		switch made := a.orders.Load() - before; {
		case rec.Order != nil:
			if late++; made != 1 {
				t.Errorf("ended at call %d, with the order stored: %d orders were made", kill, made)
			}
		default:
			if again++; made < 1 || made > 2 {
				t.Errorf("ended at call %d: %d orders were made", kill, made)
			}
		}
		put(func(tx *store.Tx) { store.Askeds.Delete(tx, "acme") }) // the limit is nobody's matter here
	}
	if late < 3 || again < 1 {
		t.Errorf("it ended %d times behind the order's record, %d times before it: too few", late, again)
	}
	t.Logf("ended %d times behind the order's record, %d times before it", late, again)
}
