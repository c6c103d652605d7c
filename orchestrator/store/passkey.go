package store

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Passkey is what a user signs in with in place of their password and code (Web Authentication, Level 3). Orchestrators before 2026-11-29
// leave it alone, and let nobody in by it.
type Passkey struct {
	ID         string    `json:"id"`         // as people name it
	User       string    `json:"user"`       // id; of one who is not there any more it is nobody's
	RP         string    `json:"rp"`         // the panel's domain that it is for, the only one where it counts
	Credential []byte    `json:"credential"` // its id, as the authenticator made it
	Key        []byte    `json:"key"`        // public (COSE_Key, RFC 9052)
	Count      uint32    `json:"count,omitempty"`
	Transports []string  `json:"transports,omitempty"`
	AAGUID     string    `json:"aaguid,omitempty"` // hex: the authenticator's model; it is shown, and decides nothing
	Synced     bool      `json:"synced,omitempty"` // may be on more than one device (the flag BE, which never changes)
	Name       string    `json:"name"`
	Made       time.Time `json:"made"`
	Last       time.Time `json:"last,omitzero"`
}

// PasskeyKey is the record name of a passkey: two users can't have one.
func PasskeyKey(credential []byte) string {
	sum := sha256.Sum256(credential)
	return hex.EncodeToString(sum[:])
}
