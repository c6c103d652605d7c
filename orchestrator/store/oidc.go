package store

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"hardnode.dev/internal/wire/oidc"
)

// OIDC is the identity provider that users sign in with. Orchestrators before 2026-11-29 leave it and Identities alone, and let nobody in
// by them.
type OIDC struct {
	Issuer  string      `json:"issuer"`
	Client  string      `json:"client"`
	Secret  []byte      `json:"secret,omitempty"` // sealed: orchestrator/idp
	Name    string      `json:"name"`
	Panel   string      `json:"panel"`        // https://host:port
	CA      string      `json:"ca,omitempty"` // PEM; "": the usual ones
	Inside  bool        `json:"inside,omitempty"`
	Counts  oidc.Counts `json:"counts"`
	Domains []string    `json:"domains,omitempty"`
	Since   time.Time   `json:"since"`
	By      string      `json:"by"`
}

// Identity is whom an identity provider knows a user as. A user has one at most.
type Identity struct {
	Issuer  string    `json:"issuer"`
	Subject string    `json:"subject"`
	User    string    `json:"user"`           // id; of one who is not there any more it is nobody's
	Mail    string    `json:"mail,omitempty"` // that the provider had of them then: it is shown, and decides nothing
	Since   time.Time `json:"since"`
}

// IdentityKey is the record name of an identity: two users can't have one.
func IdentityKey(issuer, subject string) string {
	sum := sha256.Sum256([]byte(issuer + "\x00" + subject))
	return hex.EncodeToString(sum[:])
}
