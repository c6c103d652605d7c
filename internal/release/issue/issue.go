// Package issue makes and signs the metadata of a repository of releases: roots, targets, snapshots and timestamps.
//
// Owns: how each document is put together (TUF specification 1.0.31), its version counters, and the names of its files.
// In: the documents before, private keys, the files that shall be named, the time each shall end.
// Out: the next documents as bytes, checked by the client's own verifier before they leave.
// Never: reads or writes files, or makes keys: that is its package keyfile.
package issue

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
)

// Roles are the public keys of each role. A root is good when Threshold of the root keys signed it; the other roles need one signature.
type Roles struct {
	Root      []ed25519.PublicKey
	Threshold int
	Targets   []ed25519.PublicKey
	Snapshot  []ed25519.PublicKey
	Timestamp []ed25519.PublicKey
}

// Set is a repository's documents below its root. A nil one was not made yet.
type Set struct{ Targets, Snapshot, Timestamp []byte }

// Names of the files of a set with these version counters.
func Names(v trust.Versions) (root, targets, snapshot, timestamp string) {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	return n(v.Root) + ".root.json", n(v.Targets) + ".targets.json", n(v.Snapshot) + ".snapshot.json", "timestamp.json"
}

// FirstRoot is 1.root.json.
func FirstRoot(roles Roles, signers []ed25519.PrivateKey, ends time.Time) ([]byte, error) {
	m := metadata.Root(ends.UTC().Truncate(time.Second))
	return sealRoot(nil, m, roles, signers)
}

// NextRoot is the root after old, with other keys or another end. As many of old's keys must sign it as old asks for, and as many of its
// own.
func NextRoot(old []byte, roles Roles, signers []ed25519.PrivateKey, ends time.Time) ([]byte, error) {
	was, err := metadata.Root().FromBytes(old)
	if err != nil {
		return nil, fmt.Errorf("read root: %v", err)
	}
	m := metadata.Root(ends.UTC().Truncate(time.Second))
	m.Signed.Version = was.Signed.Version + 1
	return sealRoot(was, m, roles, signers)
}

func sealRoot(was, m *metadata.Metadata[metadata.RootType], roles Roles, signers []ed25519.PrivateKey) ([]byte, error) {
	if roles.Threshold < 1 || roles.Threshold > len(roles.Root) {
		return nil, fmt.Errorf("make root: %d of %d root keys shall sign", roles.Threshold, len(roles.Root))
	}
	for _, r := range []struct {
		name string
		keys []ed25519.PublicKey
	}{{metadata.ROOT, roles.Root}, {metadata.TARGETS, roles.Targets}, {metadata.SNAPSHOT, roles.Snapshot},
		{metadata.TIMESTAMP, roles.Timestamp}} {
		if len(r.keys) == 0 {
			return nil, fmt.Errorf("make root: there is no key for %s", r.name)
		}
		for _, k := range r.keys {
			key, err := metadata.KeyFromPublicKey(k)
			if err != nil {
				return nil, fmt.Errorf("make root: %v", err)
			}
			if err := m.Signed.AddKey(key, r.name); err != nil {
				return nil, fmt.Errorf("make root: %v", err)
			}
		}
	}
	m.Signed.Roles[metadata.ROOT].Threshold = roles.Threshold
	if err := sign(m, signers...); err != nil {
		return nil, err
	}
	for _, by := range []*metadata.Metadata[metadata.RootType]{was, m} {
		if by == nil {
			continue
		}
		if err := by.VerifyDelegate(metadata.ROOT, m); err != nil {
			return nil, fmt.Errorf("make root %d: it needs the signatures of %d of the root keys that root %d names; bring more of them",
				m.Signed.Version, by.Signed.Roles[metadata.ROOT].Threshold, by.Signed.Version)
		}
	}
	return encode(m)
}

// Terms are when each document ends.
type Terms struct{ Targets, Snapshot, Timestamp time.Time }

