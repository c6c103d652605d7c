package trust

import (
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Kind is why something was refused; the names travel (API, logs).
type Kind string

// The kinds, and the attack of the TUF specification (section 1.5.2) that each stands against.
const (
	Unavailable  Kind = "unavailable"  // a file is missing or can't be read: denial of service, which may only delay
	Expired      Kind = "expired"      // freeze
	Older        Kind = "older"        // rollback
	Mixed        Kind = "mixed"        // mix-and-match; a partial bundle
	Unsigned     Kind = "unsigned"     // arbitrary software; too few keys; the wrong role's keys
	Endless      Kind = "endless"      // endless data
	Slow         Kind = "slow"         // slow retrieval
	WrongPin     Kind = "wrong-pin"    // another repository's root
	Stranger     Kind = "stranger"     // another installation's metadata
	Damaged      Kind = "damaged"      // metadata that can't be read
	Disagree     Kind = "disagree"     // one of two repositories only, or not the same file
	BelowFloor   Kind = "below-floor"  // a stop-over was left out
	Downgrade    Kind = "downgrade"    // older than what runs
	Architecture Kind = "architecture" // of another machine
	Altered      Kind = "altered"      // a file that is not the one named
)

// Refusal is why a repository, or a file, was not believed. Nothing is installed after one; what runs goes on.
type Refusal struct {
	Repository Name // "" where both are meant
	Kind       Kind
	Reason     string
	Next       string // what a person can do
}

func (r *Refusal) Error() string {
	text := r.Reason
	if r.Repository != "" {
		text = fmt.Sprintf("%s repository: %s", r.Repository, r.Reason)
	}
	if r.Next != "" {
		text += "; " + r.Next
	}
	return text
}

// Is makes errors.Is(err, &Refusal{Kind: …}) tell the kind.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && t.Kind == r.Kind
}

const (
	nextMirror = "try again, or take the metadata from another place"
	nextOwner  = "tell whoever signs the repository"
	nextNewer  = "take newer metadata; nothing older than what was believed before is believed again"
	nextMixed  = "take all of the repository's metadata from one place, copied at one time"
)

func (l *look) refuse(k Kind, reason, next string) *Refusal {
	return &Refusal{Repository: l.anchor.Name, Kind: k, Reason: reason, Next: next}
}

func (l *look) expired(name string, at time.Time) *Refusal {
	return l.refuse(Expired, fmt.Sprintf("%s was good until %s, and the clock here says %s", name, at.UTC().Format(time.DateTime),
		l.now.UTC().Format(time.DateTime)), "take newer metadata, or set the clock if it is wrong; what runs here goes on")
}

// explain is an error of go-tuf's verifier about a file, in words for people.
func (l *look) explain(name string, err error) *Refusal {
	switch {
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		return l.expired(name, l.until())
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		return l.refuse(Older, fmt.Sprintf("%s is older than what was believed before, or not the version that was named (%v)", name, err),
			nextNewer)
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}):
		return l.refuse(Unsigned, fmt.Sprintf("%s is not signed by as many of the right keys as the root asks for (%v)", name, err),
			nextMirror+"; if it stays so, "+nextOwner)
	case errors.Is(err, &metadata.ErrLengthOrHashMismatch{}):
		return l.refuse(Mixed, fmt.Sprintf("%s is not the file that the metadata above it names (%v)", name, err), nextMixed)
	}
	return l.refuse(Damaged, fmt.Sprintf("%s: %v", name, err), nextMirror)
}

// until is when the metadata that go-tuf just found expired ended: it keeps what has expired, so that nothing older follows.
func (l *look) until() time.Time {
	t := l.trusted
	switch {
	case t.Root.Signed.IsExpired(l.now):
		return t.Root.Signed.Expires
	case t.Timestamp != nil && t.Timestamp.Signed.IsExpired(l.now):
		return t.Timestamp.Signed.Expires
	case t.Snapshot != nil && t.Snapshot.Signed.IsExpired(l.now):
		return t.Snapshot.Signed.Expires
	}
	return l.ended
}
