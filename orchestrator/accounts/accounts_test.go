package accounts

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// bench is a desk, and its clock.
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
	t.Cleanup(func() { s.Close() })
	b := &bench{t: t, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	b.Desk = &Desk{Store: s, Now: func() time.Time { return b.now }}
	return b
}

func (b *bench) put(f func(*store.Tx)) {
	b.t.Helper()
	if _, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error { f(tx); return nil }); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) made(n account.NewAccount) account.Account {
	b.t.Helper()
	a, err := b.Create(b.t.Context(), n, "admin")
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *bench) changed(name wire.Account, c account.ChangeAccount) account.Account {
	b.t.Helper()
	a, err := b.Change(b.t.Context(), name, c)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func (b *bench) step1() {
	b.t.Helper()
	if err := b.step(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func to[T any](v T) *T { return &v }

// env is an environment of two nodes of four cloudlets.
func spec(name wire.EnvName) operator.EnvironmentSpec {
	return operator.EnvironmentSpec{Version: 1, Name: name, Layers: []operator.LayerSpec{{Name: "cp", Template: "nginx:1", Nodes: 2,
		Cloudlets: wire.Cloudlets{Reserved: 1, Dynamic: 4}, DiskMiB: 100, Volumes: []operator.VolumeSpec{{Path: "/data", DiskMiB: 50}}}}}
}

func (b *bench) make(owner wire.Account, s operator.EnvironmentSpec) error {
	_, err := b.Store.Update(b.t.Context(), func(tx *store.Tx) error {
		if err := AdmitEnvironment(tx, owner, s); err != nil {
			return err
		}
		store.Envs.Put(tx, string(s.Name), store.Environment{Spec: s, Account: owner, Want: store.WantRunning})
		return nil
	})
	return err
}

func problem(t *testing.T, err error, code operator.Code, words ...string) {
	t.Helper()
	var p *operator.Problem
	if !errors.As(err, &p) || p.Code != code {
		t.Errorf("got %v, want a problem %s with %q", err, code, words)
		return
	}
	for _, w := range words {
		if !strings.Contains(p.Error(), w) {
			t.Errorf("got %v, want %q in it", p, w)
		}
	}
}

// TestLimits: what an account has is counted from what is wanted and from what is there; the first thing over a limit is refused, with the
// limit named, and nothing is made.
func TestLimits(t *testing.T) {
	b := opened(t)
	limits := account.Limits{account.Environments: 2, account.Nodes: 100}
	if _, err := b.SetGroup(t.Context(), "small", account.SetAccountGroup{Limits: limits}); err != nil {
		t.Fatal(err)
	}
	b.made(account.NewAccount{Name: "acme", Group: "small", Limits: account.Limits{account.Cloudlets: 20, account.Disk: 1000}})
	for i, s := range []operator.EnvironmentSpec{spec("one"), spec("two")} {
		if err := b.make("acme", s); err != nil {
			t.Fatalf("environment %d: %v", i, err)
		}
	}
	big := spec("three")
	big.Layers[0].Nodes = 3
	err := b.make("acme", big)
	problem(t, err, operator.Exhausted, "limit environments: each account of group small may have 2, 2 are taken, and this takes 1 more",
		"limit cloudlets: account acme may have 20, 16 are taken, and this takes 12 more",
		"limit diskMiB: account acme may have 1000, 600 are taken, and this takes 450 more")
	if _, ok := store.Envs.Get(b.Store.View(), "three"); ok {
		t.Error("it was made all the same")
	}
	// A node counts as it is, not as its layer says; one that takes its place does not count twice, one that goes not at all.
	b.put(func(tx *store.Tx) {
		for i, n := range []store.Node{{Index: 0, Cloudlets: wire.Cloudlets{Dynamic: 6}}, {Index: 0, Replaces: 100}, {Index: 1, Gone: true},
			{Index: 1, Cloudlets: wire.Cloudlets{Dynamic: 5}}} {
			n.CTID, n.Env, n.Layer = wire.CTID(100+i), "one", "cp"
			n.Container = host.Container{Limits: host.Limits{DiskBytes: 10 << 20}}
			store.Nodes.Put(tx, n.CTID.String(), n)
		}
	})
	want := Amount{account.Environments: 2, account.Nodes: 4, account.Cloudlets: 6 + 5 + 8, account.Disk: 20 + 300, account.Addresses: 0}
	if got := Has(b.Store.View(), "acme"); !reflect.DeepEqual(got, want) {
		t.Errorf("it has %v, want %v", got, want)
	}
	// A limit that is lowered stops nothing that is there, and what takes no more is admitted.
	a := b.changed("acme", account.ChangeAccount{Limits: map[account.Kind]*int64{account.Cloudlets: to(int64(1)), account.Disk: nil}})
	for _, u := range a.Use {
		if u.Kind == account.Cloudlets && (u.Used != 19 || *u.Limit != 1 || u.From != account.FromAccount) ||
			u.Kind == account.Disk && u.Limit != nil || u.Kind == account.Environments && u.From != account.FromGroup {
			t.Errorf("it is shown as %+v", u)
		}
	}
	b.put(func(tx *store.Tx) {
		if err := Admit(tx, "acme", "nodes/100", Amount{account.Cloudlets: -1, account.Disk: 1 << 20}); err != nil {
			t.Error(err)
		}
		problem(t, Admit(tx, "acme", "nodes/100", Amount{account.Cloudlets: 1}), operator.Exhausted, "nodes/100", "limit cloudlets")
		if err := Admit(tx, "admin", "nodes/1", Amount{account.Cloudlets: 1 << 30}); err != nil {
			t.Errorf("the admins have a limit: %v", err)
		}
	})
}

// TestDomainsAreCounted: host names count, but for the one that each environment has, and those of one that is gone.
func TestDomainsAreCounted(t *testing.T) {
	b := opened(t)
	b.made(account.NewAccount{Name: "acme", Limits: account.Limits{account.Domains: 3}})
	if err := b.make("acme", spec("one")); err != nil {
		t.Fatal(err)
	}
	b.put(func(tx *store.Tx) {
		store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test"})
		for _, d := range []store.Domain{{Name: "one.demo.test"}, {Name: "www.one.demo.test"}, {Name: "acme.example"},
			{Name: "old.example", Since: b.now}} {
			d.Env = "one"
			store.Domains.Put(tx, d.Name, d)
		}
	})
	got, err := b.Get("admin", "acme")
	if u := got.Use[len(got.Use)-1]; err != nil || u.Kind != account.Domains || u.Used != 2 || *u.Limit != 3 {
		t.Errorf("it has %+v, %v", got.Use, err)
	}
	b.put(func(tx *store.Tx) {
		if err := Admit(tx, "acme", "x", OfDomains(1)); err != nil {
			t.Error(err)
		}
		problem(t, Admit(tx, "acme", "x", OfDomains(2)), operator.Exhausted,
			"limit domains: account acme may have 3, 2 are taken, and this takes 2 more")
	})
}

// TestTrashIsCounted: an environment in the trash takes its disk, its addresses and its names and nothing else; all of it again once it
// comes back, for which there must be room. Its time is what its account's group says.
func TestTrashIsCounted(t *testing.T) {
	b := opened(t)
	if _, err := b.SetGroup(t.Context(), "short", account.SetAccountGroup{Trash: 3}); err != nil {
		t.Fatal(err)
	}
	b.made(account.NewAccount{Name: "acme", Group: "short", Limits: account.Limits{account.Cloudlets: 16}})
	for _, name := range []wire.EnvName{"one", "two"} {
		if err := b.make("acme", spec(name)); err != nil {
			t.Fatal(err)
		}
	}
	one := Has(b.Store.View(), "acme")
	for k := range one {
		one[k] /= 2
	}
	var trashed store.Environment
	b.put(func(tx *store.Tx) {
		store.Clusters.Put(tx, store.Only, store.Cluster{Domain: "demo.test"})
		trashed, _ = store.Envs.Read(tx, "one")
		trashed.Want, trashed.Trash = store.WantStopped, &store.Trash{Want: store.WantRunning}
		trashed.Addresses = []store.PublicAddress{{}}
		store.Envs.Put(tx, "one", trashed)
		store.Domains.Put(tx, "acme.example", store.Domain{Name: "acme.example", Env: "one", Since: trashed.Created})
		for owner, days := range map[wire.Account]int{"acme": 3, "shop": 7, "admin": 7} {
			if got := TrashUntil(tx, owner, b.now).Sub(b.now); got != time.Duration(days)*24*time.Hour {
				t.Errorf("%s: it stays for %s", owner, got)
			}
		}
	})
	want := Amount{account.Environments: 1, account.Nodes: one[account.Nodes], account.Cloudlets: one[account.Cloudlets],
		account.Disk: 2 * one[account.Disk], account.Addresses: 1, account.Domains: 1}
	if got := Has(b.Store.View(), "acme"); !reflect.DeepEqual(got, want) {
		t.Errorf("it has %v, want %v", got, want)
	}
	b.put(func(tx *store.Tx) {
		if err := AdmitRestored(tx, trashed); err != nil {
			t.Error(err)
		}
	})
	if err := b.make("acme", spec("three")); err != nil {
		t.Fatal(err)
	}
	b.put(func(tx *store.Tx) {
		problem(t, AdmitRestored(tx, trashed), operator.Exhausted, "environments/one",
			fmt.Sprintf("limit cloudlets: account acme may have 16, 16 are taken, and this takes %d more", one[account.Cloudlets]))
	})
	// A closed account takes its trash with it.
	b.changed("acme", account.ChangeAccount{State: to(account.Closing), Days: 1})
	b.now = b.now.AddDate(0, 0, 1)
	b.step1()
	if e, _ := store.Envs.Get(b.Store.View(), "one"); e.Want != store.WantDeleted || e.InTrash() {
		t.Errorf("it is %+v", e)
	}
}

// TestReopenedWithoutOwner: an account whose last owner left while it was closing goes on being closed until it has another one.
func TestReopenedWithoutOwner(t *testing.T) {
	b := opened(t)
	b.made(account.NewAccount{Name: "acme"})
	member := func(role user.Role) {
		b.put(func(tx *store.Tx) {
			store.Users.Put(tx, "dev@example.com", store.User{ID: "u-1", Mail: "dev@example.com",
				Members: []store.Member{{Name: "acme", Role: role}}})
		})
	}
	b.put(func(tx *store.Tx) {
		store.Users.Put(tx, store.ServiceKey("acme", "ci"), store.User{ID: "u-2", Mail: store.ServiceMail("acme", "ci"), Service: true,
			Members: []store.Member{{Name: "acme", Role: user.Owner}}})
	})
	reopen := account.ChangeAccount{State: to(account.Active)}
	b.changed("acme", account.ChangeAccount{State: to(account.Closing)})
	b.changed("acme", reopen) // nobody is in it, as when it was made
	b.changed("acme", account.ChangeAccount{State: to(account.Closing)})
	member(user.Developer)
	for _, state := range []account.State{account.Active, account.Suspended} {
		_, err := b.Change(t.Context(), "acme", account.ChangeAccount{State: to(state)})
		problem(t, err, operator.Conflict, "accounts/acme", "it has people and no owner")
	}
	b.changed("acme", account.ChangeAccount{State: to(account.Closing), Reason: "still"})
	member(user.Owner)
	if a := b.changed("acme", reopen); a.State != account.Active {
		t.Errorf("with an owner it is %+v", a)
	}
}

// TestThere: an account that is erased is not there in the transaction that makes something of it.
func TestThere(t *testing.T) {
	b := opened(t)
	b.made(account.NewAccount{Name: "acme"})
	b.put(func(tx *store.Tx) {
		for _, name := range []wire.Account{"acme", "admin"} {
			if p := There(tx, name); p != nil {
				t.Error(p)
			}
		}
	})
	b.put(func(tx *store.Tx) { store.Accounts.Delete(tx, "acme") })
	b.put(func(tx *store.Tx) {
		if p := There(tx, "acme"); p == nil || p.Code != operator.NotFound {
			t.Errorf("after it was erased: %v", p)
		}
		store.Tokens.Put(tx, "hash", store.Token{ID: "old", Hash: "hash", Account: "acme"})
	})
	b.put(func(tx *store.Tx) {
		if p := There(tx, "acme"); p != nil {
			t.Errorf("one that came with a token: %v", p)
		}
	})
	tries := 0
	if _, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
		p := There(tx, "shop")
		if tries++; tries == 1 && p == nil || tries > 1 && p != nil {
			t.Errorf("try %d: %v", tries, p)
		}
		if tries == 1 { // it is made meanwhile
			b.made(account.NewAccount{Name: "shop"})
		}
		store.Numbers.Put(tx, "x", store.Number{})
		return nil
	}); err != nil || tries != 2 {
		t.Errorf("%d tries: %v", tries, err)
	}
}

// TestTemplatesOf: the template that a name means is found as among all there are.
func TestTemplatesOf(t *testing.T) {
	b := opened(t)
	all := env.Templates{}
	b.put(func(tx *store.Tx) {
		for i, name := range []wire.TemplateName{"nginx:1", "nginx:2", "nginx:latest", "nginxx:1", "a/b:1", "a/b:2", "go:1", "ngin:9"} {
			d := host.Template{Image: host.Image{Name: name}, Imported: b.now.Add(time.Duration(i) * time.Hour)}
			if name == "a/b:2" {
				d.Account = "acme"
			}
			store.Templates.Put(tx, store.TemplateKey(name), d)
			all[name] = d
		}
	})
	for _, owner := range []wire.Account{"acme", "shop", "admin"} {
		for _, name := range []wire.TemplateName{"nginx", "nginx:1", "nginx:3", "a/b", "a/b:2", "go", "ngin", "a", "nginxx", "zzz"} {
			want, _ := all.Find(owner, name)
			if got := templatesOf(b.Store.View())(owner, name); got.Name != want.Name {
				t.Errorf("%s means by %s %q, want %q", owner, name, got.Name, want.Name)
			}
		}
	}
}

// TestLimitsAtOnce: of many that are asked for at the same moment as many are made as there is room for.
func TestLimitsAtOnce(t *testing.T) {
	b := opened(t)
	b.made(account.NewAccount{Name: "acme", Limits: account.Limits{account.Environments: 3}})
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { b.make("acme", spec(wire.EnvName(fmt.Sprintf("e%d", i)))) })
	}
	wg.Wait()
	if got := Has(b.Store.View(), "acme")[account.Environments]; got != 3 {
		t.Errorf("it has %d environments, want 3", got)
	}
}

