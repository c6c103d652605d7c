package jls

import (
	"time"

	"hardnode.dev/internal/wire"
)

// The paths of the server's own administrator; each needs the header "Authorization: Bearer <admin token>".
const (
	PathLicenses      = "/v1/admin/licenses"      // GET → []License; POST NewLicense → IssuedLicense; POST …/{id}/revoke → License
	PathInstallations = "/v1/admin/installations" // GET → []Installation; POST …/{id}/release → Installation
	PathAudit         = "/v1/admin/audit"         // GET ?limit=N → []Audit, newest first
)

// License is a licence as the JLS knows it: issued here, or seen in an activation.
type License struct {
	ID           string         `json:"id"`
	Customer     string         `json:"customer"`
	Hosts        int            `json:"hosts"`
	Issued       time.Time      `json:"issued"`
	Expires      time.Time      `json:"expires"`
	Revoked      time.Time      `json:"revoked,omitzero"`
	Installation InstallationID `json:"installation,omitempty" doc:"Installation it is active on"`
}

// NewLicense asks for a licence.
type NewLicense struct {
	Customer string `json:"customer" minLength:"1" maxLength:"200"`
	Hosts    int    `json:"hosts" minimum:"1" maximum:"100000"`
	Days     int    `json:"days" minimum:"1" maximum:"3660"`
}

// IssuedLicense is the answer: the token goes into `hnctl cluster init --licence`.
type IssuedLicense struct {
	License
	Token string `json:"token"`
}

// Installation is one activated installation.
type Installation struct {
	ID        InstallationID `json:"id"`
	Key       string         `json:"key" doc:"Key id of its public key"`
	Cluster   wire.ClusterID `json:"cluster"`
	Name      string         `json:"name"`
	Version   string         `json:"version"`
	License   string         `json:"license"`
	Customer  string         `json:"customer"`
	Allowed   int            `json:"allowed"`
	Hosts     []Seat         `json:"hosts"`
	Activated time.Time      `json:"activated"`
	Seen      time.Time      `json:"seen" doc:"Last request"`
	Lease     time.Time      `json:"leaseUntil"`
	Released  time.Time      `json:"released,omitzero" doc:"When its licence was freed for another installation"`
}

// Audit is one record of who changed what.
type Audit struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who" doc:"admin, or an installation's id"`
	What   string    `json:"what"`
	Object string    `json:"object"`
	Result string    `json:"result" doc:"ok, or why it was refused"`
}