// Files are what a repository names, by path.
type Files map[string]trust.Target

// Targets is the next targets document; all it names is files. For installation "" it is the image repository's.
func Targets(old []byte, files Files, installation wire.ClusterID, key ed25519.PrivateKey, ends time.Time) ([]byte, error) {
	m := metadata.Targets(ends.UTC().Truncate(time.Second))
	if old != nil {
		was, err := metadata.Targets().FromBytes(old)
		if err != nil {
			return nil, fmt.Errorf("read targets: %v", err)
		}
		m.Signed.Version = was.Signed.Version + 1
	}
	for path, t := range files {
		var sum metadata.HexBytes
		if err := sum.UnmarshalJSON([]byte(strconv.Quote(t.Digest.Hex()))); err != nil {
			return nil, fmt.Errorf("targets: %q: digest %q: %v", path, t.Digest, err)
		}
		f := &metadata.TargetFiles{Length: t.Length, Hashes: metadata.Hashes{"sha256": sum}, Path: path}
		if !t.Custom.Empty() {
			raw, err := json.Marshal(t.Custom)
			if err != nil {
				return nil, err
			}
			f.Custom = (*json.RawMessage)(&raw)
		}
		m.Signed.Targets[path] = f
	}
	m.Signed.UnrecognizedFields = bound(installation)
	if err := sign(m, key); err != nil {
		return nil, err
	}
	return encode(m)
}

// Snapshot is the next snapshot, which names these targets.
func Snapshot(old, targets []byte, installation wire.ClusterID, key ed25519.PrivateKey, ends time.Time) ([]byte, error) {
	named, err := metadata.Targets().FromBytes(targets)
	if err != nil {
		return nil, fmt.Errorf("read targets: %v", err)
	}
	m := metadata.Snapshot(ends.UTC().Truncate(time.Second))
	if old != nil {
		was, err := metadata.Snapshot().FromBytes(old)
		if err != nil {
			return nil, fmt.Errorf("read snapshot: %v", err)
		}
		m.Signed.Version = was.Signed.Version + 1
	}
	if m.Signed.Meta["targets.json"], err = meta(targets, named.Signed.Version); err != nil {
		return nil, err
	}
	m.Signed.UnrecognizedFields = bound(installation)
	if err := sign(m, key); err != nil {
		return nil, err
	}
	return encode(m)
}

// Timestamp is the next timestamp, which names this snapshot.
func Timestamp(old, snapshot []byte, installation wire.ClusterID, key ed25519.PrivateKey, ends time.Time) ([]byte, error) {
	named, err := metadata.Snapshot().FromBytes(snapshot)
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %v", err)
	}
	m := metadata.Timestamp(ends.UTC().Truncate(time.Second))
	if old != nil {
		was, err := metadata.Timestamp().FromBytes(old)
		if err != nil {
			return nil, fmt.Errorf("read timestamp: %v", err)
		}
		m.Signed.Version = was.Signed.Version + 1
	}
	if m.Signed.Meta["snapshot.json"], err = meta(snapshot, named.Signed.Version); err != nil {
		return nil, err
	}
	m.Signed.UnrecognizedFields = bound(installation)
	if err := sign(m, key); err != nil {
		return nil, err
	}
	return encode(m)
}

func bound(installation wire.ClusterID) map[string]any {
	if installation == "" {
		return nil
	}
	return map[string]any{"installation": string(installation)}
}

func meta(raw []byte, version int64) (*metadata.MetaFiles, error) {
	f, err := metadata.TargetFile().FromBytes("", raw, "sha256")
	if err != nil {
		return nil, fmt.Errorf("hash metadata: %v", err)
	}
	return &metadata.MetaFiles{Version: version, Length: f.Length, Hashes: f.Hashes}, nil
}

