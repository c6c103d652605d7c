package store

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Acting is that somebody who runs the cluster acts as a user, for a time. Orchestrators before it keep it, and let nobody in by it.
type Acting struct {
	ID      string       `json:"id"`
	Hash    string       `json:"hash"` // hex SHA-256 of the text
	User    string       `json:"user"` // id
	Account wire.Account `json:"account"`
	// Holder is the hash of the token or session of who acts: it ends with that.
	Holder string    `json:"holder"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Begun  time.Time `json:"begun"`
	Until  time.Time `json:"until"`
}
