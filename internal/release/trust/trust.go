// Package trust decides which files of a release may be installed here: those that two repositories of signed metadata name alike.
//
// Owns: the client's side of The Update Framework (TUF specification 1.0.31, section 5) on go-tuf's verifier; what is kept between two
// looks; the rule that two must agree; floors, architecture and downgrades.
// In: metadata from a Source nobody has to trust; the pin of each first root; what was kept; the time.
// Out: the files that may be installed, what to keep from now on; a Refusal with its reason in words for people.
// Never: writes to disk, reads the clock, or has a say in what already runs: it decides on new files alone.
package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	tuf "github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"hardnode.dev/internal/wire"
)

// Name is one of the two repositories.
type Name string

// The image repository says what may ever run, with keys that are offline; the director says who shall run what, with keys that are online.
const (
	Image    Name = "image"
	Director Name = "director"
)

// The most bytes of each kind of metadata, and of new roots in one look; the limits are those of go-tuf's own client.
const (
	RootLimit      = 512_000
	TimestampLimit = 16_384
	SnapshotLimit  = 2_000_000
	TargetsLimit   = 5_000_000
	RootsLimit     = 256
)

// Anchor is how a repository is known before anything of it was believed.
type Anchor struct {
	Name Name
	// Pin is "sha256:" and the hex SHA-256 of the repository's first root, 1.root.json.
	Pin wire.Digest
	// Installation is whom the metadata must be for; "" is nobody in particular, as in the image repository.
	Installation wire.ClusterID
	// Floor is what another machine remembers of this repository, for one that keeps nothing itself; zero values ask for nothing.
	Floor Versions
}

// Versions are the version counters of the metadata that was believed; they only rise.
type Versions struct {
	Root      int64 `json:"root,omitempty"`
	Timestamp int64 `json:"timestamp,omitempty"`
	Snapshot  int64 `json:"snapshot,omitempty"`
	Targets   int64 `json:"targets,omitempty"`
}

// Kept is the newest metadata of one repository that was believed, as it came. All of it is verified again with the next look.
type Kept struct {
	// Pin is of the first root it descends from, Installation whom it is for: what was kept of another one counts for nothing.
	Pin          wire.Digest    `json:"pin,omitempty"`
	Installation wire.ClusterID `json:"installation,omitempty"`
	Root         []byte         `json:"root,omitempty"`
	Timestamp    []byte         `json:"timestamp,omitempty"`
	Snapshot     []byte         `json:"snapshot,omitempty"`
	Targets      []byte         `json:"targets,omitempty"`
}

// Repo is what a repository says, verified.
type Repo struct {
	Name     Name
	Versions Versions
	Expires  time.Time // when the first of its metadata ends
	Targets  map[string]Target
}

// Refresh looks at a repository: it follows its roots and believes the newest metadata, by the specification's client workflow. What it
// returns to be kept is never older than kept; when it fails it is kept itself, with the roots that were verified before the failure.
//
// RefTime of go-tuf's verifier is now: the caller's clock must already have been raised to what the machine knows at least.
func Refresh(ctx context.Context, from Source, a Anchor, kept Kept, now time.Time) (Repo, Kept, error) {
	l := look{ctx: ctx, from: from, anchor: a, kept: kept, now: now}
	if kept.Pin != a.Pin || kept.Installation != a.Installation {
		l.kept = Kept{Pin: a.Pin, Installation: a.Installation}
	}
	next := l.kept
	for _, step := range []func(*Kept) error{l.roots, l.timestamp, l.snapshot, l.targets} {
		if err := step(&next); err != nil {
			var r *Refusal
			if !errors.As(err, &r) {
				r = l.refuse(Damaged, err.Error(), nextMirror)
			}
			kept := l.kept
			kept.Root = next.Root
			return Repo{}, kept, r
		}
	}
	repo, err := l.repo()
	if err != nil {
		return Repo{}, l.kept, err
	}
	return repo, next, nil
}

// look is one look at one repository.
type look struct {
	ctx     context.Context
	from    Source
	anchor  Anchor
	kept    Kept
	now     time.Time
	trusted *tuf.TrustedMetadata
	ended   time.Time // of the targets that are looked at
}

