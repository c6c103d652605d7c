package operator

import (
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
)

// FirewallRules are the rules of one list: of a layer's nodes, or what one of them has beside those.
type FirewallRules struct {
	Rules []firewall.PacketRule `json:"rules" yaml:"rules" required:"true" maxItems:"64"`
}

// Firewall is a node's firewall. What no rule is about passes as accounts and groups allow.
type Firewall struct {
	CTID     wire.CTID             `json:"ctid"`
	Env      wire.EnvName          `json:"env"`
	Layer    wire.LayerName        `json:"layer"`
	OfLayer  []firewall.PacketRule `json:"ofLayer" doc:"Of all nodes of its layer"`
	OfNode   []firewall.PacketRule `json:"ofNode" doc:"Its own: one stands in the place of the layer's of the same name"`
	InForce  []firewall.PacketRule `json:"inForce" doc:"Both, in the order in which they are looked at"`
	Revision wire.Revision         `json:"revision" doc:"Of its environment: send it as If-Match, and nothing that another has changed meanwhile is lost"`
}
