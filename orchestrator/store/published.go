package store

import (
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// PublishedPort is a port of a node at its host's addresses. It stays when the node is replaced, so it is one node's in the whole cluster.
type PublishedPort struct {
	Name string    `json:"name"` // "tcp/20080": at the host
	Node string    `json:"node"` // as in Wall
	Port host.Port `json:"port"`
}

func (p PublishedPort) of() string { return p.Node }

// PortsOf are those of a layer's node by its number from 1.
func (e *Environment) PortsOf(layer wire.LayerName, node int) (out []host.Port) {
	for _, p := range ofNode(e.Ports, layer, node) {
		out = append(out, p.Port)
	}
	return out
}

// SetPorts replaces PortsOf.
func (e *Environment) SetPorts(layer wire.LayerName, node int, ports []host.Port) {
	var list []PublishedPort
	for _, p := range ports {
		list = append(list, PublishedPort{fmt.Sprintf("%s/%d", p.Proto, p.Host), wallOf(layer, node), p})
	}
	e.Ports = setOfNode(e.Ports, layer, node, list)
}
