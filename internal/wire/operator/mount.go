package operator

import "hardnode.dev/internal/wire"

// NodeMount is a volume of another node that a node has mounted.
type NodeMount struct {
	Name     string    `json:"name" maxLength:"40" doc:"Unique in the node: a DNS label"`
	Path     string    `json:"path" maxLength:"1024" doc:"Absolute path in the node"`
	From     wire.CTID `json:"from" minimum:"1" doc:"The node whose volume it is, of the same environment"`
	Volume   string    `json:"volume" maxLength:"40" doc:"Its name there"`
	ReadOnly bool      `json:"readOnly,omitempty"`
	Problem  string    `json:"problem,omitempty" readOnly:"true" doc:"Why the volume can't be reached"`
}

// MountedVolumes are all volumes of other nodes that a node has mounted.
type MountedVolumes struct {
	Mounts []NodeMount `json:"mounts" required:"true" maxItems:"16"`
}

// NodeMounts are a node's mounts.
type NodeMounts struct {
	CTID     wire.CTID     `json:"ctid"`
	HostName string        `json:"hostName,omitempty" doc:"Its host, which mounts them"`
	Mounts   []NodeMount   `json:"mounts"`
	Revision wire.Revision `json:"revision" doc:"Of its environment: send it as If-Match, and nothing that another has changed meanwhile is lost"`
}
