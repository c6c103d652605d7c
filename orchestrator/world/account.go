package world

import (
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// Admin is the account that sees the whole cluster: its hosts, and what is of any account. Until records name theirs, all are Admin's.
const Admin = "admin"

// For is the world as an account sees it.
func (w World) For(account string) World {
	w.account = account
	return w
}

// sees tells whether what is of owner is there for the account.
func (w World) sees(owner string) bool {
	return w.account != "" && (w.account == Admin || w.account == owner)
}

// Whose a record is.
func ofEnvironment(store.Environment) string { return Admin }
func ofNode(store.Node) string               { return Admin }
func ofOperation(store.Operation) string     { return Admin }
func ofTemplate(host.Template) string        { return Admin }
func ofImport(host.Import) string            { return Admin }

// ofHosts is whose the hosts are, and what concerns all of them.
const ofHosts = Admin
