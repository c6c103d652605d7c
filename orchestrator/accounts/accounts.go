// Package accounts keeps who owns environments, and how much of the cluster each of them may have.
//
// Owns: the records of accounts and of groups of accounts; how an account's state changes with time, and that it holds environments;
// counting what an account has, and whether it may have more.
// In: what an admin asks; in a transaction, what is about to be made.
// Out: accounts as people read them; a Problem that names the limit before anything is made; Environment.Held.
// Never: stops nodes itself (converge reads Held), or knows who a user is.
package accounts

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/shares"
	"hardnode.dev/orchestrator/store"
)

// Desk keeps accounts and their groups. Errors of it are Problems.
type Desk struct {
	Store *store.Store
	Now   func() time.Time
	Log   *slog.Logger

	sums sums
}

func (d *Desk) now() time.Time { return d.Now().UTC().Truncate(time.Second) }

// List is all accounts that a caller's account sees, by name: those that have a record, and those that only have a token or an environment.
// It costs the accounts, and what changed since somebody asked before.
func (d *Desk) List(caller wire.Account) []account.Account {
	has := d.sums.of(d.Store.View)
	v := d.Store.View()
	names := map[wire.Account]bool{caller: true}
	if caller == wire.AdminAccount {
		for _, a := range store.Accounts.Refs(v) {
			names[a.Name] = true
		}
		for name := range has {
			names[name] = true
		}
	}
	out := []account.Account{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out = append(out, shown(v, recordOf(v, name), has[name]))
	}
	return out
}

// Get is one account that a caller's account sees.
func (d *Desk) Get(caller, name wire.Account) (account.Account, error) {
	has, there := d.sums.of(d.Store.View)[name]
	v := d.Store.View()
	if _, kept := store.Accounts.Get(v, string(name)); !caller.Sees(name) || name != caller && !kept && !there {
		return account.Account{}, none(name)
	}
	return shown(v, recordOf(v, name), has), nil
}

func none(name wire.Account) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "accounts/"+string(name), "there is no such account", "see hnctl account list")
}

// Create makes an account; by is who asks.
func (d *Desk) Create(ctx context.Context, n account.NewAccount, by string) (out account.Account, err error) {
	object := "accounts/" + string(n.Name)
	if err := n.Name.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "name", err.Error(), "choose another name")
	}
	if p := checked(n.Title, n.Contact, "", n.Limits); p != nil {
		return out, p
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		_, there := store.Accounts.Read(tx, string(n.Name))
		if left := leftOf(tx.View(), n.Name); left != "" && !there {
			reason := fmt.Sprintf("template %s is that of an earlier account of this name, and would be the new one's", left)
			return operator.NewProblem(operator.Conflict, object, reason,
				"delete what is left of that account (hnctl template delete), or choose another name")
		}
		return d.create(tx, n, by)
	})
	if err != nil {
		return out, err
	}
	return d.Get(wire.AdminAccount, n.Name)
}

func taken(name wire.Account) *operator.Problem {
	return operator.NewProblem(operator.Conflict, "accounts/"+string(name), "there is an account of that name", "choose another name")
}

// SignUp makes the account of somebody who makes it by themselves, with the rest of a transaction. A name by which anything is known is
// taken for them, also where there is no account of it.
func (d *Desk) SignUp(tx *store.Tx, n account.NewAccount, by string) error {
	if err := n.Name.Validate(); err != nil {
		return operator.NewProblem(operator.Invalid, "account", err.Error(), "choose another name")
	}
	if known(tx.View(), n.Name) || leftOf(tx.View(), n.Name) != "" {
		return taken(n.Name)
	}
	return d.create(tx, n, by)
}

func (d *Desk) create(tx *store.Tx, n account.NewAccount, by string) error {
	if _, there := store.Accounts.Read(tx, string(n.Name)); there || n.Name == wire.AdminAccount {
		return taken(n.Name)
	}
	group, p := groupOf(tx, n.Group)
	if p != nil {
		return p
	}
	now := d.now()
	rec := store.Account{Name: n.Name, Title: n.Title, Contact: n.Contact, Group: n.Group, State: account.Active, Since: now, Created: now,
		By: by, Limits: n.Limits}
	if days := cmp.Or(n.Days, group.Days); days > 0 {
		rec.State, rec.Ends = account.Trial, now.AddDate(0, 0, days)
	}
	store.Accounts.Put(tx, string(n.Name), rec)
	shares.End(tx, n.Name) // what was offered to that name was not offered to this account
	regrouped(tx)
	return nil
}

