package ledger

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/operator"
)

// known is what the ledger knows of an installation.
type known struct {
	id       jls.InstallationID
	key      ed25519.PublicKey
	seq      int64
	license  string
	released bool
}

// refuseSeq says why a request's Seq is refused, or nil.
func refuseSeq(last, seq int64) error {
	if seq > last {
		return nil
	}
	return &SeqError{Last: last, Problem: operator.NewProblem(operator.Conflict, "seq",
		fmt.Sprintf("%d was used before, the last one was %d", seq, last), "send the request again with a larger one")}
}

// SeqError refuses a request that was seen before, or came late.
type SeqError struct {
	Last int64
	*operator.Problem
}

// Unwrap makes it an operator.Problem for errors.As.
func (e *SeqError) Unwrap() error { return e.Problem }

// refuseActivation says why an activation is refused, or nil. before is what is known of the installation (nil: nothing); holder is who
// the licence is active on ("": nobody).
func refuseActivation(lic jls.License, before *known, a jls.Activate, holder jls.InstallationID) error {
	object := "licenses/" + lic.ID
	switch {
	case !lic.Revoked.IsZero():
		return operator.NewProblem(operator.Denied, object, "the licence was revoked at "+lic.Revoked.Format(time.RFC3339),
			"ask the JLS's owner for another one")
	case before != nil && !before.key.Equal(ed25519.PublicKey(a.Key)):
		return operator.NewProblem(operator.Denied, "installations/"+string(a.Installation), "the installation is known with another key",
			"an installation keeps its key for life; ask the JLS's owner")
	case holder != "" && holder != a.Installation:
		return operator.NewProblem(operator.Conflict, object, "the licence is active on installation "+string(holder),
			"release it there first: hnctl jls installation release "+string(holder))
	}
	return nil
}

// leaseUntil is the end of a lease made now.
func leaseUntil(now, licenceEnd time.Time) time.Time {
	until := now.Add(license.LeaseFor).UTC().Truncate(time.Second)
	if licenceEnd.Before(until) {
		return licenceEnd
	}
	return until
}

// over is the hosts beyond the allowed count, in the order they were first reported.
func over(allowed int, inOrder []wire.HostID) []wire.HostID {
	if len(inOrder) <= allowed {
		return []wire.HostID{}
	}
	return inOrder[allowed:]
}
