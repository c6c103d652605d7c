package store

import (
	"net/netip"

	"hardnode.dev/internal/wire"
)

// PublicAddress is a public address of a node. It stays when the node is replaced, so it is one node's in the whole cluster.
type PublicAddress struct {
	Name netip.Addr `json:"name"`
	Node string     `json:"node"` // as in Wall
}

func (a PublicAddress) of() string { return a.Node }

// AddressesOf are those of a layer's node by its number from 1.
func (e *Environment) AddressesOf(layer wire.LayerName, node int) (out []netip.Addr) {
	for _, a := range ofNode(e.Addresses, layer, node) {
		out = append(out, a.Name)
	}
	return out
}

// SetAddresses replaces AddressesOf.
func (e *Environment) SetAddresses(layer wire.LayerName, node int, addrs []netip.Addr) {
	var list []PublicAddress
	for _, a := range addrs {
		list = append(list, PublicAddress{a, wallOf(layer, node)})
	}
	e.Addresses = setOfNode(e.Addresses, layer, node, list)
}