// TestStates: an account goes through its states, and its environments with it; a person's word counts over what time does.
func TestStates(t *testing.T) {
	b := opened(t)
	if _, err := b.SetGroup(t.Context(), "trial", account.SetAccountGroup{Days: 14}); err != nil {
		t.Fatal(err)
	}
	a := b.made(account.NewAccount{Name: "acme", Group: "trial"})
	if a.State != account.Trial || !a.Ends.Equal(b.now.AddDate(0, 0, 14)) {
		t.Errorf("it is made as %+v", a)
	}
	b.put(func(tx *store.Tx) {
		store.Tokens.Put(tx, "hash", store.Token{ID: "t", Account: "acme", Hash: "hash"})
		store.Tokens.Put(tx, "other", store.Token{ID: "o", Account: "shop", Hash: "other"})
		for _, of := range []wire.Account{"acme", "shop"} {
			l := store.Link{Kind: user.LinkInvite, Mail: "eve@example.com", Account: of}
			store.Links.Put(tx, l.Key(), l)
		}
	})
	for _, owner := range []wire.Account{"acme", "shop"} {
		if err := b.make(owner, spec(wire.EnvName(owner+"-one"))); err != nil {
			t.Fatal(err)
		}
	}
	held := func(want string) {
		t.Helper()
		b.step1()
		e, _ := store.Envs.Get(b.Store.View(), "acme-one")
		if e.Held != want || e.Runs() != (want == "") {
			t.Errorf("it is held by %q, and runs: %v; want %q", e.Held, e.Runs(), want)
		}
		if e, _ := store.Envs.Get(b.Store.View(), "shop-one"); e.Held != "" || e.Want != store.WantRunning {
			t.Errorf("another account's is %+v", e)
		}
	}
	b.now = b.now.AddDate(0, 0, 14).Add(-time.Second)
	held("")
	b.now = b.now.Add(time.Second)
	held("account acme is suspended: its trial ended on 2026-12-12")
	problem(t, b.make("acme", spec("two")), operator.Denied, "account acme is suspended: its trial ended on 2026-12-12")
	if p := b.Works("acme", "x"); p == nil || p.Code != operator.Denied {
		t.Errorf("it may still change things: %v", p)
	}
	b.changed("acme", account.ChangeAccount{State: to(account.Active)})
	held("")
	b.changed("acme", account.ChangeAccount{State: to(account.Closing), Reason: "as asked", Days: 2})
	b.now = b.now.AddDate(0, 0, 1)
	held("account acme is closing: as asked")
	if e, _ := store.Envs.Get(b.Store.View(), "acme-one"); e.Want != store.WantRunning {
		t.Errorf("it is %s before the day", e.Want)
	}
	b.now = b.now.AddDate(0, 0, 1)
	b.step1()
	if e, _ := store.Envs.Get(b.Store.View(), "acme-one"); e.Want != store.WantDeleted {
		t.Errorf("it is %s on the day", e.Want)
	}
	if _, err := b.Get("admin", "acme"); err != nil {
		t.Errorf("the account is gone before its environment: %v", err)
	}
	b.put(func(tx *store.Tx) { store.Envs.Delete(tx, "acme-one") }) // converge saw it through
	b.step1()
	_, err := b.Get("admin", "acme")
	problem(t, err, operator.NotFound, "accounts/acme")
	if n := store.Tokens.Len(b.Store.View()); n != 1 {
		t.Errorf("%d tokens are left, want the other account's", n)
	}
	if list := store.Links.All(b.Store.View()); len(list) != 1 || list[0].Account != "shop" {
		t.Errorf("invited are %+v, want the other account's", list)
	}
}

