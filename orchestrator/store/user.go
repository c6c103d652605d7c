package store

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/user"
)

// User is a person who signs in, or a service. Orchestrators before 2026-11-28 leave users and sessions alone, and let none of them in.
type User struct {
	ID       string    `json:"id"`
	Mail     string    `json:"mail"` // user.Normal
	Name     string    `json:"name,omitempty"`
	Password string    `json:"password"` // internal/secret/password
	Factor   *Factor   `json:"factor,omitempty"`
	Pending  *Pending  `json:"pending,omitempty"` // a second factor of which no code was sent yet
	Members  []Member  `json:"members"`
	Places   []string  `json:"places,omitempty"` // limit.Key of where they signed in from, the last one last
	Last     time.Time `json:"last,omitzero"`    // sign-in
	Created  time.Time `json:"created"`
	By       string    `json:"by"`
	// Made grows with each token that they make: one that is made while they leave fails, or ends with the others.
	Made int64 `json:"made,omitempty"`
	// Service: it is no person: it has no password and no sessions, is in one account, and Mail is ServiceMail. Orchestrators before
	// 2026-11-29 list it among people, and let nobody in for it.
	Service bool `json:"service,omitempty"`
}

// ServiceMail stands for a mail address of a service: no person has such a one (user.ValidateMail).
func ServiceMail(of wire.Account, name string) string { return string(of) + "/" + name }

// ServiceKey is the record name of a service.
func ServiceKey(of wire.Account, name string) string { return UserKey(ServiceMail(of, name)) }

// Member is what a user may do in one account.
type Member struct {
	Name  wire.Account `json:"name"` // of the account
	Role  user.Role    `json:"role"`
	Since time.Time    `json:"since"`
	By    string       `json:"by"`
}

// Role is what a user may do in an account; "" is nothing.
func (u *User) Role(of wire.Account) user.Role {
	for _, m := range u.Members {
		if m.Name == of {
			return m.Role
		}
	}
	return ""
}

// Only is the account of who is in one, and true; the first one, or none, of others.
func (u *User) Only() (m Member, one bool) {
	if len(u.Members) > 0 {
		m = u.Members[0]
	}
	return m, len(u.Members) == 1
}

// UserKey is the record name of a user: two people can't have one address.
func UserKey(mail string) string {
	sum := sha256.Sum256([]byte(user.Normal(mail)))
	return hex.EncodeToString(sum[:])
}

// Factor is a second factor in force.
type Factor struct {
	Secret   secret.Bytes `json:"secret"`             // sealed: orchestrator/users
	Step     int64        `json:"step"`               // of the last code that was taken: none up to it is taken again
	Recovery []string     `json:"recovery,omitempty"` // hex SHA-256 of each code that is left
	Since    time.Time    `json:"since"`
}

// Pending is a second factor that is not in force yet.
type Pending struct {
	Secret secret.Bytes `json:"secret"` // sealed
	Until  time.Time    `json:"until"`
}
