package user

import (
	"time"

	"hardnode.dev/internal/wire"
)

// Service is a user of an account that is no person: it has a role and tokens, and neither a password nor sessions. Its tokens end with it,
// not with whoever made it.
type Service struct {
	ID      string       `json:"id"`
	Name    string       `json:"name" doc:"A DNS label, unique in its account"`
	Account wire.Account `json:"account"`
	Role    Role         `json:"role" enum:"owner,developer,viewer" doc:"Its tokens do no more than that"`
	Tokens  int          `json:"tokens" doc:"How many it has that have not ended"`
	Created time.Time    `json:"created"`
	By      string       `json:"by,omitempty"`
}

// NewService asks for a service.
type NewService struct {
	Name    string       `json:"name" required:"true" maxLength:"40" doc:"A DNS label, unique in its account"`
	Role    Role         `json:"role" required:"true" enum:"owner,developer,viewer"`
	Account wire.Account `json:"account,omitempty" maxLength:"40" doc:"Left out: the caller's own"`
}

// MaxServices is how many one account may have.
const MaxServices = 50

// ValidateService says why a service can't have a name, or nil.
func ValidateService(name string) error { return wire.Label("service", name, 40) }
