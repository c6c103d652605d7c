package store

import (
	"fmt"
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// PublishedPort is a port of a node at its host's addresses. It stays when the node is replaced, so it is one node's in the whole cluster.
type PublishedPort struct {
	Name string    `json:"name"` // "tcp/20080": at the host
	Node string    `json:"node"` // as in Wall
	Port host.Port `json:"port"`
}

// PortsOf are those of a layer's node by its number from 1.
func (e *Environment) PortsOf(layer wire.LayerName, node int) (out []host.Port) {
	for _, p := range e.Ports {
		if p.Node == wallOf(layer, node) {
			out = append(out, p.Port)
		}
	}
	return out
}

// SetPorts replaces PortsOf.
func (e *Environment) SetPorts(layer wire.LayerName, node int, ports []host.Port) {
	name := wallOf(layer, node)
	e.Ports = slices.DeleteFunc(slices.Clone(e.Ports), func(p PublishedPort) bool { return p.Node == name })
	for _, p := range ports {
		e.Ports = append(e.Ports, PublishedPort{fmt.Sprintf("%s/%d", p.Proto, p.Host), name, p})
	}
	if len(e.Ports) == 0 {
		e.Ports = nil
	}
}
