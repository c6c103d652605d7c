package user

import (
	"time"

	"hardnode.dev/internal/secret"
)

// MaxPasskeys is how many passkeys a user may have, and MaxPasskeyName how long the name of one, in bytes.
const (
	MaxPasskeys    = 20
	MaxPasskeyName = 60
)

// Passkey is what a user signs in with at the panel in place of their password and code (Web Authentication, Level 3).
type Passkey struct {
	ID         string    `json:"id"`
	Name       string    `json:"name" doc:"That its user gave it"`
	Domain     string    `json:"domain" doc:"Of the panel that it is for; it signs in at no other"`
	Synced     bool      `json:"synced,omitempty" doc:"It may be on more than one of the user's devices"`
	Transports []string  `json:"transports,omitempty" doc:"How a browser reaches it, as it says"`
	Model      string    `json:"model,omitempty" doc:"Of what keeps it, as it says (AAGUID, hexadecimal); left out: it does not say"`
	Made       time.Time `json:"made"`
	Last       time.Time `json:"lastSignIn,omitzero"`
}

// RenamePasskey gives a passkey another name.
type RenamePasskey struct {
	Name string `json:"name" required:"true" minLength:"1" maxLength:"60"`
}

// RemovePasskey has a passkey sign nobody in any more.
type RemovePasskey struct {
	Password secret.Text `json:"password" required:"true" maxLength:"256"`
	Code     secret.Text `json:"code,omitempty" maxLength:"40" doc:"Of the second factor, if there is one"`
}
