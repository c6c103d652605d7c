package store

import (
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/move"
)

// Moving is that a node goes from one host to another with its data. Until all of that has come its Host is the one that it leaves.
type Moving struct {
	Operation wire.OperationID `json:"operation"`
	Other     wire.HostID      `json:"other"` // the host that it goes to; of MoveClean: the one that it has left
	Step      MoveStep         `json:"step"`
	At        time.Time        `json:"at"`             // since when that is its step
	Rate      int64            `json:"rate,omitempty"` // bytes a second, at most; 0: no bound
	// Drain is the drain that has it go; "": a person has.
	Drain wire.OperationID `json:"drain,omitempty"`
	// Held is since when what comes for it waits at the resolvers, before it is stopped; zero: it does not. Of MoveCopy alone.
	Held time.Time `json:"held,omitzero"`
	Why  string    `json:"why,omitempty"` // it is given up, where that can be done; "": it goes on
	// Assigned is as that of the node, at the other host.
	Assigned wire.Revision `json:"assigned,omitempty"`
}

// MoveStep is how far a move is.
//
//	          ┌──────────────┐
//	copy ─▶ last ─▶ recall ─▶ clean ─▶ (none)
//	  │               └─────▶ back ──▶ (none)
//	  └───▶ (none)
type MoveStep string

// The steps.
const (
	MoveCopy  MoveStep = "copy"  // it runs, and its data is copied
	MoveLast  MoveStep = "last"  // it is stopped, and what has changed since is copied; the other host starts it
	MoveClean MoveStep = "clean" // it runs on the host that it went to, and is removed on the other
	// MoveRecall: it is given up, unless the other host has all of it already, which it is asked: nobody runs it meanwhile.
	MoveRecall MoveStep = "recall"
	MoveBack   MoveStep = "back" // it was given up: it is removed on the other host, and runs then where it was
)

// Lives is the host that a node's addresses lead to.
func (n *Node) Lives() wire.HostID {
	if n.Moving != nil && n.Moving.Step == MoveLast {
		return n.Moving.Other
	}
	return n.Host
}

// Other is the other host that has something of a node, "" if none has.
func (n *Node) Other() wire.HostID {
	if n.Moving == nil {
		return ""
	}
	return n.Moving.Other
}

// Part is what a host is told of a node's move; false: it has no part in the node.
func (n *Node) Part(on wire.HostID) (*move.Part, bool) {
	m := n.Moving
	switch {
	case m == nil || on != n.Host && on != m.Other:
		return nil, on == n.Host
	case m.Step == MoveClean:
		return nil, on == n.Host
	case m.Step == MoveBack && on == m.Other:
		return nil, false
	}
	p := &move.Part{ID: string(m.Operation), Role: move.From, Peer: m.Other, Phase: move.Copy, Rate: m.Rate}
	if m.Step != MoveCopy {
		p.Phase, p.Rate = move.Last, 0
	}
	if on == m.Other {
		if p.Role, p.Peer = move.To, n.Host; m.Step == MoveRecall {
			p.Phase = move.Copy
		}
	}
	return p, true
}
