package host

import (
	"fmt"
	"strconv"
	"strings"
)

// ProtocolHeader carries, in a request of the host API, the protocols that the caller speaks ("1-2", or "1"), and in the answer the one it
// is written in. A caller that sends none speaks protocol 1; a server that sends none answers in it.
const ProtocolHeader = "Hardnode-Protocol"

// Protocols are the protocols of the host API that a program speaks: Oldest to Newest.
//
// A field or a call that a neighbour may leave out or not know needs no new protocol (package neighbour). What both must do alike does: a
// document of another form, a call that is not made any more. A program speaks the protocol of the version before it too, so that hosts and
// infra hosts can be updated one after the other, in any order.
type Protocols struct{ Oldest, Newest int }

// Spoken is what this version speaks.
//
// History: 1 (2026-11-26) the first: one Peers document with everybody's names. 2 (2026-11-26) Peers without names, as differences, and the
// names of those accounts that the host runs containers of, by environment (Assignment.PeersChange, Assignment.Names); revisions of Peers
// do not count names (ReportReply.Peers). 3 (2026-11-27) what is asked of a host comes with the answer of PathAssigned
// (Assignment.Session); PathSessions is not called any more.
var Spoken = Protocols{1, 3}

// ProtocolSessions is the first protocol in which Assignment.Session is.
const ProtocolSessions = 3

// String is p as ProtocolHeader carries it.
func (p Protocols) String() string {
	if p.Oldest == p.Newest {
		return strconv.Itoa(p.Newest)
	}
	return strconv.Itoa(p.Oldest) + "-" + strconv.Itoa(p.Newest)
}

// ParseProtocols reads a ProtocolHeader; an empty one is protocol 1.
func ParseProtocols(s string) (Protocols, error) {
	if s == "" {
		return Protocols{1, 1}, nil
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	oldest, err := strconv.ParseUint(from, 10, 16)
	newest, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || oldest < 1 || newest < oldest {
		return Protocols{}, fmt.Errorf("%s %q: want one protocol, or the oldest and the newest with - between them", ProtocolHeader, s)
	}
	return Protocols{int(oldest), int(newest)}, nil
}

// Agree is the newest protocol that both speak; false when there is none.
func (p Protocols) Agree(other Protocols) (protocol int, ok bool) {
	n := min(p.Newest, other.Newest)
	return n, n >= max(p.Oldest, other.Oldest)
}
