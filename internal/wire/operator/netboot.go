package operator

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Netboot is how machines boot from the network: by the component netboot on the infra host.
type Netboot struct {
	Enabled   bool      `json:"enabled"`
	Interface string    `json:"interface,omitempty" doc:"Network card of the infra host on whose network machines boot"`
	All       bool      `json:"all,omitempty" doc:"Every machine on that network that asks how to boot is answered"`
	For       []string  `json:"for,omitempty" doc:"The cards that are answered, by MAC, where not all are"`
	Release   string    `json:"release,omitempty" doc:"The release that machines boot; without one, the newest that was imported"`
	Target    string    `json:"target,omitempty" doc:"Kind of machine that its image is for: metal or vm"`
	Addresses string    `json:"addresses,omitempty" doc:"Addresses that are given out where no other DHCP server answers"`
	Router    string    `json:"router,omitempty" doc:"Router that machines are told with an address"`
	DNS       []string  `json:"dns,omitempty" doc:"Resolvers that machines are told with an address"`
	By        string    `json:"by,omitempty"`
	At        time.Time `json:"at,omitzero"`
	Serves    string    `json:"serves,omitempty" doc:"The release that machines are led to now"`
	Reason    string    `json:"reason,omitempty" doc:"Why there is none, or why the component does not run"`
	CTID      wire.CTID `json:"ctid,omitempty" doc:"The component's number"`
	State     string    `json:"state,omitempty" doc:"The component's state, as a node has one"`
	// Troubles come from the component itself.
	Troubles []NetbootTrouble `json:"troubles,omitempty" doc:"What is in the way of machines that boot, oldest first"`
}

// NetbootTrouble is one thing in the way of machines that boot from the network.
type NetbootTrouble struct {
	What  string    `json:"what" doc:"What it is about: dhcp, tftp of a machine, http of a machine"`
	Text  string    `json:"text" doc:"What is the matter, for people"`
	Since time.Time `json:"since"`
}

// NewNetboot switches netboot on.
type NewNetboot struct {
	Interface string   `json:"interface" minLength:"1" maxLength:"15" doc:"Network card of the infra host on whose network machines boot"`
	All       bool     `json:"all,omitempty" doc:"Answer every machine on that network that asks how to boot"`
	For       []string `json:"for,omitempty" maxItems:"1000" doc:"MACs of the cards that are answered, where not all are"`
	Release   string   `json:"release,omitempty" maxLength:"60" doc:"The release that machines boot; empty: the newest that was imported"`
	Addresses string   `json:"addresses,omitempty" maxLength:"40" doc:"Give these out where no other DHCP server answers, as 10.77.0.100-10.77.0.150/24"`
	Router    string   `json:"router,omitempty" maxLength:"15" doc:"Router of that network, told with an address"`
	DNS       []string `json:"dns,omitempty" maxItems:"3" doc:"Resolvers, told with an address"`
	Target    string   `json:"target,omitempty" enum:"metal,vm" doc:"Kind of machine that its image is for; metal without one"`
}
