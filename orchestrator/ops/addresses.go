package ops

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/address"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/store"
)

// SetAddresses replaces the public addresses of a node, for a caller of an account. A match of 0 is any revision of its environment.
func (o *Ops) SetAddresses(ctx context.Context, id wire.CTID, account wire.Account, addrs []netip.Addr, match wire.Revision) error {
	object := "nodes/" + id.String() + "/addresses"
	if err := address.Validate(addrs); err != nil {
		return operator.NewProblem(operator.Invalid, object, err.Error(), "give another address; see hnctl node address list "+id.String())
	}
	return o.changeNode(ctx, id, account, match, func(tx *store.Tx, n store.Node, e *store.Environment) error {
		for _, a := range addrs {
			if whose := ownerOf(tx.View(), n, a); whose != "" {
				return operator.NewProblem(operator.Conflict, object, fmt.Sprintf("address %s is taken: it is %s", a, whose),
					"give another address: one is one node's in the whole cluster")
			}
		}
		more := accounts.OfAddresses(len(addrs) - len(e.AddressesOf(n.Layer, n.Index+1)))
		if err := accounts.Admit(tx, e.Account, object, more); err != nil {
			return err
		}
		e.SetAddresses(n.Layer, n.Index+1, addrs)
		return nil
	})
}

// ownerOf is whose an address is already, in words; "" if it is nobody's but a node's own.
func ownerOf(v *store.View, n store.Node, a netip.Addr) string {
	c, _ := store.Clusters.Get(v, store.Only)
	for _, p := range []netip.Prefix{c.Range4, c.Range6} {
		if p.IsValid() && p.Contains(a) {
			return "of the cluster's own range " + p.String()
		}
	}
	peers, _ := store.PeersDoc.Get(v, store.Only)
	for _, h := range peers.Hosts {
		if h.Underlay == a || slices.Contains(h.Addrs, a) {
			return "host " + h.Name + "'s own"
		}
	}
	for _, h := range append(store.Hosts.All(v), store.Host{Name: c.Infra.Name, External: c.Infra.External}) {
		if out, err := netip.ParseAddr(h.External); err == nil && out == a {
			return "host " + h.Name + "'s own"
		}
	}
	if under, err := netip.ParseAddr(c.Infra.Underlay); err == nil && under == a {
		return "host " + c.Infra.Name + "'s own"
	}
	for _, e := range store.Envs.All(v) {
		for _, p := range e.Addresses {
			mine := e.Spec.Name == n.Env && slices.Contains(e.AddressesOf(n.Layer, n.Index+1), a)
			if p.Name == a && !mine {
				return fmt.Sprintf("node %s's of environment %s", p.Node, e.Spec.Name)
			}
		}
	}
	return ""
}