func (l *look) get(name string, limit int64) ([]byte, error) {
	raw, err := l.from.Get(l.ctx, name, limit)
	var r *Refusal
	switch {
	case err == nil && int64(len(raw)) > limit:
		return nil, l.refuse(Endless, fmt.Sprintf("%s has more than %d bytes", name, limit), nextMirror)
	case errors.As(err, &r):
		return nil, l.refuse(r.Kind, r.Reason, r.Next)
	case err != nil && !errors.Is(err, ErrAbsent):
		return nil, l.refuse(Unavailable, fmt.Sprintf("%s can't be read: %v", name, err), nextMirror)
	}
	return raw, err
}

// must is get for a file that has to be there.
func (l *look) must(name string, limit int64) ([]byte, error) {
	raw, err := l.get(name, limit)
	if errors.Is(err, ErrAbsent) {
		return nil, l.refuse(Unavailable, name+" is missing", nextMirror)
	}
	return raw, err
}

// roots starts from the kept root, or the first one by its pin, and follows each next one (specification 5.3).
func (l *look) roots(next *Kept) (err error) {
	raw := l.kept.Root
	if raw == nil {
		if raw, err = l.must("1.root.json", RootLimit); err != nil {
			return err
		}
		if sum := sha256.Sum256(raw); l.anchor.Pin != wire.Digest("sha256:"+hex.EncodeToString(sum[:])) {
			return l.refuse(WrongPin, fmt.Sprintf("its first root has the digest sha256:%x, this installation's configuration says %s", sum,
				l.anchor.Pin), "give the metadata of the repository that this installation was made for")
		}
	}
	if err := rootShape(raw); err != nil {
		return l.refuse(Damaged, fmt.Sprintf("root.json: %v", err), nextOwner)
	}
	if l.trusted, err = tuf.New(raw); err != nil {
		return l.explain("root.json", err)
	}
	l.trusted.RefTime = l.now
	next.Root = raw
	for range RootsLimit {
		name := strconv.FormatInt(l.root().Version+1, 10) + ".root.json"
		raw, err := l.get(name, RootLimit)
		if errors.Is(err, ErrAbsent) {
			break
		}
		if err != nil {
			return err
		}
		if err := rootShape(raw); err != nil {
			return l.refuse(Damaged, fmt.Sprintf("%s: %v", name, err), nextMirror)
		}
		if _, err := l.trusted.UpdateRoot(raw); err != nil {
			return l.explain(name, err)
		}
		next.Root = raw
	}
	if l.root().IsExpired(l.now) {
		return l.expired("root.json", l.root().Expires)
	}
	return l.floor("root.json", l.root().Version, l.anchor.Floor.Root)
}

func (l *look) root() *metadata.RootType { return &l.trusted.Root.Signed }

// timestamp believes the kept one first, where the present root still does, so that the new one can't be older (5.4). One that a new root
// does not believe counts for nothing: that is how a repository recovers from a thief who raised the counters.
func (l *look) timestamp(next *Kept) error {
	if l.kept.Timestamp != nil && timestampShape(l.kept.Timestamp) == nil {
		if _, err := l.trusted.UpdateTimestamp(l.kept.Timestamp); err != nil && !errors.Is(err, &metadata.ErrRepository{}) {
			l.trusted.Timestamp = nil
		}
	}
	raw, err := l.must("timestamp.json", TimestampLimit)
	if err != nil {
		return err
	}
	if err := timestampShape(raw); err != nil {
		return l.refuse(Damaged, fmt.Sprintf("timestamp.json: %v", err), nextMirror)
	}
	switch _, err := l.trusted.UpdateTimestamp(raw); {
	case errors.Is(err, &metadata.ErrEqualVersionNumber{}):
		if at := l.trusted.Timestamp.Signed; at.IsExpired(l.now) {
			return l.expired("timestamp.json", at.Expires)
		}
	case err != nil:
		return l.explain("timestamp.json", err)
	default:
		next.Timestamp = raw
	}
	at := l.trusted.Timestamp.Signed
	if err := l.bound("timestamp.json", at.UnrecognizedFields); err != nil {
		return err
	}
	if err := l.floor("snapshot.json", at.Meta["snapshot.json"].Version, l.anchor.Floor.Snapshot); err != nil {
		return err
	}
	return l.floor("timestamp.json", at.Version, l.anchor.Floor.Timestamp)
}