// Change changes what is said of an account, its limits or its state.
func (d *Desk) Change(ctx context.Context, name wire.Account, c account.ChangeAccount) (out account.Account, err error) {
	object := "accounts/" + string(name)
	limits := account.Limits{}
	for k, v := range c.Limits {
		limits[k] = 0
		if v != nil {
			limits[k] = *v
		}
	}
	if p := checked(value(c.Title), value(c.Contact), c.Reason, limits); p != nil {
		return out, p
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		rec, there := store.Accounts.Read(tx, string(name))
		switch {
		case name == wire.AdminAccount:
			return operator.NewProblem(operator.Denied, object, "it is the account of those who run the cluster: it has no limits, and is "+
				"always active", "change another account")
		case !there && !known(tx.View(), name):
			return none(name)
		case !there: // it came with a token, before there were records
			rec = store.Account{Name: name, State: account.Active, Since: d.now(), Created: d.now()}
		}
		if c.Group != nil {
			if _, p := groupOf(tx, *c.Group); p != nil {
				return p
			}
			rec.Group = *c.Group
			regrouped(tx)
		}
		if c.Title != nil {
			rec.Title = *c.Title
		}
		if c.Contact != nil {
			rec.Contact = *c.Contact
		}
		rec.Limits = limited(rec.Limits, c.Limits)
		if c.State != nil && rec.State == account.Closing && *c.State != account.Closing {
			if p := owned(tx, name); p != nil {
				return p
			}
		}
		if c.State != nil {
			rec = moved(rec, *c.State, c.Reason, c.Days, d.now())
		}
		store.Accounts.Put(tx, string(name), rec)
		return nil
	})
	if err != nil {
		return out, err
	}
	return d.Get(wire.AdminAccount, name)
}

// owned is nil unless people are in an account and none of them owns it: the last owner may leave while it is closing, and there it stays.
func owned(tx *store.Tx, name wire.Account) *operator.Problem {
	people := 0
	for _, u := range store.Users.Refs(tx.View()) {
		if u.Service || u.Role(name) == "" {
			continue
		}
		if people++; u.Role(name) == user.Owner {
			return nil
		}
	}
	if people == 0 {
		return nil
	}
	return operator.NewProblem(operator.Conflict, "accounts/"+string(name), "it has people and no owner: the last one left while it was "+
		"closing", "make one first: hnctl user role USER owner --account "+string(name))
}

// There is nil in a transaction in which there is an account of that name, and has it fail when that goes meanwhile.
func There(tx *store.Tx, name wire.Account) *operator.Problem {
	if _, ok := store.Accounts.Read(tx, string(name)); ok || name.Owner() == wire.AdminAccount || known(tx.View(), name) {
		return nil
	}
	return none(name)
}

