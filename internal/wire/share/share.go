// Package share is what people read and say of environments that an account shares with another one.
//
// Owns: offers and shares as the API has them, and their rules of form.
// In: what a person writes.
// Out: resources of the API; an error that names the field.
// Never: decides what a share allows (orchestrator/shares does).
package share

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/user"
)

// State is where a share is.
type State string

// The states.
const (
	Offered State = "offered" // the other account has not accepted it
	Shared  State = "shared"
	// Transferred: it was offered in the role of an owner, and is the other account's now. The answer to who accepts says so; of the share
	// nothing is kept.
	Transferred State = "transferred"
)

// OfferFor is how long an offer can be accepted.
const OfferFor = 7 * 24 * time.Hour

// Most is with how many accounts an environment may be shared, offers among them.
const Most = 20

// Roles are those in which an environment can be shared: none of them gives it away. An offer in the role user.Owner does (NewTransfer).
var Roles = []user.Role{user.Developer, user.Viewer}

// Share is that an environment is shared with another account, or offered to it.
type Share struct {
	Env     wire.EnvName `json:"env"`
	Account wire.Account `json:"account" doc:"Whose the environment is"`
	With    wire.Account `json:"with" doc:"The account that it is shared with"`
	Role    user.Role    `json:"role" enum:"developer,viewer,owner" doc:"What that account's people may do in this environment at most; what their own role does not allow they may not here either. owner: it is offered to be that account's own (a transfer)"`
	State   State        `json:"state" enum:"offered,shared,transferred" doc:"transferred: it is the other account's own now"`
	Created time.Time    `json:"created" doc:"When it was offered"`
	By      string       `json:"by,omitempty" doc:"Who offered it; only its own account reads that"`
	Until   time.Time    `json:"until,omitzero" doc:"When an offer ends that nobody accepts"`
	Since   time.Time    `json:"since,omitzero" doc:"When it was accepted"`
	Idle    string       `json:"idle,omitempty" doc:"Why it allows nothing now"`
}

// NewShare offers an environment to another account. The answer is the same whether there is such an account or not.
type NewShare struct {
	With wire.Account `json:"with" required:"true" maxLength:"40"`
	Role user.Role    `json:"role" required:"true" enum:"developer,viewer"`
}

// NewTransfer offers an environment that is stopped to another account, to be its own. The answer is the same whether there is such an
// account or not.
type NewTransfer struct {
	To wire.Account `json:"to" required:"true" maxLength:"40"`
}

// ValidateRole says why an environment can't be shared in a role, or nil.
func ValidateRole(r user.Role) error {
	if !slices.Contains(Roles, r) {
		return fmt.Errorf("role %q: want developer or viewer", string(r))
	}
	return nil
}
