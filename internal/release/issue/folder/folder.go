// Package folder keeps a repository of releases as files, as any TUF client could fetch them from a web server.
//
// Owns: the layout (metadata/N.root.json, N.targets.json, N.snapshot.json, timestamp.json; targets/…) and the order of writes: what is
// named
// is there before what names it, and the timestamp comes last, so that a cut leaves the repository as it was.
// In: a directory; documents that package issue made.
// Out: the newest documents; the first root's pin.
// Never: signs, or replaces a numbered document.
package folder

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/release/issue"
	"hardnode.dev/internal/release/trust"
	"hardnode.dev/internal/wire"
)

// Names of the folders of a repository.
const (
	Metadata = "metadata"
	Targets  = "targets"
)

// Dir is a repository's directory.
type Dir string

// Source is its metadata, for a client.
func (d Dir) Source() trust.Source {
	return trust.Folder{FS: os.DirFS(filepath.Join(string(d), Metadata))}
}

// Pin is the digest of the first root: what configurations name.
func (d Dir) Pin() (wire.Digest, error) {
	raw, err := os.ReadFile(filepath.Join(string(d), Metadata, "1.root.json"))
	if err != nil {
		return "", fmt.Errorf("read the repository's first root: %v; `init` makes one", err)
	}
	return wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(raw))), nil
}

// Root is the newest root and its version; a repository without one has version 0.
func (d Dir) Root() ([]byte, int64, error) {
	raw, n, err := d.newest("root")
	if err != nil || n == 0 {
		return nil, 0, err
	}
	return raw, n, nil
}

// Set is the newest documents below the root; those that were not made yet are nil.
func (d Dir) Set() (s issue.Set, err error) {
	if s.Targets, _, err = d.newest("targets"); err != nil {
		return s, err
	}
	if s.Snapshot, _, err = d.newest("snapshot"); err != nil {
		return s, err
	}
	s.Timestamp, err = os.ReadFile(filepath.Join(string(d), Metadata, "timestamp.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	return s, err
}

func (d Dir) newest(kind string) (raw []byte, version int64, err error) {
	entries, err := os.ReadDir(filepath.Join(string(d), Metadata))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read repository %q: %v", string(d), err)
	}
	for _, e := range entries {
		text, ok := strings.CutSuffix(e.Name(), "."+kind+".json")
		if n, err := strconv.ParseInt(text, 10, 64); ok && err == nil && n > version {
			version = n
		}
	}
	if version == 0 {
		return nil, 0, nil
	}
	raw, err = os.ReadFile(filepath.Join(string(d), Metadata, strconv.FormatInt(version, 10)+"."+kind+".json"))
	return raw, version, err
}

// WriteRoot adds a root of this version.
func (d Dir) WriteRoot(raw []byte, version int64) error {
	return d.write(strconv.FormatInt(version, 10)+".root.json", raw)
}

// WriteTargets adds targets metadata alone: it is in force with the next snapshot.
func (d Dir) WriteTargets(raw []byte, version int64) error {
	return d.write(strconv.FormatInt(version, 10)+".targets.json", raw)
}

// WriteSet adds what is new of a set whose documents have these versions, the timestamp last.
func (d Dir) WriteSet(s issue.Set, v trust.Versions) error {
	_, targets, snapshot, timestamp := issue.Names(v)
	for _, f := range []struct {
		name string
		raw  []byte
	}{{targets, s.Targets}, {snapshot, s.Snapshot}} {
		if err := d.write(f.name, f.raw); err != nil {
			return err
		}
	}
	return keep.WriteFile(filepath.Join(string(d), Metadata, timestamp), s.Timestamp, 0o644)
}

// write adds a numbered document. One that is there already stays, and must be the same.
func (d Dir) write(name string, raw []byte) error {
	path := filepath.Join(string(d), Metadata, name)
	switch old, err := os.ReadFile(path); {
	case err == nil && bytes.Equal(old, raw):
		return nil
	case err == nil:
		return fmt.Errorf("write %q: another one is there already; a document with a number is never replaced", path)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write %q: %v", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %q: %v", path, err)
	}
	return keep.WriteFile(path, raw, 0o644)
}

// Path is where a target's file lies.
func (d Dir) Path(t trust.Target) string {
	return filepath.Join(string(d), Targets, filepath.FromSlash(t.Remote()))
}

// Add copies a file into the repository as the target, and checks on the way that it is the one. It is durable when Add returns.
func (d Dir) Add(t trust.Target, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("add %q: %v", t.Path, err)
	}
	defer in.Close()
	path := d.Path(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("add %q: %v", t.Path, err)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("add %q: %v", t.Path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(out.Name())
		}
	}()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), in)
	if err := errors.Join(err, out.Chmod(0o644), out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("add %q: %v", t.Path, err)
	}
	if err := t.Holds(n, wire.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil)))); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), path); err != nil {
		return fmt.Errorf("add %q: %v", t.Path, err)
	}
	return keep.SyncDir(filepath.Dir(path))
}
