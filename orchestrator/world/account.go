package world

import (
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/store"
)

// Admin is the account that sees the whole cluster: its hosts, and what is of any account.
const Admin = wire.AdminAccount

// For is the world as an account sees it.
func (w World) For(account wire.Account) World {
	w.account = account
	return w
}

// Within is the world as a caller of the account sees it whose token is for some environments only: these, with their nodes and operations,
// and nothing else. Nil: all that the account sees.
func (w World) Within(envs []wire.EnvName) World {
	w.within = envs
	return w
}

// sees tells whether what is of owner, and of no environment, is there for the caller.
func (w World) sees(owner wire.Account) bool { return w.within == nil && w.account.Sees(owner) }

// Sharing is the world with what other accounts share with the caller's: these environments, with their nodes and operations, marked, and
// nothing else of their accounts.
func (w World) Sharing(with map[wire.EnvName]*store.Share) World {
	w.shared = with
	return w
}

// seesIn tells whether what is of owner, in an environment, is there for the caller.
func (w World) seesIn(owner wire.Account, name wire.EnvName) bool {
	if s := w.shared[name]; s != nil && s.Account == owner {
		return true
	}
	return w.account.Sees(owner) && (w.within == nil || slices.Contains(w.within, name))
}

// toGuest is an environment as those read it that it is shared with: marked, without what is of its account, and to a viewer without the
// values of variables. Their own it leaves as it is.
func (w World) toGuest(e operator.Environment) operator.Environment {
	s := w.shared[e.Spec.Name]
	if s == nil || s.Account != e.Account {
		return e
	}
	e.Shared, e.Group = &operator.SharedBy{By: s.Account, Role: string(s.Role)}, ""
	if e.Failed != nil { // why may name people
		e.Failed, e.Reason = nil, "its creation failed"
	}
	e.Spec.Layers = slices.Clone(e.Spec.Layers)
	for i := range e.Spec.Layers { // they name its account's other environments
		e.Spec.Layers[i].Firewall = nil
	}
	if s.Role == user.Developer {
		return e
	}
	for i, l := range e.Spec.Layers {
		for _, values := range []*map[string]string{&l.Env, &l.Linked} {
			hidden := map[string]string{}
			for name := range *values {
				hidden[name] = ""
			}
			if *values != nil {
				*values = hidden
			}
		}
		e.Spec.Layers[i] = l
	}
	return e
}

// Guest names, to the people of one account, those of another one that share an environment with them.
func Guest(of wire.Account) string { return "account " + string(of) }

// asGuest is an operation as those read it that its environment is shared with: people of other accounts are their account.
func (w World) asGuest(op operator.Operation, name wire.EnvName) operator.Operation {
	s := w.shared[name]
	if s == nil || s.Account != op.Account {
		return op
	}
	if op.By != Guest(s.With) {
		op.By = Guest(s.Account)
	}
	if op.Problem != nil && op.State == operator.OpCancelled {
		p := *op.Problem
		p.Reason = "cancelled"
		op.Problem = &p
	}
	return op
}

// Whose a record is.
func ofEnvironment(e store.Environment) wire.Account { return e.Account.Owner() }
func ofNode(n store.Node) wire.Account               { return n.Container.Account.Owner() }
func ofOperation(op store.Operation) wire.Account    { return op.Account.Owner() }
func ofTemplate(t host.Template) wire.Account        { return t.Account.Owner() }
func ofImport(i host.Import) wire.Account            { return i.Account.Owner() }

// ofHosts is whose the hosts are, and what concerns all of them.
const ofHosts = Admin
