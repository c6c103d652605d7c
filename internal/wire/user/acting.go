package user

import (
	"errors"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
)

// ActingFor is how long somebody who runs the cluster acts as a user at most, and when nothing else is said.
const ActingFor = time.Hour

// SignInAs asks to act as a user. Who acts does not what concerns the user themselves or the account's people: passwords, second factors,
// sessions, tokens, members, shares, the audit.
type SignInAs struct {
	Reason  string       `json:"reason" required:"true" maxLength:"300" doc:"Why: the account's record and its owners' mail say it"`
	Account wire.Account `json:"account,omitempty" maxLength:"40" doc:"The one of their accounts to act in; left out: the first"`
	Minutes int          `json:"minutes,omitempty" minimum:"0" maximum:"60" doc:"For how long; 0 is an hour"`
}

// ActingAs says that it is not the user who asks.
type ActingAs struct {
	By     string    `json:"by" doc:"Who of those who run the cluster acts as the user"`
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// Validate says why nobody acts as a user for it, or nil.
func (s SignInAs) Validate() error {
	if strings.TrimSpace(s.Reason) == "" {
		return errors.New("reason: is empty: the user's account reads it")
	}
	return account.ValidateTitle("reason", s.Reason)
}