func sign[T metadata.Roles](m *metadata.Metadata[T], keys ...ed25519.PrivateKey) error {
	for _, k := range keys {
		s, err := signature.LoadSigner(k, crypto.Hash(0))
		if err != nil {
			return fmt.Errorf("sign: %v", err)
		}
		if _, err := m.Sign(s); err != nil {
			return fmt.Errorf("sign: %v", err)
		}
	}
	slices.SortFunc(m.Signatures, func(a, b metadata.Signature) int { return cmp.Compare(a.KeyID, b.KeyID) })
	return nil
}

func encode[T metadata.Roles](m *metadata.Metadata[T]) ([]byte, error) {
	raw, err := m.ToBytes(true)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %v", err)
	}
	return append(raw, '\n'), nil
}

// Named is the files that targets metadata names, nil naming none. It verifies nothing: it is for the repository's own owner.
func Named(targets []byte) (Files, error) {
	out := Files{}
	if targets == nil {
		return out, nil
	}
	m, err := metadata.Targets().FromBytes(targets)
	if err != nil {
		return nil, fmt.Errorf("read targets: %v", err)
	}
	for path, f := range m.Signed.Targets {
		t := trust.Target{Path: path, Length: f.Length, Digest: wire.Digest("sha256:" + f.Hashes["sha256"].String())}
		if f.Custom != nil {
			if err := json.Unmarshal(*f.Custom, &t.Custom); err != nil {
				return nil, fmt.Errorf("read targets: %q: %v", path, err)
			}
		}
		out[path] = t
	}
	return out, nil
}

// RolesOf is the keys a root names.
func RolesOf(root []byte) (Roles, error) {
	m, err := metadata.Root().FromBytes(root)
	if err != nil {
		return Roles{}, fmt.Errorf("read root: %v", err)
	}
	var roles Roles
	for _, r := range []struct {
		name string
		keys *[]ed25519.PublicKey
	}{{metadata.ROOT, &roles.Root}, {metadata.TARGETS, &roles.Targets}, {metadata.SNAPSHOT, &roles.Snapshot},
		{metadata.TIMESTAMP, &roles.Timestamp}} {
		role := m.Signed.Roles[r.name]
		if role == nil {
			return Roles{}, fmt.Errorf("read root: it names no keys for %s", r.name)
		}
		for _, id := range role.KeyIDs {
			k := m.Signed.Keys[id]
			if k == nil {
				return Roles{}, fmt.Errorf("read root: key %q of %s is missing", id, r.name)
			}
			pub, err := k.ToPublicKey()
			if err != nil {
				return Roles{}, fmt.Errorf("read root: key %q: %v", id, err)
			}
			ed, ok := pub.(ed25519.PublicKey)
			if !ok {
				return Roles{}, fmt.Errorf("read root: key %q is no Ed25519 key", id)
			}
			*r.keys = append(*r.keys, ed)
		}
	}
	roles.Threshold = m.Signed.Roles[metadata.ROOT].Threshold
	return roles, nil
}

// Check reads what was made as a client would that knows nothing but pin; every repository goes through it before it is written.
func Check(files trust.Source, name trust.Name, pin wire.Digest, installation wire.ClusterID, now time.Time) (trust.Repo, error) {
	anchor := trust.Anchor{Name: name, Pin: pin, Installation: installation}
	repo, _, err := trust.Refresh(context.Background(), files, anchor, trust.Kept{}, now)
	if err != nil {
		return repo, errors.Join(errors.New("what was made would not be believed"), err)
	}
	return repo, nil
}

// Version is the version counter of a document.
func Version(raw []byte) (int64, error) {
	var m struct {
		Signed struct {
			Version int64 `json:"version"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return 0, fmt.Errorf("read metadata: %v", err)
	}
	return m.Signed.Version, nil
}

// Expires is when a document ends.
func Expires(raw []byte) (time.Time, error) {
	var m struct {
		Signed struct {
			Expires time.Time `json:"expires"`
		} `json:"signed"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return time.Time{}, fmt.Errorf("read metadata: %v", err)
	}
	return m.Signed.Expires, nil
}
