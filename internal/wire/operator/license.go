package operator

import "time"

// License is the licence in force: `hnctl licence show`.
type License struct {
	ID        string    `json:"id"`
	Customer  string    `json:"customer"`
	Hosts     int       `json:"hosts" doc:"Hosts it allows"`
	HostsUsed int       `json:"hostsUsed"`
	Expires   time.Time `json:"expires"`
	State     string    `json:"state" doc:"active, due, grace, limited, expired or none"`
	Reason    string    `json:"reason,omitempty"`
	Lease     time.Time `json:"leaseUntil,omitzero" doc:"End of the last lease from the JLS"`
	JLS       string    `json:"jls" doc:"reachable, or since when not"`
}

// LicenseText installs a licence.
type LicenseText struct {
	Text string `json:"text" minLength:"1" maxLength:"16384" doc:"The licence token (PASETO v4.public)"`
}
