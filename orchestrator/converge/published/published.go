// Package published puts together what every host is told of the others.
//
// Owns: how Peers and the names of environments, which have records of their own, become one document.
// In: a view of the store.
// Out: the document of protocol 1, and its revision.
// Never: decides what is in the records (orchestrator/converge does).
package published

import (
	"net/netip"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Revision is that of what Compose makes; false if there is nothing yet.
func Revision(v *store.View) (wire.Revision, bool) {
	doc := store.PeersDoc.Find(v, store.Only)
	if doc == nil {
		return 0, false
	}
	n, _ := store.Numbers.Get(v, store.Published)
	return max(doc.Revision, wire.Revision(n.Next)), true
}

// Compose puts together what every host is told of the others, from the records that keep it. It costs the whole cluster.
func Compose(v *store.View) (host.Peers, bool) {
	rev, ok := Revision(v)
	if !ok {
		return host.Peers{}, false
	}
	doc, _ := store.PeersDoc.Get(v, store.Only)
	doc.Revision = rev
	if len(doc.Names) > 0 { // written before names had records of their own, and about to be written anew
		return doc, true
	}
	var platform, users []netip.Addr
	for name, n := range store.EnvNames.Refs(v) {
		members := &users
		if wire.EnvName(name) == env.System {
			members = &platform
		}
		for _, node := range n.Nodes {
			*members = append(*members, node.Addrs...)
		}
		doc.Names = append(append(doc.Names, n.Nodes...), n.Layers...)
	}
	for _, g := range []host.Group{{Name: string(env.System), Addrs: platform}, {Name: "users", Addrs: users}} {
		if len(g.Addrs) > 0 {
			doc.Groups = append(doc.Groups, g)
		}
	}
	return doc, true
}
