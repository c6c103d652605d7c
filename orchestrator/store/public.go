package store

import (
	"net/netip"
	"slices"

	"hardnode.dev/internal/wire"
)

// PublicAddress is a public address of a node. It stays when the node is replaced, so it is one node's in the whole cluster.
type PublicAddress struct {
	Name netip.Addr `json:"name"`
	Node string     `json:"node"` // as in Wall
}

// AddressesOf are those of a layer's node by its number from 1.
func (e *Environment) AddressesOf(layer wire.LayerName, node int) (out []netip.Addr) {
	for _, a := range e.Addresses {
		if a.Node == wallOf(layer, node) {
			out = append(out, a.Name)
		}
	}
	return out
}

// SetAddresses replaces AddressesOf.
func (e *Environment) SetAddresses(layer wire.LayerName, node int, addrs []netip.Addr) {
	name := wallOf(layer, node)
	e.Addresses = slices.DeleteFunc(slices.Clone(e.Addresses), func(a PublicAddress) bool { return a.Node == name })
	for _, a := range addrs {
		e.Addresses = append(e.Addresses, PublicAddress{a, name})
	}
	if len(e.Addresses) == 0 {
		e.Addresses = nil
	}
}
