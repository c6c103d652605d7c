// Package director makes the JLS's own repository of releases: which of the image repository's files an installation shall have.
//
// Owns: how long its documents last and when the next ones are made; that each names the installation it is for.
// In: the documents before, the files an installation shall have, the online key, the time.
// Out: the next documents, or the same when nothing has changed and none ends soon.
// Never: keeps anything (the ledger does), or makes a host run what the image repository does not name: hosts ask both.
package director

import (
	"crypto/ed25519"
	"maps"
	"time"

	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
)

const day = 24 * time.Hour

// How long the documents last. An installation that asks daily never sees one that has less than two thirds of its time left.
const (
	RootFor      = 366 * day
	TargetsFor   = 30 * day
	SnapshotFor  = 30 * day
	TimestampFor = 3 * day
	ClosedFor    = 180 * day // all of them, for a closed site that is given them in a file
)

// Wanted is what the next documents are for.
type Wanted struct {
	Installation wire.ClusterID
	Files        issue.Files
	Closed       bool // they last ClosedFor
}

// Next is the documents after old that say what is wanted; they are old itself when that says so for long enough. It decides and signs; it
// reads nothing else.
func Next(old issue.Set, w Wanted, key ed25519.PrivateKey, now time.Time) (issue.Set, error) {
	terms := issue.Terms{Targets: now.Add(TargetsFor), Snapshot: now.Add(SnapshotFor), Timestamp: now.Add(TimestampFor)}
	if w.Closed {
		terms = issue.Terms{Targets: now.Add(ClosedFor), Snapshot: now.Add(ClosedFor), Timestamp: now.Add(ClosedFor)}
	}
	set := old
	named, err := issue.Named(old.Targets)
	if err != nil {
		return old, err
	}
	fresh := old.Targets == nil || !maps.EqualFunc(named, w.Files, same) || ends(old.Targets, now, terms.Targets)
	if fresh {
		if set.Targets, err = issue.Targets(old.Targets, w.Files, w.Installation, key, terms.Targets); err != nil {
			return old, err
		}
	}
	if fresh = fresh || ends(old.Snapshot, now, terms.Snapshot); fresh {
		if set.Snapshot, err = issue.Snapshot(old.Snapshot, set.Targets, w.Installation, key, terms.Snapshot); err != nil {
			return old, err
		}
	}
	if fresh || ends(old.Timestamp, now, terms.Timestamp) {
		if set.Timestamp, err = issue.Timestamp(old.Timestamp, set.Snapshot, w.Installation, key, terms.Timestamp); err != nil {
			return old, err
		}
	}
	return set, nil
}

func same(a, b trust.Target) bool {
	return a.Length == b.Length && a.Digest == b.Digest && a.Custom.Release == b.Custom.Release
}

// ends tells whether a document has less than two thirds of a new one's time left, or can't be read.
func ends(raw []byte, now, fresh time.Time) bool {
	until, err := issue.Expires(raw)
	return err != nil || until.Sub(now) < fresh.Sub(now)*2/3
}

// Files is the whole repository, by the names a client asks for.
func Files(roots [][]byte, s issue.Set) (map[string][]byte, error) {
	out := map[string][]byte{}
	for i, raw := range roots {
		name, _, _, _ := issue.Names(trust.Versions{Root: int64(i + 1)})
		out[name] = raw
	}
	var v trust.Versions
	var err error
	if v.Targets, err = issue.Version(s.Targets); err != nil {
		return nil, err
	}
	if v.Snapshot, err = issue.Version(s.Snapshot); err != nil {
		return nil, err
	}
	_, targets, snapshot, timestamp := issue.Names(v)
	out[targets], out[snapshot], out[timestamp] = s.Targets, s.Snapshot, s.Timestamp
	return out, nil
}

// Root is the next root, which names the online key; the first one when there are none before.
func Root(roots [][]byte, offline ed25519.PrivateKey, online ed25519.PublicKey, now time.Time) ([]byte, error) {
	keys := []ed25519.PublicKey{online}
	roles := issue.Roles{Root: []ed25519.PublicKey{offline.Public().(ed25519.PublicKey)}, Threshold: 1, Targets: keys, Snapshot: keys,
		Timestamp: keys}
	if len(roots) == 0 {
		return issue.FirstRoot(roles, []ed25519.PrivateKey{offline}, now.Add(RootFor))
	}
	return issue.NextRoot(roots[len(roots)-1], roles, []ed25519.PrivateKey{offline}, now.Add(RootFor))
}
