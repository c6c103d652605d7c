// Package account is what people read and say of accounts: who owns environments, and how much of the cluster they may have.
//
// Owns: the states of an account, the kinds of limits and what they count, groups of accounts, and their rules of form.
// In: what a person writes.
// Out: resources of the API; an error that names the field.
// Never: counts what an account has (orchestrator/accounts does).
package account

import (
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"hardnode.dev/internal/wire"
)

// State is where an account is.
//
//	trial ─▶ active ◀─▶ suspended ─▶ closing ─▶ (gone)
type State string

// The states.
const (
	Active    State = "active"
	Trial     State = "trial"     // active until a day, then suspended
	Suspended State = "suspended" // its environments don't run, their data is kept; its tokens read only
	Closing   State = "closing"   // suspended, and erased on a day
)

// States are all states.
var States = []State{Active, Trial, Suspended, Closing}

// Works tells whether what the account wants is done: its environments run, and it may change them.
func (s State) Works() bool { return s == "" || s == Active || s == Trial }

// Kind is what a limit counts, over all environments of an account that are not deleted.
type Kind string

// The kinds.
const (
	Environments Kind = "environments"
	Nodes        Kind = "nodes"
	Cloudlets    Kind = "cloudlets"       // dynamic ones: the most that its nodes may grow to
	Disk         Kind = "diskMiB"         // quotas of layers and volumes, whatever is written in them
	Addresses    Kind = "publicAddresses" // IPv4 and IPv6 together
	Domains      Kind = "domains"         // host names beside the one that each environment has in the cluster's domain
)

// Kinds are all kinds, in the order in which they are shown.
var Kinds = []Kind{Environments, Nodes, Cloudlets, Disk, Addresses, Domains}

// Most is the highest limit that can be set. A kind without a limit is not bounded.
const Most = 1 << 40

// Limits are the most that an account may have of each kind. A kind that is not in it has no limit.
type Limits map[Kind]int64

// Validate says what is wrong with the limits, or nil.
func (l Limits) Validate() error {
	for _, k := range slices.Sorted(maps.Keys(l)) {
		if !slices.Contains(Kinds, k) {
			return fmt.Errorf("limits: %q is no kind of limit, want one of %s", string(k), kinds())
		}
		if l[k] < 0 || l[k] > Most {
			return fmt.Errorf("limits.%s: %d, want 0 to %d; leave it out for no limit", k, l[k], int64(Most))
		}
	}
	return nil
}

func kinds() string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// DefaultGroup is the group of accounts that were put into no other one. It is there without being made, and can't be deleted.
const DefaultGroup = "default"

// Account is an account as it is.
type Account struct {
	Name    wire.Account `json:"name"`
	Title   string       `json:"title,omitempty" doc:"Its name for people"`
	Contact string       `json:"contact,omitempty" doc:"Mail address of who answers for it"`
	Group   string       `json:"group" doc:"The group that its limits come from"`
	State   State        `json:"state" enum:"active,trial,suspended,closing"`
	Reason  string       `json:"reason,omitempty" doc:"Why it is suspended or closing"`
	Since   time.Time    `json:"since,omitzero" doc:"When it came into its state"`
	Ends    time.Time    `json:"ends,omitzero" doc:"When a trial is suspended, or a closing account erased"`
	Created time.Time    `json:"created,omitzero"`
	By      string       `json:"by,omitempty"`
	Use     []AccountUse `json:"use" doc:"What it has of each kind, and may have"`
	Rates   APIRates     `json:"rates,omitzero" doc:"How often it may ask the API: more is answered with 429 and Retry-After"`
}

// AccountUse is how much of one kind an account has.
type AccountUse struct {
	Kind  Kind   `json:"kind" enum:"environments,nodes,cloudlets,diskMiB,publicAddresses,domains"`
	Used  int64  `json:"used"`
	Limit *int64 `json:"limit,omitempty" doc:"The most it may have; absent: there is no limit"`
	From  string `json:"from,omitempty" doc:"Where the limit is set: account, or group"`
}

// The places where a limit is set.
const (
	FromAccount = "account"
	FromGroup   = "group"
)