// limited is limits with those of change in place of the earlier ones; nil in it takes one away.
func limited(limits account.Limits, change map[account.Kind]*int64) account.Limits {
	out := maps.Clone(limits)
	for k, v := range change {
		if v == nil {
			delete(out, k)
			continue
		}
		if out == nil {
			out = account.Limits{}
		}
		out[k] = *v
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// moved is an account that a person brings into a state. The same state again with another reason or another day is said anew.
func moved(rec store.Account, to account.State, reason string, days int, now time.Time) store.Account {
	if rec.State != to {
		rec.Since = now
	}
	rec.State, rec.Reason, rec.Ends = to, reason, time.Time{}
	if to == account.Closing {
		rec.Ends = now.AddDate(0, 0, cmp.Or(days, account.ClosingDays))
	}
	return rec
}

// checked says what is wrong with what people wrote, or nil.
func checked(title, contact, reason string, limits account.Limits) *operator.Problem {
	for _, c := range []struct {
		field string
		err   error
	}{{"title", account.ValidateTitle("title", title)}, {"contact", account.ValidateContact(contact)},
		{"reason", account.ValidateTitle("reason", reason)}, {"limits", limits.Validate()}} {
		if c.err != nil {
			return operator.NewProblem(operator.Invalid, c.field, c.err.Error(), "change it")
		}
	}
	return nil
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// known tells whether anything is an account's.
func known(v *store.View, name wire.Account) bool {
	for _, t := range store.Tokens.Refs(v) {
		if t.Account.Owner() == name {
			return true
		}
	}
	return owns(v, name)
}

// leftOf is a template of an account that is there no more, "" if there is none.
func leftOf(v *store.View, name wire.Account) wire.TemplateName {
	if known(v, name) {
		return ""
	}
	for _, t := range store.Templates.Refs(v) {
		if t.Account.Owner() == name {
			return t.Name
		}
	}
	return ""
}

// recordOf is an account's record; of one that has none, what counts as its record.
func recordOf(v *store.View, name wire.Account) store.Account {
	if rec, ok := store.Accounts.Get(v, string(name)); ok {
		return rec
	}
	return store.Account{Name: name, State: account.Active}
}

// Works is nil when a caller's account may change something, now; object is what.
func (d *Desk) Works(name wire.Account, object string) *operator.Problem {
	return refused(recordOf(d.Store.View(), name), object)
}

// shown is an account as people read it, with what it has.
func shown(v *store.View, rec store.Account, has Amount) account.Account {
	return account.Account{Name: rec.Name, Title: rec.Title, Contact: rec.Contact, Group: cmp.Or(rec.Group, account.DefaultGroup),
		State: rec.State, Reason: rec.Reason, Since: rec.Since, Ends: rec.Ends, Created: rec.Created, By: rec.By, Use: use(v, rec, has),
		Rates: account.RatesOf(rec.Name, groupSeen(v, rec).Rates)}
}

// groupSeen is the group of an account; of the default one, that nobody set, its name alone is missing.
func groupSeen(v *store.View, rec store.Account) store.AccountGroup {
	g, _ := store.Groups.Get(v, cmp.Or(rec.Group, account.DefaultGroup))
	return g
}

// ofGroup stands for any account of a group.
const ofGroup = wire.Account("any")

// Groups are all groups, by name; the default one among them.
func (d *Desk) Groups() []account.AccountGroup {
	v := d.Store.View()
	in := map[string]int{}
	for _, a := range store.Accounts.Refs(v) {
		in[cmp.Or(a.Group, account.DefaultGroup)]++
	}
	out := []account.AccountGroup{}
	if _, made := store.Groups.Get(v, account.DefaultGroup); !made {
		out = append(out, account.AccountGroup{Name: account.DefaultGroup, Accounts: in[account.DefaultGroup], Rates: account.Rates})
	}
	for _, g := range store.Groups.Refs(v) {
		out = append(out, account.AccountGroup{Name: g.Name, Title: g.Title, Days: g.Days, Limits: g.Limits, Accounts: in[g.Name],
			SignUp: g.SignUp, Trash: g.Trash, Rates: account.RatesOf(ofGroup, g.Rates)})
	}
	slices.SortFunc(out, func(a, b account.AccountGroup) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// SetGroup makes a group, or replaces what is said of it.
func (d *Desk) SetGroup(ctx context.Context, name string, s account.SetAccountGroup) (out account.AccountGroup, err error) {
	if err := account.ValidateGroup(name); err != nil {
		return out, operator.NewProblem(operator.Invalid, "name", err.Error(), "choose another name")
	}
	if p := checked(s.Title, "", "", s.Limits); p != nil {
		return out, p
	}
	if err := s.Rates.Validate(); err != nil {
		return out, operator.NewProblem(operator.Invalid, "rates", err.Error(), "change it")
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		store.Groups.Read(tx, name)
		store.Groups.Put(tx, name, store.AccountGroup{Name: name, Title: s.Title, Days: s.Days, Limits: s.Limits, SignUp: s.SignUp,
			Rates: s.Rates, Trash: s.Trash})
		return nil
	})
	if err != nil {
		return out, err
	}
	for _, g := range d.Groups() {
		if g.Name == name {
			out = g
		}
	}
	return out, nil
}

// DeleteGroup deletes a group that no account is in.
func (d *Desk) DeleteGroup(ctx context.Context, name string) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error { return deleteGroup(tx, name) })
	return err
}

// deleteGroup deletes a group.
func deleteGroup(tx *store.Tx, name string) error {
	object := "account-groups/" + name
	if _, ok := store.Groups.Read(tx, name); !ok {
		return operator.NewProblem(operator.NotFound, object, "there is no such group", "see hnctl account group list")
	}
	for _, a := range store.Accounts.Refs(tx.View()) {
		if a.Group == name {
			return operator.NewProblem(operator.Conflict, object, fmt.Sprintf("account %s is in it", a.Name),
				"put it into another one first: hnctl account set "+string(a.Name)+" --group default")
		}
	}
	store.Groups.Delete(tx, name)
	regrouped(tx)
	return nil
}

// groupings is the number that counts how often accounts came into groups, and groups went.
const groupings = "account-groups"

// regrouped has the transaction fail, and be tried again, if meanwhile an account comes into a group or a group goes.
func regrouped(tx *store.Tx) {
	n, _ := store.Numbers.Read(tx, groupings)
	n.Next++
	store.Numbers.Put(tx, groupings, n)
}

// groupOf is the group of that name; the default one is there without being made.
func groupOf(tx *store.Tx, name string) (store.AccountGroup, *operator.Problem) {
	g, ok := store.Groups.Read(tx, cmp.Or(name, account.DefaultGroup))
	if !ok && cmp.Or(name, account.DefaultGroup) != account.DefaultGroup {
		return g, operator.NewProblem(operator.NotFound, "group", fmt.Sprintf("there is no group %q", name),
			"make it first: hnctl account group set "+name)
	}
	return g, nil
}