// TestSignUpNames: somebody who makes an account by themselves gets no name by which anything is known.
func TestSignUpNames(t *testing.T) {
	b := opened(t)
	b.put(func(tx *store.Tx) {
		store.Tokens.Put(tx, "hash", store.Token{ID: "t", Account: "shop", Hash: "hash"})
		store.Templates.Put(tx, "own:1", host.Template{Image: host.Image{Name: "own:1"}, Account: "left"})
		store.Envs.Put(tx, "one", store.Environment{Spec: spec("one"), Account: "old"})
	})
	b.made(account.NewAccount{Name: "acme"})
	signUp := func(name wire.Account) error {
		_, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
			return b.SignUp(tx, account.NewAccount{Name: name}, "eve@example.com")
		})
		return err
	}
	for _, name := range []wire.Account{"shop", "left", "old", "acme", wire.AdminAccount} {
		problem(t, signUp(name), operator.Conflict, "there is an account of that name")
	}
	problem(t, signUp("No Name"), operator.Invalid)
	if err := signUp("eves"); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	b := opened(t)
	b.made(account.NewAccount{Name: "acme"})
	long := strings.Repeat("x", 400)
	for _, c := range []struct {
		err   error
		code  operator.Code
		words string
	}{
		{second(b.Create(t.Context(), account.NewAccount{Name: "acme"}, "")), operator.Conflict, "accounts/acme: there is an account"},
		{second(b.Create(t.Context(), account.NewAccount{Name: "admin"}, "")), operator.Conflict, "accounts/admin"},
		{second(b.Create(t.Context(), account.NewAccount{Name: "Acme"}, "")), operator.Invalid, "name"},
		{second(b.Create(t.Context(), account.NewAccount{Name: "new", Group: "nosuch"}, "")), operator.NotFound,
			`there is no group "nosuch"`},
		{second(b.Create(t.Context(), account.NewAccount{Name: "new", Contact: "nobody"}, "")), operator.Invalid, "contact"},
		{second(b.Create(t.Context(), account.NewAccount{Name: "new", Limits: account.Limits{"ram": 1}}, "")), operator.Invalid,
			`"ram" is no kind`},
		{second(b.Change(t.Context(), "nosuch", account.ChangeAccount{})), operator.NotFound, "accounts/nosuch"},
		{second(b.Change(t.Context(), "admin", account.ChangeAccount{State: to(account.Suspended)})), operator.Denied,
			"those who run the cluster"},
		{second(b.Change(t.Context(), "acme", account.ChangeAccount{Reason: long})), operator.Invalid, "reason"},
		{second(b.Change(t.Context(), "acme", account.ChangeAccount{Group: to("nosuch")})), operator.NotFound, "group"},
		{second(b.SetGroup(t.Context(), "No", account.SetAccountGroup{})), operator.Invalid, "account group"},
		{b.DeleteGroup(t.Context(), "nosuch"), operator.NotFound, "account-groups/nosuch"},
	} {
		problem(t, c.err, c.code, c.words)
	}
	if _, err := b.SetGroup(t.Context(), "gold", account.SetAccountGroup{}); err != nil {
		t.Fatal(err)
	}
	b.changed("acme", account.ChangeAccount{Group: to("gold")})
	problem(t, b.DeleteGroup(t.Context(), "gold"), operator.Conflict, "account acme is in it")
	b.changed("acme", account.ChangeAccount{Group: to("default")})
	if err := b.DeleteGroup(t.Context(), "gold"); err != nil {
		t.Error(err)
	}
	if got := b.Groups(); len(got) != 1 || got[0].Name != "default" || got[0].Accounts != 1 {
		t.Errorf("the groups are %+v", got)
	}
	// An account sees itself alone.
	if got := b.List("acme"); len(got) != 1 || got[0].Name != "acme" {
		t.Errorf("it sees %+v", got)
	}
	_, err := b.Get("acme", "admin")
	problem(t, err, operator.NotFound, "accounts/admin")
}

