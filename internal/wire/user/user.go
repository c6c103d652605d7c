// Package user is what people read and say of users: the people who sign in, what they may do in which account, and their sessions.
//
// Owns: roles and the scopes that follow from them, users, sessions, second factors as the API has them, and their rules of form.
// In: what a person writes.
// Out: resources of the API; an error that names the field.
// Never: checks a password, or knows who is signed in (orchestrator/users does).
package user

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
)

// Role is what a user may do in an account.
type Role string

// The roles.
const (
	Owner     Role = "owner"     // all that the account may: also its users, its tokens, its audit
	Developer Role = "developer" // create, change and delete environments, run commands in them
	Viewer    Role = "viewer"    // look at everything but secrets
)

// Roles are all roles, the one that may most first.
var Roles = []Role{Owner, Developer, Viewer}

// Scopes are the scopes of the API that a role has; of a role that is none, none.
func (r Role) Scopes() []string {
	switch r {
	case Owner:
		return []string{"admin"}
	case Developer:
		return []string{"read", "write", "exec"}
	case Viewer:
		return []string{"read"}
	}
	return nil
}

// Validate says why r is no role, or nil.
func (r Role) Validate() error {
	if !slices.Contains(Roles, r) {
		return fmt.Errorf("role %q: want owner, developer or viewer", string(r))
	}
	return nil
}

// User is a person who signs in, as others of the account see them.
type User struct {
	ID           string       `json:"id"`
	Mail         string       `json:"mail" doc:"How they sign in"`
	Name         string       `json:"name,omitempty"`
	Members      []Membership `json:"members" doc:"The accounts that they are in: those that the caller sees"`
	SecondFactor bool         `json:"secondFactor" doc:"Signing in takes a code beside the password"`
	Recovery     int          `json:"recoveryCodes,omitempty" doc:"How many recovery codes are left"`
	Identity     *Identity    `json:"identity,omitempty" doc:"Whom the identity provider knows them as; left out: they don't sign in with it"`
	Passkeys     int          `json:"passkeys,omitempty" doc:"How many they may sign in with, in place of their password and code"`
	Sessions     int          `json:"sessions" doc:"How many are open"`
	Last         time.Time    `json:"lastSignIn,omitzero"`
	Created      time.Time    `json:"created"`
	By           string       `json:"by,omitempty"`
	Acting       *ActingAs    `json:"acting,omitempty" doc:"Of who asks: it is not the user, but somebody who acts as them"`
}

// Identity is whom an identity provider knows a user as, who signs in with it.
type Identity struct {
	Issuer string    `json:"issuer"`
	Mail   string    `json:"mail,omitempty" doc:"That the provider had of them then"`
	Since  time.Time `json:"since"`
}

// EndIdentity has a user sign in with the identity provider no more.
type EndIdentity struct {
	Password secret.Text `json:"password" required:"true" maxLength:"256"`
	Code     secret.Text `json:"code,omitempty" maxLength:"40" doc:"Of the second factor, if there is one"`
}

// Membership is what a user may do in one account.
type Membership struct {
	Account wire.Account `json:"account"`
	Role    Role         `json:"role" enum:"owner,developer,viewer"`
	Since   time.Time    `json:"since,omitzero"`
	By      string       `json:"by,omitempty"`
}

// NewUser asks for a user who is in one account.
type NewUser struct {
	Mail     string       `json:"mail" required:"true" maxLength:"254"`
	Name     string       `json:"name,omitempty" maxLength:"100"`
	Password secret.Text  `json:"password" required:"true" maxLength:"256" doc:"At least 12 bytes; they change it with PUT /user/password"`
	Account  wire.Account `json:"account" required:"true" maxLength:"40"`
	Role     Role         `json:"role" required:"true" enum:"owner,developer,viewer"`
}

// SetMember puts a user into an account, or gives them another role in it.
type SetMember struct {
	Role Role `json:"role" required:"true" enum:"owner,developer,viewer"`
}

// ChangeSelf changes what is said of a user; what is left out stays.
type ChangeSelf struct {
	Name *string `json:"name,omitempty" maxLength:"100"`
}

// SignIn asks for a session.
type SignIn struct {
	Mail     string       `json:"mail" required:"true" maxLength:"254"`
	Password secret.Text  `json:"password" required:"true" maxLength:"256"`
	Code     secret.Text  `json:"code,omitempty" maxLength:"40" doc:"Of the second factor, or a recovery code; only who has one gives it"`
	Account  wire.Account `json:"account,omitempty" maxLength:"40" doc:"The one of their accounts to work in; left out: the first"`
}

