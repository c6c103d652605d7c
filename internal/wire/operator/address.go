package operator

import (
	"net/netip"

	"hardnode.dev/internal/wire"
)

// PublicAddresses are all public addresses of a node.
type PublicAddresses struct {
	Addresses []netip.Addr `json:"addresses" required:"true" maxItems:"8" doc:"IPv4 and IPv6"`
}

// PublicAddress is one, and what its host says of it.
type PublicAddress struct {
	Address netip.Addr `json:"address"`
	Problem string     `json:"problem,omitempty" doc:"Why the node's host does not answer for it"`
}

// NodeAddresses are the public addresses of a node, and where.
type NodeAddresses struct {
	CTID      wire.CTID       `json:"ctid"`
	HostName  string          `json:"hostName,omitempty" doc:"Its host, which answers for them"`
	Addresses []PublicAddress `json:"addresses"`
	Revision  wire.Revision   `json:"revision" doc:"Of its environment: send it as If-Match, and nothing that another has changed meanwhile is lost"`
}