// TestNameAgain: a new account does not get the templates of an erased one by having its name.
func TestNameAgain(t *testing.T) {
	b := opened(t)
	b.put(func(tx *store.Tx) {
		store.Templates.Put(tx, "mine:1", host.Template{Image: host.Image{Name: "mine:1"}, Account: "acme"})
		store.Templates.Put(tx, "own:1", host.Template{Image: host.Image{Name: "own:1"}, Account: "shop"})
		store.Tokens.Put(tx, "hash", store.Token{ID: "t", Account: "shop", Hash: "hash"})
	})
	_, err := b.Create(t.Context(), account.NewAccount{Name: "acme"}, "admin")
	problem(t, err, operator.Conflict, "template mine:1 is that of an earlier account of this name", "hnctl template delete")
	b.made(account.NewAccount{Name: "shop"}) // it came with a token, before there were records
	b.put(func(tx *store.Tx) { store.Templates.Delete(tx, "mine:1") })
	b.made(account.NewAccount{Name: "acme"})
}

// TestGroupGoes: an account that comes into a group at the moment when it is deleted is in a group, whichever comes first.
func TestGroupGoes(t *testing.T) {
	b := opened(t)
	for name, comes := range map[string]func(){
		"made":    func() { b.made(account.NewAccount{Name: "made", Group: "gold"}) },
		"changed": func() { b.changed("there", account.ChangeAccount{Group: to("gold")}) },
	} {
		if name == "changed" {
			b.made(account.NewAccount{Name: "there"})
		}
		if _, err := b.SetGroup(t.Context(), "gold", account.SetAccountGroup{Limits: account.Limits{account.Nodes: 1}}); err != nil {
			t.Fatal(err)
		}
		first := true
		_, err := b.Store.Update(t.Context(), func(tx *store.Tx) error {
			err := deleteGroup(tx, "gold")
			if first {
				first = false
				comes()
			}
			return err
		})
		problem(t, err, operator.Conflict, "is in it")
		if _, there := store.Groups.Get(b.Store.View(), "gold"); !there {
			t.Errorf("%s: the group is gone, and with it the limits of who is in it", name)
		}
		for _, a := range b.List("admin") {
			if a.Group == "gold" {
				b.changed(a.Name, account.ChangeAccount{Group: to("default")})
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }
