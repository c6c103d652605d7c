package store

import (
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
)

// Domain is that an environment is served under a host name, which is one environment's in the whole cluster. Orchestrators before
// 2026-11-28 keep it and don't heed it.
type Domain struct {
	Name string       `json:"name"`
	Env  wire.EnvName `json:"env"`
	// Since is when the environment was created: another one of the same name has nothing of it.
	Since time.Time `json:"since"`
	front.Scheme
	Certificate *Certificate `json:"certificate,omitempty"` // that was uploaded; nil: the cluster's, if that names it
	At          time.Time    `json:"at"`                    // when the environment got the name
}

// Certificate is a certificate with its key.
type Certificate struct {
	Chain [][]byte  `json:"chain"` // DER, the name's own first
	Key   []byte    `json:"key"`   // PKCS #8, sealed (orchestrator/certs.Sealer)
	Ends  time.Time `json:"ends"`
}

// WebCA signs the certificates of the cluster's own domain, for browsers; no program of the cluster believes it.
type WebCA struct {
	Domain string    `json:"domain"`
	CA     []byte    `json:"ca"`    // DER
	CAKey  []byte    `json:"caKey"` // PKCS #8, sealed
	Chain  [][]byte  `json:"chain"` // DER of the certificate in use
	Key    []byte    `json:"key"`   // its key, sealed likewise
	At     time.Time `json:"at"`    // when that was issued
}

// Front is how the resolver serves an environment's site. Orchestrators before it keep it and don't heed it.
type Front struct {
	Env      wire.EnvName   `json:"env"`
	Since    time.Time      `json:"since"` // as in Domain
	Settings front.Settings `json:"settings"`
	// Pass is the SHA-256 of what lets a person in during maintenance. Empty: nobody has asked for it since that began.
	Pass []byte    `json:"pass,omitempty"`
	At   time.Time `json:"at"`
}
