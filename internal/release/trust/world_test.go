package trust_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

const (
	here  = wire.ClusterID("cl-00000000000000aa")
	other = wire.ClusterID("cl-00000000000000bb")
	day   = 24 * time.Hour
)

// repository is one that an honest owner keeps; a thief uses its keys too.
type repository struct {
	t            *testing.T
	name         trust.Name
	installation wire.ClusterID
	root         []ed25519.PrivateKey
	targets      ed25519.PrivateKey
	snapshot     ed25519.PrivateKey
	timestamp    ed25519.PrivateKey
	roots        [][]byte
	set          issue.Set
	files        trust.Files
}

func key(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func newRepository(t *testing.T, name trust.Name, installation wire.ClusterID) *repository {
	t.Helper()
	r := &repository{t: t, name: name, installation: installation, root: []ed25519.PrivateKey{key(t), key(t), key(t)}, targets: key(t),
		snapshot: key(t), timestamp: key(t), files: trust.Files{}}
	raw, err := issue.FirstRoot(r.roles(), r.root[:2], now.Add(365*day))
	if err != nil {
		t.Fatal(err)
	}
	r.roots, r.files["1.root.json"] = [][]byte{raw}, raw
	return r
}

func (r *repository) roles() issue.Roles {
	roles := issue.Roles{Threshold: 2, Targets: []ed25519.PublicKey{public(r.targets)}, Snapshot: []ed25519.PublicKey{public(r.snapshot)},
		Timestamp: []ed25519.PublicKey{public(r.timestamp)}}
	for _, k := range r.root {
		roles.Root = append(roles.Root, public(k))
	}
	return roles
}

func (r *repository) pin() wire.Digest {
	return wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(r.roots[0])))
}

// rotate publishes a next root with the present keys, signed by these.
func (r *repository) rotate(by ...ed25519.PrivateKey) {
	r.t.Helper()
	raw, err := issue.NextRoot(r.roots[len(r.roots)-1], r.roles(), by, now.Add(365*day))
	if err != nil {
		r.t.Fatal(err)
	}
	r.roots = append(r.roots, raw)
	r.files[fmt.Sprintf("%d.root.json", len(r.roots))] = raw
}

// publish names these files from now on, and no others.
func (r *repository) publish(files ...trust.Target) { r.publishUntil(now.Add(30*day), files...) }

func (r *repository) publishUntil(ends time.Time, files ...trust.Target) {
	r.t.Helper()
	named := issue.Files{}
	for _, f := range files {
		named[f.Path] = f
	}
	var err error
	if r.set.Targets, err = issue.Targets(r.set.Targets, named, r.installation, r.targets, ends); err != nil {
		r.t.Fatal(err)
	}
	if r.set.Snapshot, err = issue.Snapshot(r.set.Snapshot, r.set.Targets, r.installation, r.snapshot, ends); err != nil {
		r.t.Fatal(err)
	}
	r.stamp(ends)
}

func (r *repository) stamp(ends time.Time) {
	r.t.Helper()
	var err error
	if r.set.Timestamp, err = issue.Timestamp(r.set.Timestamp, r.set.Snapshot, r.installation, r.timestamp, ends); err != nil {
		r.t.Fatal(err)
	}
	r.write()
}

func (r *repository) write() {
	r.files["timestamp.json"] = r.set.Timestamp
	for kind, raw := range map[string][]byte{"targets": r.set.Targets, "snapshot": r.set.Snapshot} {
		r.files[fmt.Sprintf("%d.%s.json", versionOf(r.t, raw), kind)] = raw
	}
}

// copied is the repository as it is now, for an attacker to play back.
func (r *repository) copied() trust.Files { return maps.Clone(r.files) }

func (r *repository) anchor() trust.Anchor {
	return trust.Anchor{Name: r.name, Pin: r.pin(), Installation: r.installation}
}

func file(path, content, release string) trust.Target {
	return trust.Target{Path: path, Length: int64(len(content)), Digest: wire.Digest(fmt.Sprintf("sha256:%x",
		sha256.Sum256([]byte(content)))),
		Custom: trust.Custom{Release: release}}
}

// look is one look of a host; it fails the test unless it ends as wanted: "" is well, else the kind of the refusal. The reason is logged,
// as
// people see it.
func look(t *testing.T, from trust.Source, a trust.Anchor, kept trust.Kept, at time.Time, want trust.Kind, words ...string) (trust.Repo,
	trust.Kept) {
	t.Helper()
	repo, next, err := trust.Refresh(context.Background(), from, a, kept, at)
	if want == "" {
		if err != nil {
			t.Fatalf("a good repository is refused: %v", err)
		}
		return repo, next
	}
	refused(t, err, want, words...)
	return repo, next
}

func refused(t *testing.T, err error, want trust.Kind, words ...string) {
	t.Helper()
	if !errors.Is(err, &trust.Refusal{Kind: want}) {
		t.Fatalf("got %v, want a refusal of kind %q", err, want)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
	t.Logf("refused (%s): %v", want, err)
}
