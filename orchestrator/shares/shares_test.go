package shares

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/share"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// bench is a desk with its clock, and account acme's environment shop.
type bench struct {
	*Desk
	t   *testing.T
	now time.Time
}

func opened(t *testing.T) *bench {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	b := &bench{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	b.Desk = &Desk{Store: s, Now: func() time.Time { return b.now }}
	b.put(func(tx *store.Tx) {
		for _, name := range []wire.Account{"acme", "eve"} {
			store.Accounts.Put(tx, string(name), store.Account{Name: name, State: account.Active})
		}
		store.Envs.Put(tx, "shop", b.env("acme"))
	})
	return b
}

func (b *bench) env(of wire.Account) store.Environment {
	return store.Environment{Spec: operator.EnvironmentSpec{Name: "shop"}, Account: of, Want: store.WantRunning, Created: b.now}
}

func (b *bench) put(f func(*store.Tx)) {
	b.t.Helper()
	if _, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) offer(with wire.Account, role user.Role) error {
	_, err := b.Offer(b.t.Context(), "acme", "shop", share.NewShare{With: with, Role: role}, "ada")
	return err
}

func (b *bench) shared() {
	b.t.Helper()
	err := b.offer("eve", user.Developer)
	if err == nil {
		_, err = b.Accept(b.t.Context(), "eve", "shop")
	}
	if err != nil || Of(b.Store.View(), "shop", "eve") == nil {
		b.t.Fatalf("it is not shared: %v", err)
	}
}

func code(err error) operator.Code {
	var p *operator.Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// TestOffer: what can't be offered is refused, and an offer alone allows nothing.
func TestOffer(t *testing.T) {
	b := opened(t)
	for _, k := range []struct {
		caller, with wire.Account
		env          wire.EnvName
		role         user.Role
		want         operator.Code
	}{
		{"acme", "eve", "shop", user.Owner, operator.Invalid}, {"acme", "eve", "shop", "", operator.Invalid},
		{"acme", "acme", "shop", user.Viewer, operator.Invalid}, {"acme", wire.AdminAccount, "shop", user.Viewer, operator.Invalid},
		{"acme", "e!v", "shop", user.Viewer, operator.Invalid}, {"acme", "", "shop", user.Viewer, operator.Invalid},
		{"eve", "dan", "shop", user.Viewer, operator.NotFound}, {"acme", "eve", "nosuch", user.Viewer, operator.NotFound},
		{"", "eve", "shop", user.Viewer, operator.NotFound},
	} {
		_, err := b.Offer(t.Context(), k.caller, k.env, share.NewShare{With: k.with, Role: k.role}, "ada")
		if code(err) != k.want {
			t.Errorf("%+v: %v", k, err)
		}
	}
	if err := b.offer("eve", user.Developer); err != nil {
		t.Fatal(err)
	}
	if Of(b.Store.View(), "shop", "eve") != nil || len(With(b.Store.View(), "eve")) != 0 {
		t.Error("an offer counts before it is accepted")
	}
	for _, caller := range []wire.Account{"acme", "dan", wire.AdminAccount, ""} {
		if _, err := b.Accept(t.Context(), caller, "shop"); code(err) != operator.NotFound {
			t.Errorf("%q accepts eve's offer: %v", caller, err)
		}
	}
	b.now = b.now.Add(share.OfferFor)
	if _, err := b.Accept(t.Context(), "eve", "shop"); code(err) != operator.NotFound {
		t.Errorf("it is accepted too late: %v", err)
	}
	if err := b.offer("eve", user.Viewer); err != nil {
		t.Errorf("it can't be offered again: %v", err)
	}
	admins := b.env(wire.AdminAccount)
	b.put(func(tx *store.Tx) { store.Envs.Put(tx, "shop", admins) })
	_, err := b.Offer(t.Context(), wire.AdminAccount, "shop", share.NewShare{With: "dan", Role: user.Viewer}, "root")
	if code(err) != operator.Denied {
		t.Errorf("the admins' own environment is offered: %v", err)
	}
}

// TestMost: of offers that are made at the same moment no more come into being than an environment may have.
func TestMost(t *testing.T) {
	b := opened(t)
	var all sync.WaitGroup
	errs := make([]error, share.Most+8)
	for i := range errs {
		all.Go(func() { errs[i] = b.offer(wire.Account(fmt.Sprintf("a%d", i)), user.Viewer) })
	}
	all.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case code(err) != operator.Exhausted && !errors.Is(err, store.ErrBusy):
			t.Error(err)
		}
	}
	list, err := b.Given("acme", "shop")
	if made > share.Most || len(list) != made || err != nil {
		t.Errorf("%d were made, %d are listed, %v", made, len(list), err)
	}
	for i := made; i < share.Most; i++ { // who came too often at once tries again
		if err := b.offer(wire.Account(fmt.Sprintf("b%d", i)), user.Viewer); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.offer("last", user.Viewer); code(err) != operator.Exhausted {
		t.Errorf("one more: %v", err)
	}
}

// TestHolds: a transaction for somebody whom a share let in fails where the share ended meanwhile.
func TestHolds(t *testing.T) {
	b := opened(t)
	b.shared()
	tries := 0
	_, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
		if tries++; !Holds(tx, "shop", "eve", string(user.Developer)) {
			return errors.New("it has ended")
		}
		store.Numbers.Put(tx, "done", store.Number{Next: 1})
		if tries == 1 {
			if err := b.Remove(t.Context(), "acme", "shop", "eve"); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil || err.Error() != "it has ended" || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	b.shared()
	b.put(func(tx *store.Tx) {
		if Holds(tx, "shop", "eve", string(user.Viewer)) {
			t.Error("another role holds")
		}
	})
}

// TestOver: what ends a share for good, ends it at once and has its record removed; what does for a while leaves it.
func TestOver(t *testing.T) {
	for how, k := range map[string]struct {
		change func(*bench, *store.Tx)
		kept   bool
	}{
		"deleted": {change: func(b *bench, tx *store.Tx) {
			e := b.env("acme")
			e.Want = store.WantDeleted
			store.Envs.Put(tx, "shop", e)
		}},
		"in the trash": {change: func(b *bench, tx *store.Tx) {
			e := b.env("acme")
			e.Want, e.Trash = store.WantStopped, &store.Trash{At: b.now, Until: b.now.Add(time.Hour), By: "ada"}
			store.Envs.Put(tx, "shop", e)
		}},
		"gone":        {change: func(_ *bench, tx *store.Tx) { store.Envs.Delete(tx, "shop") }},
		"transferred": {change: func(b *bench, tx *store.Tx) { store.Envs.Put(tx, "shop", b.env("dan")) }},
		"made anew": {change: func(b *bench, tx *store.Tx) {
			e := b.env("acme")
			e.Created = e.Created.Add(time.Second)
			store.Envs.Put(tx, "shop", e)
		}},
		"its account suspended": {kept: true, change: func(_ *bench, tx *store.Tx) {
			store.Accounts.Put(tx, "acme", store.Account{Name: "acme", State: account.Suspended})
		}},
		"the other closing": {kept: true, change: func(_ *bench, tx *store.Tx) {
			store.Accounts.Put(tx, "eve", store.Account{Name: "eve", State: account.Closing})
		}},
		"the other erased":   {change: func(_ *bench, tx *store.Tx) { End(tx, "eve") }},
		"its account erased": {change: func(_ *bench, tx *store.Tx) { End(tx, "acme") }},
	} {
		b := opened(t)
		b.shared()
		b.put(func(tx *store.Tx) { k.change(b, tx) })
		v := b.Store.View()
		if Of(v, "shop", "eve") != nil || len(With(v, "eve")) != 0 {
			t.Errorf("%s: it counts still", how)
		}
		if err := b.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := store.Shares.Len(b.Store.View()) == 1; got != k.kept {
			t.Errorf("%s: its record is there: %v", how, got)
		}
	}
}

// TestTransferOffers: an offer to be another account's own is one at a time, allows nothing, is no share for whoever accepts it as one, and
// is only that account's to take, while both accounts may change something.
func TestTransferOffers(t *testing.T) {
	b := opened(t)
	fits := func(*store.Tx, store.Environment) error { return nil }
	give := func(caller, to wire.Account) error {
		_, err := b.Transfer(t.Context(), caller, "shop", to, "ada", fits)
		return err
	}
	take := func(caller wire.Account) (s store.Share, err error) {
		b.put(func(tx *store.Tx) { s, err = Transfer(tx, caller, "shop", b.now) })
		return s, err
	}
	state := func(name wire.Account, to account.State) {
		b.put(func(tx *store.Tx) { store.Accounts.Put(tx, string(name), store.Account{Name: name, State: to}) })
	}
	for _, k := range []struct {
		caller, to wire.Account
		want       operator.Code
	}{{"acme", "acme", operator.Invalid}, {"acme", wire.AdminAccount, operator.Invalid}, {"acme", "e!v", operator.Invalid},
		{"acme", "", operator.Invalid}, {"eve", "dan", operator.NotFound}, {"eve", "eve", operator.NotFound}, {"acme", "eve", ""},
		{"acme", "eve", operator.Conflict}, {"acme", "dan", operator.Conflict}} {
		if err := give(k.caller, k.to); code(err) != k.want {
			t.Errorf("%+v: %v", k, err)
		}
	}
	v := b.Store.View()
	if Of(v, "shop", "eve") != nil || len(With(v, "eve")) != 0 || !b.Offers("eve", "shop") || b.Offers("dan", "shop") {
		t.Error("the offer counts, or is not one")
	}
	if _, err := b.Accept(t.Context(), "eve", "shop"); code(err) != operator.Conflict {
		t.Errorf("it is accepted as a share: %v", err)
	}
	for _, caller := range []wire.Account{"acme", "dan", wire.AdminAccount, ""} {
		if _, err := take(caller); code(err) != operator.NotFound {
			t.Errorf("%q takes it: %v", caller, err)
		}
	}
	for _, name := range []wire.Account{"acme", "eve"} {
		for _, to := range []account.State{account.Suspended, account.Closing} {
			state(name, to)
			if _, err := take("eve"); code(err) != operator.Conflict {
				t.Errorf("with %s %s: %v", name, to, err)
			}
		}
		state(name, account.Trial)
	}
	if s, err := take("eve"); err != nil || s.By != "ada" {
		t.Errorf("it is %+v, %v", s, err)
	}
	b.now = b.now.Add(share.OfferFor)
	if _, err := take("eve"); code(err) != operator.NotFound {
		t.Errorf("it is taken too late: %v", err)
	}
	if err := give("acme", "dan"); err != nil {
		t.Errorf("when the offer is over: %v", err)
	}
	if err := b.offer("eve", user.Viewer); err != nil {
		t.Fatal(err)
	}
	if _, err := take("eve"); code(err) != operator.Conflict {
		t.Errorf("a share is taken as a transfer: %v", err)
	}
	b.put(func(tx *store.Tx) { // what no orchestrator writes
		s, _ := store.Shares.Read(tx, store.ShareKey("shop", "dan"))
		s.Since = b.now
		store.Shares.Put(tx, store.ShareKey("shop", "dan"), s)
	})
	if _, err := take("dan"); code(err) != operator.NotFound || Of(b.Store.View(), "shop", "dan") != nil {
		t.Errorf("one that looks accepted: %v", err)
	}
	b.put(func(tx *store.Tx) { e, _ := store.Envs.Read(tx, "shop"); EndAll(tx, e) })
	if n := store.Shares.Len(b.Store.View()); n != 0 {
		t.Errorf("%d are left", n)
	}
}