// snapshot takes the kept one where the timestamp still names it, and believes no version of the targets that is older (5.5).
func (l *look) snapshot(next *Kept) error {
	wanted := l.trusted.Timestamp.Signed.Meta["snapshot.json"]
	if l.kept.Snapshot != nil && snapshotShape(l.kept.Snapshot) == nil {
		_, err := l.trusted.UpdateSnapshot(l.kept.Snapshot, true)
		if err == nil && wanted.VerifyLengthHashes(l.kept.Snapshot) == nil {
			return l.bound("snapshot.json", l.trusted.Snapshot.Signed.UnrecognizedFields)
		}
	}
	name := strconv.FormatInt(wanted.Version, 10) + ".snapshot.json"
	raw, err := l.must(name, within(wanted.Length, SnapshotLimit))
	if err != nil {
		return err
	}
	if err := snapshotShape(raw); err != nil {
		return l.refuse(Damaged, fmt.Sprintf("%s: %v", name, err), nextMirror)
	}
	if _, err := l.trusted.UpdateSnapshot(raw, false); err != nil {
		return l.explain(name, err)
	}
	next.Snapshot = raw
	return l.bound(name, l.trusted.Snapshot.Signed.UnrecognizedFields)
}

// targets believes what the snapshot names (5.6). There are no delegations: who signs is said by the root alone.
func (l *look) targets(next *Kept) error {
	meta := l.trusted.Snapshot.Signed.Meta["targets.json"]
	if err := l.floor("targets.json", meta.Version, l.anchor.Floor.Targets); err != nil {
		return err
	}
	if l.kept.Targets != nil && targetsShape(l.kept.Targets) == nil {
		if _, err := l.trusted.UpdateTargets(l.kept.Targets); err == nil {
			return l.bound("targets.json", l.trusted.Targets[metadata.TARGETS].Signed.UnrecognizedFields)
		}
	}
	name := strconv.FormatInt(meta.Version, 10) + ".targets.json"
	raw, err := l.must(name, within(meta.Length, TargetsLimit))
	if err != nil {
		return err
	}
	if err := targetsShape(raw); err != nil {
		return l.refuse(Damaged, fmt.Sprintf("%s: %v", name, err), nextMirror)
	}
	l.ended = targetsEnd(raw)
	if _, err := l.trusted.UpdateTargets(raw); err != nil {
		return l.explain(name, err)
	}
	next.Targets = raw
	return l.bound(name, l.trusted.Targets[metadata.TARGETS].Signed.UnrecognizedFields)
}

// within is the limit for a file whose length signed metadata names: never more than there may be of its kind.
func within(length, limit int64) int64 {
	if length > 0 && length < limit {
		return length
	}
	return limit
}

// bound refuses metadata that was made for another installation: the director signs all of them with the same keys.
func (l *look) bound(name string, fields map[string]any) error {
	if l.anchor.Installation == "" {
		return nil
	}
	if said, _ := fields["installation"].(string); said != string(l.anchor.Installation) {
		return l.refuse(Stranger, fmt.Sprintf("%s was made for installation %q, this is %q", name, said, l.anchor.Installation),
			"ask the director for this installation's own metadata")
	}
	return nil
}

// floor refuses what is older than another machine remembers.
func (l *look) floor(name string, version, floor int64) error {
	if version < floor {
		return l.refuse(Older, fmt.Sprintf("%s names version %d, and version %d was seen in this cluster before", name, version, floor),
			nextNewer)
	}
	return nil
}

func (l *look) repo() (Repo, error) {
	at, snap := l.trusted.Timestamp.Signed, l.trusted.Snapshot.Signed
	named := l.trusted.Targets[metadata.TARGETS].Signed
	r := Repo{Name: l.anchor.Name, Targets: map[string]Target{}, Expires: l.root().Expires,
		Versions: Versions{Root: l.root().Version, Timestamp: at.Version, Snapshot: snap.Version, Targets: named.Version}}
	for _, t := range []time.Time{at.Expires, snap.Expires, named.Expires} {
		if t.Before(r.Expires) {
			r.Expires = t
		}
	}
	for path, f := range named.Targets {
		t, err := newTarget(path, f)
		if err != nil {
			return Repo{}, l.refuse(Damaged, fmt.Sprintf("targets.json: %q: %v", path, err), nextOwner)
		}
		r.Targets[path] = t
	}
	return r, nil
}