// NewAccount asks for an account.
type NewAccount struct {
	Name    wire.Account `json:"name" required:"true" maxLength:"40" doc:"A DNS label, unique in the cluster"`
	Title   string       `json:"title,omitempty" maxLength:"100"`
	Contact string       `json:"contact,omitempty" maxLength:"254"`
	Group   string       `json:"group,omitempty" maxLength:"40" doc:"Left out: default"`
	Days    int          `json:"trialDays,omitempty" minimum:"0" maximum:"3660" doc:"It is a trial that is suspended after so many days; 0: what its group says"`
	Limits  Limits       `json:"limits,omitempty" doc:"Its own limits, in place of its group's"`
}

// ChangeAccount asks for another state, group, name or limits of an account; what is left out stays.
type ChangeAccount struct {
	Title   *string         `json:"title,omitempty" maxLength:"100"`
	Contact *string         `json:"contact,omitempty" maxLength:"254"`
	Group   *string         `json:"group,omitempty" maxLength:"40"`
	State   *State          `json:"state,omitempty" enum:"active,suspended,closing"`
	Reason  string          `json:"reason,omitempty" maxLength:"300" doc:"Why it is suspended or closing: its users read it"`
	Days    int             `json:"days,omitempty" minimum:"0" maximum:"3660" doc:"With state closing: erased after so many days, 0 is 30"`
	Limits  map[Kind]*int64 `json:"limits,omitempty" doc:"Limits of its own; null: the group's again"`
}

// ClosingDays is how long a closing account is kept when nothing else is said.
const ClosingDays = 30

// AccountGroup is a set of accounts that are treated alike.
type AccountGroup struct {
	Name     string `json:"name"`
	Title    string `json:"title,omitempty"`
	Days     int    `json:"trialDays,omitempty" doc:"New accounts are trials of so many days; 0: they are not"`
	Limits   Limits `json:"limits,omitempty" doc:"Of each account in it"`
	Accounts int    `json:"accounts" doc:"How many accounts are in it"`
	SignUp   bool   `json:"signUp,omitempty" doc:"People make accounts of it by themselves, once their mail address is known to be theirs"`
	Trash    int    `json:"trashDays,omitempty" doc:"For how many days environments of each account in it stay in the trash; 0: 7"`
	// Rates are how often each account in it may ask the API.
	Rates APIRates `json:"rates,omitzero" doc:"How often each account in it may ask the API: those in force where nothing was set"`
}

// SetAccountGroup makes a group, or replaces what is said of it.
type SetAccountGroup struct {
	Title  string `json:"title,omitempty" maxLength:"100"`
	Days   int    `json:"trialDays,omitempty" minimum:"0" maximum:"3660"`
	Limits Limits `json:"limits,omitempty"`
	SignUp bool   `json:"signUp,omitempty" doc:"People make accounts of it by themselves; left out: they do not"`
	Trash  int    `json:"trashDays,omitempty" minimum:"0" maximum:"365" doc:"For how many days environments of each account in it stay in the trash; 0: 7. What is in the trash already stays as long as it was told"`
	// Rates are how often each account in it may ask the API.
	Rates APIRates `json:"rates,omitzero" doc:"How often each account in it may ask the API; left out: 20 a second of each token or session (300 at once), 60 of an account (900)"`
}

// ValidateGroup says why a group can't have a name, or nil.
func ValidateGroup(name string) error { return wire.Label("account group", name, 40) }

// ValidateContact says why s is no mail address (RFC 5322, without a display name), or nil; "" is none.
func ValidateContact(s string) error {
	if s == "" {
		return nil
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s || len(s) > 254 {
		return fmt.Errorf("contact %q: want a mail address such as ops@example.com", s)
	}
	return nil
}

// ValidateTitle says why s can't be shown as a name, or nil.
func ValidateTitle(what, s string) error {
	control := func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 }
	if len(s) > 300 || !utf8.ValidString(s) || strings.ContainsFunc(s, control) {
		return fmt.Errorf("%s: want one line of at most 300 bytes of printable text", what)
	}
	return nil
}
