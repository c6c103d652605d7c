package store

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/mount"
)

// NodeMount is a volume of another node of the environment that a node has mounted. It stays when the node is replaced.
type NodeMount struct {
	Name     string    `json:"name"` // "cp/1 shared": the node as in Wall, and the mount's own
	Node     string    `json:"node"` // as in Wall
	Mount    string    `json:"mount"`
	Path     string    `json:"path"`
	From     wire.CTID `json:"from"`
	Volume   string    `json:"volume"`
	ReadOnly bool      `json:"readOnly,omitempty"`
}

func (m NodeMount) of() string { return m.Node }

// MountsOf are those of a layer's node by its number from 1. on says which host a node is on, "" if there is none: then there is nothing to
// mount.
func (e *Environment) MountsOf(layer wire.LayerName, node int, on func(wire.CTID) wire.HostID) (out []mount.Mount) {
	for _, m := range ofNode(e.Mounts, layer, node) {
		if at := on(m.From); at != "" {
			out = append(out, mount.Mount{Name: m.Mount, Path: m.Path, From: m.From, Host: at, Volume: m.Volume, ReadOnly: m.ReadOnly})
		}
	}
	return out
}

// SharesOf are who may mount volumes of a node. nodes are the environment's.
func (e *Environment) SharesOf(id wire.CTID, nodes []Node) (out []mount.Share) {
	for _, m := range e.Mounts {
		if m.From != id {
			continue
		}
		for _, n := range nodes {
			if wallOf(n.Layer, n.Index+1) == m.Node && !n.Gone && n.Host != "" {
				out = append(out, mount.Share{Volume: m.Volume, To: n.CTID, Host: n.Host, ReadOnly: m.ReadOnly})
			}
		}
	}
	return out
}

// SetMounts replaces MountsOf.
func (e *Environment) SetMounts(layer wire.LayerName, node int, list []mount.Mount) {
	name := wallOf(layer, node)
	var mounts []NodeMount
	for _, m := range list {
		mounts = append(mounts, NodeMount{Name: name + " " + m.Name, Node: name, Mount: m.Name, Path: m.Path, From: m.From,
			Volume: m.Volume, ReadOnly: m.ReadOnly})
	}
	e.Mounts = setOfNode(e.Mounts, layer, node, mounts)
}
