// Package move is that a container goes from one host to another.
//
// Owns: what the two hosts are told of it (Part), and what they say (State).
// In: JSON of an Assignment, of a report.
// Out: valid values; an error naming the field and the rule it broke.
// Never: moves anything, or knows addresses: hosts find each other by Peers.
//
// Both hosts have the container in their Work, with a Part each, and neither is told what to do next but by its Phase:
//
//	             from                                   to
//	Copy         it runs as ever; Peer may pull         it does not run; it pulls whole, then what has changed, again and again
//	Last         it is stopped and stays so; Peer       it pulls what has changed since, and runs it as soon as that is here
//	             may pull its last state
//	(no Part)    it runs, as Run says                   it runs, as Run says
//
// A move is given up by taking the container out of the Work of the host that it goes to, and, once that host has reported that it has
// none, the Part out of the other's. After State.Arrived of Last it can't be given up: the container may have run there. An Error does not
// say that it will not arrive. So a host that was told Last is told Copy again before: it then stops the container, if it runs, and says
// either State.Arrived, and the move goes on, or State.Phase Copy without: then it does not arrive any more.
//
// History: 2026-11-27 version 1; State.Waits.
package move

import (
	"fmt"
	"strings"

	"hardnode.dev/internal/wire"
)

// Role is which end of a move a host is.
type Role string

// The roles.
const (
	From Role = "from"
	To   Role = "to"
)

// Phase is how far a move is.
type Phase string

// The phases.
const (
	Copy Phase = "copy"
	Last Phase = "last"
)

// Part is what a host is told of the move of one of its containers.
type Part struct {
	ID    string      `json:"id"` // of the move: what is kept of another one is of no use
	Role  Role        `json:"role"`
	Peer  wire.HostID `json:"peer"` // the other host: the one that may pull, or is pulled from
	Phase Phase       `json:"phase"`
	Rate  int64       `json:"rate,omitempty"` // bytes a second, at most; 0: no bound. Last has none
}

// Most is how many containers are copied to a host, or from one, at once. The others wait; one that is stopped waits for none.
const Most = 2

// State is what a host says of a move. Of the host it goes from only ID, Phase, Arrived and Error are said.
type State struct {
	ID    string `json:"id"`
	Phase Phase  `json:"phase"`           // that it is about
	Round int    `json:"round,omitempty"` // pulled so far
	Bytes int64  `json:"bytes,omitempty"` // pulled so far, of all rounds
	Of    int64  `json:"of,omitempty"`    // what Bytes will be, about, at the end of the round; 0: not known
	Delta int64  `json:"delta,omitempty"` // of the last round alone
	Micro int64  `json:"micro,omitempty"` // microseconds that it took
	// Ready: one more round would be short, or they do not become shorter. It is time for Last.
	Ready bool `json:"ready,omitempty"`
	// Arrived: to: the last state is here, whole, and is the container's. from: it is stopped and its last state waits to be pulled.
	Arrived bool   `json:"arrived,omitempty"`
	Error   string `json:"error,omitempty"` // why it does not go on now; it is tried again
	Waits   bool   `json:"waits,omitempty"` // Copy: until others that come to this host, or leave the other one, are done
}

// isID tells whether a text is 1 to 64 of a-z, 0-9 and -, the first no -. It is no regular expression: each program of a host would keep
// 50 KB of states of one that counts.
func isID(s string) bool {
	other := func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }
	return s != "" && len(s) <= 64 && s[0] != '-' && !strings.ContainsFunc(s, other)
}

// Validate says what is wrong with it, or nil.
func (p *Part) Validate() error {
	switch {
	case p == nil:
		return nil
	case !isID(p.ID):
		return fmt.Errorf("move: id %.80q: want 1 to 64 of a-z, 0-9 and -", p.ID)
	case p.Role != From && p.Role != To:
		return fmt.Errorf("move %s: role %.20q is not known, use from or to", p.ID, p.Role)
	case p.Phase != Copy && p.Phase != Last:
		return fmt.Errorf("move %s: phase %.20q is not known, use copy or last", p.ID, p.Phase)
	case p.Peer.Validate() != nil:
		return fmt.Errorf("move %s: peer: %v", p.ID, p.Peer.Validate())
	case p.Rate < 0:
		return fmt.Errorf("move %s: rate %d is negative; 0 is no bound", p.ID, p.Rate)
	}
	return nil
}

// Still tells whether the container must not run on a host with that part; arrived is what the host would say of Last.
func (p *Part) Still(arrived bool) bool {
	switch {
	case p == nil:
		return false
	case p.Role == From:
		return p.Phase == Last
	}
	return p.Phase == Copy || !arrived
}
