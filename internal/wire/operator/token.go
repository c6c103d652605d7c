package operator

import (
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/account"
)

// Token is a bearer token of the API, without its text.
type Token struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Account wire.Account `json:"account,omitempty" doc:"Whose it is, and what is made with it"`
	Scopes  []string     `json:"scopes" doc:"read, write, exec, patch, platform, metrics, admin; admin includes all"`
	Created time.Time    `json:"created"`
	Expires time.Time    `json:"expires,omitzero"`
	// Environments are those that it is for.
	Environments []wire.EnvName `json:"environments,omitempty" doc:"The environments that it is for, and nothing else is; absent: all that its account sees"`
	// Maker is who made it.
	Maker  *TokenMaker `json:"maker,omitempty" doc:"Who made it; absent: it is from before that was kept"`
	Ended  time.Time   `json:"ended,omitzero" doc:"Since when it is refused: it ended with its maker, and is shown for 30 days more"`
	Reason string      `json:"reason,omitempty" doc:"Why it ended, or may do less than its scopes say"`
	// Rate is how often it may ask.
	Rate account.APIRate `json:"rate,omitzero" doc:"How often it may ask: its own limit, or what its account's group says where that is less"`
}

// Maker is what made a token.
type Maker string

// The makers.
const (
	ByUser    Maker = "user"
	ByToken   Maker = "token"
	BySetup   Maker = "setup"   // it came with the cluster
	ByService Maker = "service" // of a service: it ends with that, not with whoever asked for it
	ByCluster Maker = "cluster" // to another account, whoever of those that run the cluster it was
)

// TokenMaker is who made a token.
type TokenMaker struct {
	Kind Maker  `json:"kind" enum:"user,token,setup,service,cluster"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty" doc:"Mail address of the user, or name of the token or the service"`
	User string `json:"user,omitempty" doc:"Id of the user that it ends with, and whose role bounds what it may do: the maker, or who made the token that made it"`
}

// NewToken asks for a token.
type NewToken struct {
	Name   string   `json:"name" minLength:"1" maxLength:"60" pattern:"^[A-Za-z0-9][A-Za-z0-9 ._@-]*$"`
	Scopes []string `json:"scopes" minItems:"1" maxItems:"8" enum:"read,write,exec,patch,platform,metrics,admin"`
	Days   int      `json:"days,omitempty" minimum:"0" maximum:"3660" doc:"Days it is valid; 0 is until revoked"`
	// Environments are those that it shall be for.
	Environments []wire.EnvName `json:"environments,omitempty" maxItems:"50" doc:"It sees these environments, their nodes and operations, and nothing else; scopes read, write and exec only; left out: all that its account sees"`
	// Rate is a limit of its own.
	Rate *account.APIRate `json:"rate,omitempty" doc:"How often it may ask, at most; left out: what its account's group says"`
}

// MadeToken carries the token's text: the only time it is shown.
type MadeToken struct {
	Token
	Text string `json:"text"`
}