// UserSession is one sign-in of a user that has not ended.
type UserSession struct {
	ID      string       `json:"id"`
	Mail    string       `json:"mail"`
	Account wire.Account `json:"account" doc:"That it works in"`
	Role    Role         `json:"role" enum:"owner,developer,viewer"`
	Kind    string       `json:"kind" doc:"Where it began: api or panel; acting: see acting"`
	From    string       `json:"from" doc:"Address of who began it"`
	Begun   time.Time    `json:"begun"`
	Used    time.Time    `json:"used" doc:"When something was asked last, to the minute"`
	Ends    time.Time    `json:"ends" doc:"When it ends if nothing more is asked, or at the latest"`
	Current bool         `json:"current,omitempty" doc:"It is the caller's"`
	Acting  *ActingAs    `json:"acting,omitempty" doc:"It is not the user's: somebody who runs the cluster acts as them"`
}

// SignedIn carries the session's token: the only time it is shown.
type SignedIn struct {
	UserSession
	Token secret.Text `json:"token" doc:"Sent as a bearer token"`
}

// ChangePassword replaces one's own password. All sessions end.
type ChangePassword struct {
	Old  secret.Text `json:"old" required:"true" maxLength:"256"`
	New  secret.Text `json:"new" required:"true" maxLength:"256" doc:"At least 12 bytes"`
	Code secret.Text `json:"code,omitempty" maxLength:"40" doc:"Of the second factor, if there is one"`
}

// BeginSecondFactor asks for a second factor.
type BeginSecondFactor struct {
	Password secret.Text `json:"password" required:"true" maxLength:"256"`
	Code     secret.Text `json:"code,omitempty" maxLength:"40" doc:"Of the second factor that it takes the place of, if there is one"`
}

// NewSecondFactor is a second factor that is not in force before a code of it was sent.
type NewSecondFactor struct {
	Secret secret.Text `json:"secret" doc:"For an authenticator app (TOTP, RFC 6238), in base32"`
	URI    secret.Text `json:"uri" doc:"The same as an otpauth:// address"`
	Until  time.Time   `json:"until" doc:"When it is forgotten if no code was sent"`
}

// ConfirmSecondFactor puts a second factor in force.
type ConfirmSecondFactor struct {
	Code secret.Text `json:"code" required:"true" maxLength:"40"`
}

// RecoveryCodes are what signs in, each once, when the second factor is lost: the only time they are shown.
type RecoveryCodes struct {
	Codes []secret.Text `json:"codes"`
}

// RenewRecovery asks for new recovery codes in place of those that are left.
type RenewRecovery struct {
	Password secret.Text `json:"password" required:"true" maxLength:"256"`
	Code     secret.Text `json:"code" required:"true" maxLength:"40"`
}

// EndSecondFactor takes a second factor away.
type EndSecondFactor struct {
	Password secret.Text `json:"password" required:"true" maxLength:"256"`
	Code     secret.Text `json:"code" required:"true" maxLength:"40"`
}

// MinPassword and MaxPassword are how long a user's password may be, in bytes.
const (
	MinPassword = 12
	MaxPassword = 256
)

// ValidateMail says why s is no user's mail address, or nil. Only ASCII: letters that look alike, or become the same when they are written
// small, would make one person's address another's.
func ValidateMail(s string) error {
	for _, r := range s {
		if r < '!' || r > '~' {
			return fmt.Errorf("mail %q: want ASCII letters, digits and signs, such as ada@example.com", s)
		}
	}
	if s == "" || account.ValidateContact(s) != nil || strings.ContainsAny(s, `"/\<>(),;:[]?#%&`) {
		return fmt.Errorf("mail %q: want an address such as ada@example.com", s)
	}
	return nil
}

// Normal is a mail address as it is compared: addresses that differ in capitals are one person's.
func Normal(mail string) string { return strings.ToLower(strings.TrimSpace(mail)) }

// ValidatePassword says why a password can't be a user's, or nil. It never shows it.
func ValidatePassword(p secret.Text, mail string) error {
	text := p.Reveal()
	switch {
	case len(text) < MinPassword || len(text) > MaxPassword:
		return fmt.Errorf("the password has %d bytes; want %d to %d", len(text), MinPassword, MaxPassword)
	case strings.Trim(text, text[:1]) == "":
		return errors.New("the password is one letter many times")
	case strings.EqualFold(text, mail):
		return errors.New("the password is the mail address")
	}
	return nil
}
