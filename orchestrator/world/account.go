package world

import (
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
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

// seesIn tells whether what is of owner, in an environment, is there for the caller.
func (w World) seesIn(owner wire.Account, name wire.EnvName) bool {
	return w.account.Sees(owner) && (w.within == nil || slices.Contains(w.within, name))
}

// Whose a record is.
func ofEnvironment(e store.Environment) wire.Account { return e.Account.Owner() }
func ofNode(n store.Node) wire.Account               { return n.Container.Account.Owner() }
func ofOperation(op store.Operation) wire.Account    { return op.Account.Owner() }
func ofTemplate(t host.Template) wire.Account        { return t.Account.Owner() }
func ofImport(i host.Import) wire.Account            { return i.Account.Owner() }

// ofHosts is whose the hosts are, and what concerns all of them.
const ofHosts = Admin
