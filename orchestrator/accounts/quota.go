package accounts

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Amount is how much of each kind something takes.
type Amount map[account.Kind]int64

// OfNode is what one node takes.
func OfNode(c wire.Cloudlets, of host.Container) Amount {
	return Amount{account.Nodes: 1, account.Cloudlets: int64(c.Dynamic), account.Disk: env.DiskOf(of) >> 20}
}

// OfAddresses is what so many public addresses take.
func OfAddresses(n int) Amount { return Amount{account.Addresses: int64(n)} }

// OfDomains is what so many host names outside of an environment's own take.
func OfDomains(n int) Amount { return Amount{account.Domains: int64(n)} }

// finder is the template that somebody of an account means by a name; the zero one where there is none.
type finder func(owner wire.Account, name wire.TemplateName) host.Template

// templatesOf finds templates: it costs those of one name.
func templatesOf(v *store.View) finder {
	return func(owner wire.Account, name wire.TemplateName) host.Template {
		some := env.Templates{}
		if t := store.Templates.Find(v, store.TemplateKey(name)); t != nil {
			some[t.Name] = *t
		} else if base := store.TemplateKey(name) + ":"; !strings.Contains(string(name), ":") {
			for key, t := range store.Templates.RefsAfter(v, base) {
				if !strings.HasPrefix(key, base) {
					break
				}
				some[t.Name] = *t
			}
		}
		t, _ := some.Find(owner.Owner(), name)
		return t
	}
}

// OfEnvironment is what an environment of an account takes that is about to be made: of a layer whose template is not known, what its spec
// says.
func OfEnvironment(owner wire.Account, s operator.EnvironmentSpec, find finder) Amount {
	sum := Amount{account.Environments: 1}
	for _, l := range s.Layers {
		t := find(owner, l.Template)
		n := env.NodeOf(owner, s.Name, l, 0, t)
		for k, v := range OfNode(n.Cloudlets, n.Container) {
			sum[k] += v * int64(l.Nodes)
		}
	}
	return sum
}

// Has is what an account has now, which costs its environments and no other's. A node that takes another one's place counts beside it only
// where it is another node of its layer: two of one place in a layer, while one replaces the other, are one.
func Has(v *store.View, owner wire.Account) Amount {
	sum := Amount{}
	for e := range store.EnvsOf.Of(v, string(owner.Owner())) {
		sum.count(v, &e, templatesOf(v))
	}
	return sum
}

// count adds what an environment takes; find is asked where a node of it is not placed yet.
func (a Amount) count(v *store.View, e *store.Environment, find finder) {
	if e.System || e.Want == store.WantDeleted {
		return
	}
	if e.InTrash() {
		all := *e
		all.Trash = nil
		has := Amount{}
		has.count(v, &all, find)
		for _, k := range keptInTrash {
			a[k] += has[k]
		}
		return
	}
	a[account.Environments]++
	a[account.Addresses] += int64(len(e.Addresses))
	c := store.Clusters.Find(v, store.Only)
	for d := range store.DomainsOf.Of(v, string(e.Spec.Name)) {
		if d.Since.Equal(e.Created) && (c == nil || d.Name != string(e.Spec.Name)+"."+c.Domain) {
			a[account.Domains]++
		}
	}
	type place struct {
		layer wire.LayerName
		index int
	}
	there := map[place]bool{}
	for n := range store.NodesOf.Of(v, string(e.Spec.Name)) {
		if at := (place{n.Layer, n.Index}); !n.Gone && !there[at] {
			there[at] = true
			a.add(OfNode(n.Cloudlets, n.Container))
		}
	}
	for _, l := range e.Spec.Layers {
		for i := range l.Nodes {
			if there[place{l.Name, i}] {
				continue
			}
			t := find(e.Account, l.Template)
			n := env.NodeOf(e.Account.Owner(), e.Spec.Name, l, i, t)
			a.add(OfNode(n.Cloudlets, n.Container))
		}
	}
}

// keptInTrash is what an environment in the trash still takes: what is kept for it, and nobody else can have. Nothing of it runs.
var keptInTrash = []account.Kind{account.Disk, account.Addresses, account.Domains}

// AdmitRestored is Admit of an environment that comes out of the trash.
func AdmitRestored(tx *store.Tx, e store.Environment) error {
	find, was, is := templatesOf(tx.View()), Amount{}, Amount{}
	was.count(tx.View(), &e, find)
	e.Trash = nil
	is.count(tx.View(), &e, find)
	return Admit(tx, e.Account.Owner(), object(e.Spec), is.Less(was))
}

