package users

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

func noService(which string) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "services/"+which, "there is no such service", "see hnctl user service list")
}

// seesService tells whether an account sees a service: its own. One that an older orchestrator, which takes it for a person, had taken out
// of its account or into another is for those who run the cluster, to be removed.
func seesService(caller wire.Account, u store.User) bool {
	m, one := u.Only()
	return u.Service && (caller == wire.AdminAccount || one && caller.Sees(m.Name))
}

// findService is a service that an account sees, by id, or by name among the account's own.
func findService(v *store.View, caller wire.Account, which string) (u store.User, ok bool) {
	for u := range store.UsersOf.Of(v, which) {
		if seesService(caller, u) {
			return u, true
		}
	}
	u, ok = store.Users.Get(v, store.ServiceKey(caller.Owner(), which))
	return u, ok && seesService(caller, u)
}

// service is one as people read it.
func service(v *store.View, u store.User) user.Service {
	m, _ := u.Only()
	out := user.Service{ID: u.ID, Name: u.Name, Account: m.Name, Role: m.Role, Created: u.Created, By: u.By}
	for t := range store.TokensOf.Of(v, u.ID) {
		if t.Over == nil {
			out.Tokens++
		}
	}
	return out
}

// Service is a service that a caller's account sees, by id, or by name among the account's own.
func (d *Desk) Service(caller wire.Account, which string) (out user.Service, ok bool) {
	v := d.Store.View()
	u, ok := findService(v, caller, which)
	if !ok {
		return out, false
	}
	return service(v, u), true
}

// Services are all services that a caller's account sees, by account and name.
func (d *Desk) Services(caller wire.Account) []user.Service {
	v := d.Store.View()
	out := []user.Service{}
	for _, u := range store.Users.Refs(v) {
		if seesService(caller, *u) {
			out = append(out, service(v, *u))
		}
	}
	slices.SortFunc(out, func(a, b user.Service) int {
		return cmp.Or(strings.Compare(string(a.Account), string(b.Account)), strings.Compare(a.Name, b.Name))
	})
	return out
}

// AddService makes a service of an account, for an owner of it.
func (d *Desk) AddService(ctx context.Context, w authz.Who, n user.NewService) (out user.Service, err error) {
	if n.Account == "" {
		n.Account = w.Account
	}
	for _, c := range []struct {
		field string
		err   error
	}{{"name", user.ValidateService(n.Name)}, {"role", n.Role.Validate()}} {
		if c.err != nil {
			return out, operator.NewProblem(operator.Invalid, c.field, c.err.Error(), "change it")
		}
	}
	if !w.Account.Sees(n.Account) {
		return out, noAccount(n.Account)
	}
	raw := make([]byte, 8)
	rand.Read(raw) // never fails (crypto/rand)
	now, by := d.now(), w.Name
	if w.Account.Owner() != n.Account.Owner() {
		by = "those who run the cluster"
	}
	u := store.User{ID: "u-" + hex.EncodeToString(raw), Mail: store.ServiceMail(n.Account, n.Name), Name: n.Name, Service: true,
		Created: now, By: by, Members: []store.Member{{Name: n.Account, Role: n.Role, Since: now, By: by}}}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		if p := d.accountThere(tx, n.Account); p != nil {
			if w.Account.Owner() != wire.AdminAccount {
				p.Next = "ask those who run the cluster to make its record: hnctl account create " + string(n.Account)
			}
			return p
		}
		if _, p := authz.MakerOf(tx, w); p != nil { // they may have left since they were let in
			return p
		}
		key := store.ServiceKey(n.Account, n.Name)
		if _, there := store.Users.Read(tx, key); there {
			return operator.NewProblem(operator.Conflict, "services/"+n.Name, "there is a service of that name in account "+
				string(n.Account), "choose another name, or remove it first: hnctl user service remove "+n.Name)
		}
		authz.Counted(tx, n.Account)
		has := 0
		for _, o := range store.Users.Refs(tx.View()) {
			if m, _ := o.Only(); o.Service && m.Name == n.Account {
				has++
			}
		}
		if has >= user.MaxServices {
			return operator.NewProblem(operator.Exhausted, "services/"+n.Name, fmt.Sprintf("limit services: account %s may have %d, and "+
				"has them", n.Account, user.MaxServices), "remove one: hnctl user service remove")
		}
		store.Users.Put(tx, key, u)
		return nil
	})
	if err != nil {
		return out, err
	}
	return service(d.Store.View(), u), nil
}

func noAccount(name wire.Account) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "accounts/"+string(name), "there is no such account", "see hnctl account list")
}

// RemoveService removes a service, with an end of its tokens.
func (d *Desk) RemoveService(ctx context.Context, w authz.Who, which string) (ended []store.Token, err error) {
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		seen, ok := findService(tx.View(), w.Account, which)
		if !ok {
			return noService(which)
		}
		key := store.UserKey(seen.Mail)
		if u, ok := store.Users.Read(tx, key); !ok || u.ID != seen.ID {
			return noService(which)
		}
		ended = authz.EndTokens(tx, seen.ID, "", d.now())
		store.Users.Delete(tx, key)
		return nil
	})
	return ended, err
}

// ServiceToken makes a token of a service, for an owner of its account: it does no more than the service's role allows, and ends with the
// service.
func (d *Desk) ServiceToken(ctx context.Context, w authz.Who, which string, n operator.NewToken) (made operator.MadeToken, err error) {
	seen, ok := findService(d.Store.View(), w.Account, which)
	if !ok {
		return made, noService(which)
	}
	return d.Tokens.CreateOf(ctx, w, seen, n)
}
