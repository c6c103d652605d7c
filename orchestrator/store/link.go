package store

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/user"
)

// Link is what a person was sent, or given, to come back with once; only the hash of its secret is kept. Orchestrators before 2026-11-28
// leave links alone, and take none.
type Link struct {
	ID      string        `json:"id"`
	Hash    string        `json:"hash"` // orchestrator/users
	Kind    user.LinkKind `json:"kind"`
	Mail    string        `json:"mail"`              // user.Normal
	User    string        `json:"user,omitempty"`    // reset: id
	Account wire.Account  `json:"account,omitempty"` // invite: that they come into; reset: that they are in
	Role    user.Role     `json:"role,omitempty"`    // invite
	Group   string        `json:"group,omitempty"`   // signup: of the account that they make
	Created time.Time     `json:"created"`
	By      string        `json:"by"`
	Until   time.Time     `json:"until"`
	Maker   *Maker        `json:"maker,omitempty"` // it ends with what its user may; nil: whose it is asked for it
}

// LinkKey is the record name of a link. There is one of a kind for a person (and an account, of invites): a newer one takes its place.
func LinkKey(kind user.LinkKind, mail string, account wire.Account) string {
	if kind != user.LinkInvite {
		account = ""
	}
	sum := sha256.Sum256([]byte(string(kind) + " " + string(account) + " " + user.Normal(mail)))
	return hex.EncodeToString(sum[:])
}

// Key is its record name.
func (l *Link) Key() string { return LinkKey(l.Kind, l.Mail, l.Account) }
