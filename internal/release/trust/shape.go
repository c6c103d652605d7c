package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// whole refuses JSON null wherever it stands: go-tuf's decoder reads the entries of targets and roles through pointers before any signature
// is checked, and panics on an empty one, so that any mirror could end the program.
func whole(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	for {
		switch token, err := d.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("it is no JSON: %v", err)
		case token == nil:
			return fmt.Errorf("it has an empty entry (null) at byte %d", d.InputOffset())
		}
	}
}

// The shapes are what go-tuf's verifier takes for granted: it reads the entries below through pointers that a stolen online key could leave
// out, and a panic would end the agent.

func rootShape(raw []byte) error {
	if err := whole(raw); err != nil {
		return err
	}
	m, err := metadata.Root().FromBytes(raw)
	if err != nil {
		return err
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if m.Signed.Roles[role] == nil {
			return fmt.Errorf("it names no keys for %s", role)
		}
	}
	for id, k := range m.Signed.Keys {
		if k == nil {
			return fmt.Errorf("key %q is empty", id)
		}
		if k.Type != metadata.KeyTypeEd25519 {
			return fmt.Errorf("key %q is of type %q, want %s", id, k.Type, metadata.KeyTypeEd25519)
		}
	}
	if !m.Signed.ConsistentSnapshot {
		return errors.New("it is not made for consistent snapshots")
	}
	return version(m.Signed.Version)
}

func timestampShape(raw []byte) error {
	if err := whole(raw); err != nil {
		return err
	}
	m, err := metadata.Timestamp().FromBytes(raw)
	if err != nil {
		return err
	}
	return errors.Join(version(m.Signed.Version), named(m.Signed.Meta, "snapshot.json"))
}

func snapshotShape(raw []byte) error {
	if err := whole(raw); err != nil {
		return err
	}
	m, err := metadata.Snapshot().FromBytes(raw)
	if err != nil {
		return err
	}
	return errors.Join(version(m.Signed.Version), named(m.Signed.Meta, "targets.json"))
}

func targetsShape(raw []byte) error {
	if err := whole(raw); err != nil {
		return err
	}
	m, err := metadata.Targets().FromBytes(raw)
	if err != nil {
		return err
	}
	for path, f := range m.Signed.Targets {
		if f == nil {
			return fmt.Errorf("the entry of %q is empty", path)
		}
	}
	if m.Signed.Delegations != nil {
		return errors.New("it delegates to other keys, which is not done here")
	}
	return version(m.Signed.Version)
}

func version(v int64) error {
	if v < 1 {
		return fmt.Errorf("version %d, want 1 or more", v)
	}
	return nil
}

// named checks that the one file is named, and nothing else is empty.
func named(meta map[string]*metadata.MetaFiles, want string) error {
	for name, f := range meta {
		if f == nil {
			return fmt.Errorf("the entry of %q is empty", name)
		}
	}
	if meta[want] == nil {
		return fmt.Errorf("it does not name %s", want)
	}
	return nil
}

// Target is one file of a release.
type Target struct {
	Path   string // below the repository's targets, e.g. 0.2.0/host.efi
	Length int64  // bytes
	Digest wire.Digest
	Custom Custom
}

// Remote is where the file lies below the repository's targets, by the rule of consistent snapshots: 0.2.0/<hex SHA-256>.host.efi.
func (t Target) Remote() string {
	dir, name := "", t.Path
	if i := strings.LastIndexByte(t.Path, '/'); i >= 0 {
		dir, name = t.Path[:i+1], t.Path[i+1:]
	}
	return dir + strings.TrimPrefix(string(t.Digest), "sha256:") + "." + name
}

// Custom is what the image repository signs about a file, beside its length and digest.
type Custom struct {
	Release  string `json:"release,omitempty"`  // version of the release it is part of
	Arch     string `json:"arch,omitempty"`     // as Go names it (amd64); "" fits every machine
	Severity string `json:"severity,omitempty"` // normal, high or critical
	// Floors are the release's mandatory stop-overs, oldest first: a machine that runs an older release than one of them goes there first.
	Floors []string `json:"floors,omitempty"`
	Index  string   `json:"index,omitempty"` // path of the target that is this one's block index
}

// Empty tells whether nothing is said.
func (c Custom) Empty() bool {
	return c.Release == "" && c.Arch == "" && c.Severity == "" && c.Index == "" && len(c.Floors) == 0
}

// MaxFile is the most bytes one file of a release may have.
const MaxFile = 4 << 30

// isPath tells whether a target's path is one to four parts, each 1 to 100 letters, digits and ._+-, the first of them a letter or a digit.
// It is no regular expression: one that counts so far has 350 KB of states, which each agent would keep.
func isPath(path string) bool {
	sign := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	other := func(r rune) bool { return sign(r) && !strings.ContainsRune("._+-", r) }
	parts := strings.Split(path, "/")
	return len(parts) <= 4 && !slices.ContainsFunc(parts, func(p string) bool {
		return p == "" || len(p) > 100 || sign(rune(p[0])) || strings.ContainsFunc(p, other)
	})
}

func newTarget(path string, f *metadata.TargetFiles) (t Target, err error) {
	t = Target{Path: path, Length: f.Length, Digest: wire.Digest("sha256:" + f.Hashes["sha256"].String())}
	switch {
	case !isPath(path):
		return t, errors.New("it is no path of letters, digits and ._+- in at most four parts")
	case t.Digest.Validate() != nil:
		return t, errors.New("it has no SHA-256")
	case f.Length < 0 || f.Length > MaxFile:
		return t, fmt.Errorf("it has %d bytes, at most %d are allowed", f.Length, int64(MaxFile))
	}
	if f.Custom != nil {
		if err := neighbour.Decode(json.RawMessage(*f.Custom), &t.Custom); err != nil {
			return t, err
		}
	}
	return t, nil
}

// targetsEnd is when targets metadata ends, as far as it can be read.
func targetsEnd(raw []byte) time.Time {
	m, err := metadata.Targets().FromBytes(raw)
	if err != nil {
		return time.Time{}
	}
	return m.Signed.Expires
}
