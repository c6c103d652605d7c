package operator

import "hardnode.dev/internal/wire"

// PublishedPort is a port of a node that is reached at its host's addresses.
type PublishedPort struct {
	Protocol string `json:"protocol" enum:"tcp,udp"`
	Host     uint16 `json:"host" minimum:"1024" maximum:"65535" doc:"At the host: one node's in the whole cluster"`
	Node     uint16 `json:"node" minimum:"1" maximum:"65535" doc:"Of the node"`
}

// PublishedPorts are all of a node.
type PublishedPorts struct {
	Ports []PublishedPort `json:"ports" required:"true" maxItems:"16"`
}

// NodePorts are the ports of a node that are published, and where.
type NodePorts struct {
	CTID     wire.CTID       `json:"ctid"`
	HostName string          `json:"hostName,omitempty" doc:"Its host, at whose addresses they are"`
	Ports    []PublishedPort `json:"ports"`
	Revision wire.Revision   `json:"revision" doc:"Of its environment: send it as If-Match, and nothing that another has changed meanwhile is lost"`
}
