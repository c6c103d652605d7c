package user

import (
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
)

// LinkKind is what a link is good for that somebody gets by mail, once.
type LinkKind string

// The kinds.
const (
	LinkInvite LinkKind = "invite" // come into an account
	LinkReset  LinkKind = "reset"  // choose a new password
	LinkSignUp LinkKind = "signup" // make an account of one's own: the mail address is known to be theirs
)

// Life is how long a link of a kind is good.
func (k LinkKind) Life() time.Duration {
	switch k {
	case LinkInvite:
		return 7 * 24 * time.Hour
	case LinkReset:
		return time.Hour
	case LinkSignUp:
		return 24 * time.Hour
	}
	return 0
}

// LinkPath is what the path of a link's page at the panel begins with; its secret comes after.
const LinkPath = "/panel/link/"

// Invite is one that nobody has accepted yet.
type Invite struct {
	ID      string       `json:"id"`
	Mail    string       `json:"mail"`
	Account wire.Account `json:"account"`
	Role    Role         `json:"role" enum:"owner,developer,viewer"`
	Created time.Time    `json:"created"`
	By      string       `json:"by"`
	Until   time.Time    `json:"until" doc:"When it ends if nobody accepts it"`
}

// NewInvite invites a person into an account. An earlier one for them into the same account ends.
type NewInvite struct {
	Mail    string       `json:"mail" required:"true" maxLength:"254"`
	Role    Role         `json:"role" required:"true" enum:"owner,developer,viewer"`
	Account wire.Account `json:"account,omitempty" maxLength:"40" doc:"Left out: the caller's"`
}

// MadeInvite says how the person learns of it.
type MadeInvite struct {
	Invite
	Mailed bool        `json:"mailed" doc:"They get its link by mail"`
	Link   secret.Text `json:"link,omitempty" doc:"Path of its page at the panel, where the cluster sends no mail: whoever knows it accepts the invite; shown this once"`
}

// PasswordReset is a link by which a user chooses a new password. Theirs is in force until they have.
type PasswordReset struct {
	Mail   string      `json:"mail"`
	Until  time.Time   `json:"until" doc:"When the link ends if it is not used"`
	Mailed bool        `json:"mailed" doc:"They get the link by mail"`
	Link   secret.Text `json:"link,omitempty" doc:"Path of its page at the panel, where the cluster sends no mail: whoever knows it chooses the password; shown this once"`
}
