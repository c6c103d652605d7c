package accounts

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// TestCountedOnce: what all accounts have, counted in one pass, is what each has, counted alone; one account is shown as the list has it.
func TestCountedOnce(t *testing.T) {
	b := opened(t)
	for i := range 6 {
		owner := wire.Account(fmt.Sprintf("a%d", i/2))
		b.kept(owner)
		b.put(func(tx *store.Tx) {
			name := wire.EnvName(fmt.Sprintf("e%d", i))
			e := store.Environment{Spec: spec(name), Account: owner, Want: store.WantRunning}
			e.System = i == 5
			store.Envs.Put(tx, string(name), e)
			n := store.Node{CTID: wire.CTID(100 + i), Env: name, Layer: e.Spec.Layers[0].Name, Cloudlets: wire.Cloudlets{Dynamic: 3 + i},
				Container: host.Container{}}
			store.Nodes.Put(tx, n.CTID.String(), n)
		})
	}
	each := b.sums.of(b.Store.View)
	if len(each) != 3 || each["a1"][account.Cloudlets] == 0 {
		t.Fatalf("counted %v", each)
	}
	for name, got := range each {
		if want := Has(b.Store.View(), name); !same(got, want) {
			t.Errorf("%s: %v in one pass, %v alone", name, got, want)
		}
	}
	for _, a := range b.List(wire.AdminAccount) {
		if one, err := b.Get(wire.AdminAccount, a.Name); err != nil || !reflect.DeepEqual(one, a) {
			t.Errorf("%s: listed as\n%+v, shown as\n%+v, %v", a.Name, a, one, err)
		}
		if _, err := b.Get("a0", a.Name); (err == nil) != (a.Name == "a0") {
			t.Errorf("a0 asks for %s: %v", a.Name, err)
		}
	}
}

// kept makes an account unless it is there.
func (b *bench) kept(name wire.Account) {
	if _, err := b.Get(wire.AdminAccount, name); err != nil {
		b.made(account.NewAccount{Name: name})
	}
}

// TestLooksWhenConcerned: what does not concern accounts is no reason to look at all environments again, what does is one.
func TestLooksWhenConcerned(t *testing.T) {
	b := opened(t)
	v := b.Store.View()
	b.put(func(tx *store.Tx) { store.Numbers.Put(tx, "ctid", store.Number{Next: 7}) })
	looks := make(chan struct{})
	view := func() *store.View {
		select {
		case looks <- struct{}{}:
		case <-t.Context().Done():
		}
		return b.Store.View()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool)
	go func() { done <- changed(ctx, view, v) }()
	again := func() {
		t.Helper()
		select {
		case <-looks:
		case <-done:
			t.Fatal("another table's change is a reason to look")
		}
	}
	again()
	b.put(func(tx *store.Tx) { store.Numbers.Put(tx, "ctid", store.Number{Next: 8}) })
	again() // it saw the first change, and waited on
	b.made(account.NewAccount{Name: "acme"})
	for over := false; !over; {
		select {
		case <-looks:
		case why := <-done:
			if over = true; !why {
				t.Error("the wait ended without a change")
			}
		}
	}
	cancel()
	if changed(ctx, b.Store.View, b.Store.View()) {
		t.Error("it goes on after its end")
	}
}