// AdmitTransferred is Admit of an environment of another account, which becomes an account's own with the same transaction.
func AdmitTransferred(tx *store.Tx, e store.Environment, to wire.Account) error {
	takes := Amount{}
	takes.count(tx.View(), &e, templatesOf(tx.View()))
	return Admit(tx, to.Owner(), object(e.Spec), takes)
}

// TrashUntil is until when an environment of an account stays in the trash that is put there now.
func TrashUntil(tx *store.Tx, owner wire.Account, now time.Time) time.Time {
	days := cmp.Or(groupSeen(tx.View(), recordOf(tx.View(), owner.Owner())).Trash, operator.TrashDays)
	return now.Add(time.Duration(days) * 24 * time.Hour)
}

// Less is what a takes more than b.
func (a Amount) Less(b Amount) Amount {
	out := Amount{}
	for _, k := range account.Kinds {
		out[k] = a[k] - b[k]
	}
	return out
}

func (a Amount) add(b Amount) {
	for k, v := range b {
		a[k] += v
	}
}

// use is what an account has of each kind beside its limits. The admins have none.
func use(v *store.View, rec store.Account, has Amount) []account.AccountUse {
	out := []account.AccountUse{}
	for _, k := range account.Kinds {
		u := account.AccountUse{Kind: k, Used: has[k]}
		if limit, from, ok := limitOf(v, rec, k); ok {
			u.Limit, u.From = &limit, from
		}
		out = append(out, u)
	}
	return out
}

// limitOf is the most that an account may have of a kind, and where that is set.
func limitOf(v *store.View, rec store.Account, k account.Kind) (limit int64, from string, ok bool) {
	if rec.Name == wire.AdminAccount {
		return 0, "", false
	}
	if limit, ok = rec.Limits[k]; ok {
		return limit, account.FromAccount, true
	}
	limit, ok = groupSeen(v, rec).Limits[k]
	return limit, account.FromGroup, ok
}

// Admit is nil when an account may have more, and then the transaction fails if something else of the account is admitted meanwhile. Else
// it is a Problem about object, which names each limit in the way.
func Admit(tx *store.Tx, owner wire.Account, object string, more Amount) error {
	if owner.Owner() == wire.AdminAccount {
		return nil
	}
	rec, there := store.Accounts.Read(tx, string(owner))
	if !there { // it came with a token, before there were records
		rec = recordOf(tx.View(), owner)
	}
	if p := room(tx.View(), rec, object, more); p != nil {
		return p
	}
	rec.Counted++
	store.Accounts.Put(tx, string(owner), rec)
	return nil
}

// AdmitEnvironment is Admit of an environment that is about to be made.
func AdmitEnvironment(tx *store.Tx, owner wire.Account, s operator.EnvironmentSpec) error {
	return Admit(tx, owner, object(s), OfEnvironment(owner, s, templatesOf(tx.View())))
}

// Room is nil when an account may have one more environment, now.
func (d *Desk) Room(owner wire.Account, s operator.EnvironmentSpec) *operator.Problem {
	v := d.Store.View()
	return room(v, recordOf(v, owner.Owner()), object(s), OfEnvironment(owner, s, templatesOf(v)))
}

func object(s operator.EnvironmentSpec) string { return "environments/" + string(s.Name) }

// room is nil when an account may have more. Only what grows is looked at: who is over a limit that was lowered may still take less.
func room(v *store.View, rec store.Account, object string, more Amount) *operator.Problem {
	if p := refused(rec, object); p != nil {
		return p
	}
	has := Has(v, rec.Name)
	var found []*operator.Problem
	for _, k := range account.Kinds {
		limit, from, ok := limitOf(v, rec, k)
		if !ok || more[k] <= 0 || has[k]+more[k] <= limit {
			continue
		}
		whose := "account " + string(rec.Name)
		if from == account.FromGroup {
			whose = "each account of group " + cmp.Or(rec.Group, account.DefaultGroup)
		}
		reason := fmt.Sprintf("limit %s: %s may have %d, %d are taken, and this takes %d more", k, whose, limit, has[k], more[k])
		found = append(found, operator.NewProblem(operator.Exhausted, object, reason,
			"take less, delete what is not needed, or ask those who run the cluster for more"))
	}
	return operator.All(found)
}

// refused is why an account may change nothing, or nil.
func refused(rec store.Account, object string) *operator.Problem {
	if rec.State.Works() {
		return nil
	}
	reason := fmt.Sprintf("account %s is %s", rec.Name, rec.State)
	if rec.Reason != "" {
		reason += ": " + rec.Reason
	}
	return operator.NewProblem(operator.Denied, object, reason, "ask those who run the cluster")
}
