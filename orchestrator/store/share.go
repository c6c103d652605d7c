package store

import (
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/user"
)

// Share is that an environment is shared with another account, or offered to it. Orchestrators before it keep it and don't heed it: to them
// the environment is its own account's alone.
type Share struct {
	Env wire.EnvName `json:"env"`
	// Made is when the environment was created: another one of the same name is not shared by it.
	Made    time.Time    `json:"made"`
	Account wire.Account `json:"account"` // whose it is: of what went to another account nothing is shared by it
	With    wire.Account `json:"with"`
	// Role is one of share.Roles, or user.Owner: the environment is offered to be With's own, and there is no share once that is accepted.
	// Orchestrators before 2026-11-29 take such an offer for none, and remove it.
	Role    user.Role `json:"role"`
	Created time.Time `json:"created"`
	By      string    `json:"by"`
	Until   time.Time `json:"until"` // of the offer
	// Since is when it was accepted; zero: it is an offer.
	Since time.Time `json:"since,omitzero"`
	// Declined: the account it was offered to doesn't want it. Its own account is shown an offer all the same, until it ends as others do.
	Declined bool `json:"declined,omitempty"`
}

// ShareKey is the record name of a share: of an environment with an account there is one.
func ShareKey(env wire.EnvName, with wire.Account) string { return string(env) + "!" + string(with) }
