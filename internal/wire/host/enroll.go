package host

import (
	"net/netip"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
)

// EnrollRequest asks for an identity. CSR is PKCS #10 DER of an Ed25519 key the host made.
type EnrollRequest struct {
	Token    secret.Text `json:"token"` // JoinToken's text
	CSR      []byte      `json:"csr"`
	Code     string      `json:"code"`            // identity.ShortCode: hosts of version 0.1 show it on their console
	Shown    string      `json:"shown,omitempty"` // identity.Code, which the host shows; "" of hosts that show Code
	Boot     string      `json:"boot"`
	Version  string      `json:"version"`
	Underlay netip.Addr  `json:"underlay"`
	Hardware Hardware    `json:"hardware"`
}

// Hardware is what tells machines apart; any field may be empty.
type Hardware struct {
	UUID string   `json:"uuid,omitempty"` // SMBIOS system UUID
	MACs []string `json:"macs,omitempty"`
}

// EnrollReply is the host's identity.
type EnrollReply struct {
	Host    wire.HostID    `json:"host"`
	Name    string         `json:"name"`
	Cluster wire.ClusterID `json:"cluster"`
	Chain   [][]byte       `json:"chain"` // DER: leaf, issuing CA, root CA
	Now     time.Time      `json:"now"`
	// Code is the one that people see for the host at the orchestrator; "" from version 0.1, which has identity.ShortCode.
	Code string `json:"code,omitempty"`
}

// RenewRequest asks for a new leaf on the same key.
type RenewRequest struct {
	CSR []byte `json:"csr"`
	// Proof is needed when the leaf has expired, since TLS won't carry it then: Host, Time and an Ed25519 signature over
	// "hardnode renew v1\n" + Host + "\n" + RFC 3339 Time + "\n" + SHA-256 of CSR in hex, by the enrolled key.
	Host  wire.HostID `json:"host,omitempty"`
	Time  time.Time   `json:"time,omitzero"`
	Proof []byte      `json:"proof,omitempty"`
}

// RenewReply carries a new chain.
type RenewReply struct {
	Chain [][]byte  `json:"chain"`
	Now   time.Time `json:"now"`
}

// ComponentRequest asks for a certificate for a jelastic container on the asking host.
type ComponentRequest struct {
	CTID wire.CTID `json:"ctid"`
	CSR  []byte    `json:"csr"`
}
