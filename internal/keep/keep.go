// Package keep stores single documents on disk so that a power cut leaves the old or the new one, never half of either.
//
// Owns: the envelope (format version, who may read and rewrite it, checksum) and the order write → fsync → rename → fsync directory.
// In: a path, a value that encodes as JSON, its version and the upgrades from older ones.
// Out: the value, also of a later version's document that this one may read; ErrNewer or ErrDamaged when it must not be touched.
// Never: overwrites a document it could not read: writing stops until a person has looked.
package keep

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/neighbour"
)

// ErrNewer: the document was written by a later version of the program, in a form that this one must not read or not rewrite.
var ErrNewer = errors.New("document is newer than this program")

// ErrDamaged: the document can't be read or its checksum does not match.
var ErrDamaged = errors.New("document is damaged")

// Doc is one document. Its zero value is not usable: fill Path and Version.
//
// A new field that may be absent needs no new version (package neighbour). A new version says with Readers and Writers how far a program
// may be rolled back: the document then says so to the earlier program, which knows nothing of this version.
type Doc[T any] struct {
	Path    string
	Version int // what Save writes and Load expects; ≥ 1
	Readers int // the oldest version whose programs may read what Save writes; 0 is Version
	Writers int // the oldest version whose programs may rewrite it, keeping the fields they do not know; 0 is Readers
	// Upgrade[i] turns the body of version i+1 into that of version i+2; len(Upgrade) is Version−1. A program of version i+1 that rewrote a
	// later document keeps its fields and leaves version i+1: so an upgrade may find what it adds already there.
	Upgrade []func(json.RawMessage) (json.RawMessage, error)
	Mode    fs.FileMode // 0 is 0600
	// Sent marks the copy of a document that another program sent: Save replaces all of it, also the fields that T does not know.
	Sent bool
}

type envelope struct {
	Version int             `json:"version"`
	Readers int             `json:"readers,omitempty"`
	Writers int             `json:"writers,omitempty"`
	SHA256  string          `json:"sha256"`
	Body    json.RawMessage `json:"body"`
}

// readers and writers are the oldest versions that may read and rewrite the document.
func (e envelope) readers() int { return cmp.Or(e.Readers, e.Version) }

func (e envelope) writers() int { return max(e.Writers, e.readers()) }

// Load reads the document. A missing one is the zero value and found == false. It is for the document's owner, before its first Save:
// it removes what a Save that was cut off left beside the document.
func (d Doc[T]) Load() (value T, found bool, err error) {
	sweep(d.Path)
	raw, err := os.ReadFile(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return value, false, nil
	}
	if err != nil {
		return value, false, fmt.Errorf("read %q: %w", d.Path, err)
	}
	e, err := d.open(raw)
	if err != nil {
		return value, false, err
	}
	if err := neighbour.Decode(e.Body, &value); err != nil {
		return value, false, fmt.Errorf("read %q: %w: %v", d.Path, ErrDamaged, err)
	}
	return value, true, nil
}

// open takes the envelope off. Body is that of this program's version, or of a later one that it may read.
func (d Doc[T]) open(raw []byte) (envelope, error) {
	var e envelope
	if err := neighbour.Decode(raw, &e); err != nil {
		return e, fmt.Errorf("read %q: %w: %v", d.Path, ErrDamaged, err)
	}
	if sum := sha256.Sum256(e.Body); e.SHA256 != hex.EncodeToString(sum[:]) || e.Version < 1 {
		return e, fmt.Errorf("read %q: %w: checksum does not match", d.Path, ErrDamaged)
	}
	if e.Version > d.Version && e.readers() > d.Version {
		return e, fmt.Errorf("read %q: %w: it has version %d, this program knows %d; start the later program again", d.Path, ErrNewer,
			e.Version, d.Version)
	}
	for v := e.Version; v < d.Version; v++ {
		next, err := d.Upgrade[v-1](e.Body)
		if err != nil {
			return e, fmt.Errorf("upgrade %q from version %d: %w", d.Path, v, err)
		}
		e.Body = next
	}
	return e, nil
}

// Renew is Load for a document that only explains, or that another has: a damaged one is set aside as Path.damaged, so that the next Save
// begins anew. The error says what was wrong; the value is zero then. One of a later version stays where it is.
func (d Doc[T]) Renew() (value T, found bool, err error) {
	if value, found, err = d.Load(); err == nil {
		return value, found, nil
	}
	if errors.Is(err, ErrDamaged) {
		err = errors.Join(fmt.Errorf("%w (kept as %s)", err, d.aside()), os.Rename(d.Path, d.aside()))
	}
	var none T
	return none, false, err
}

func (d Doc[T]) aside() string { return d.Path + ".damaged" }

// Save writes the document durably. It refuses to replace one that Load could not read, or that programs of this version must not rewrite;
// of any other it keeps the fields that T does not know.
func (d Doc[T]) Save(value T) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %q: %w", d.Path, err)
	}
	if old, err := os.ReadFile(d.Path); err == nil {
		e, err := d.open(old)
		if err != nil {
			return fmt.Errorf("not replaced: %w", err)
		}
		if e.Version > d.Version && e.writers() > d.Version {
			return fmt.Errorf("%q is not replaced: %w: its version %d may not be rewritten by version %d; start the later program again",
				d.Path, ErrNewer, e.Version, d.Version)
		}
		if !d.Sent {
			if body, err = neighbour.Carry[T](e.Body, body); err != nil {
				return fmt.Errorf("encode %q: %w", d.Path, err)
			}
		}
	}
	raw, err := d.seal(body)
	if err != nil {
		return err
	}
	mode := d.Mode
	if mode == 0 {
		mode = 0o600
	}
	return WriteFile(d.Path, raw, mode)
}

// Encode is what Save would write where there is none: of a document that becomes durable together with all that lies beside it.
func (d Doc[T]) Encode(value T) ([]byte, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode %q: %w", d.Path, err)
	}
	return d.seal(body)
}

// seal puts the envelope on.
func (d Doc[T]) seal(body []byte) ([]byte, error) {
	sum := sha256.Sum256(body)
	raw, err := json.Marshal(envelope{Version: d.Version, Readers: d.Readers, Writers: d.Writers, SHA256: hex.EncodeToString(sum[:]),
		Body: body})
	if err != nil {
		return nil, fmt.Errorf("encode %q: %w", d.Path, err)
	}
	return raw, nil
}

// WriteFile replaces path durably: a temporary file beside it, fsync, rename, fsync of the directory.
func WriteFile(path string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, cause(err))
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		f.Close()
		return fmt.Errorf("write %q: %w", path, cause(err))
	}
	if err := errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return SyncDir(dir)
}

// cause is err without the temporary file's name, which says nothing to a person.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// sweep removes the temporary files of path. One that can't be removed does no harm.
func sweep(path string) {
	dir := filepath.Dir(path)
	entries, _ := os.ReadDir(dir) // no directory, nothing left
	for _, e := range entries {
		n, ok := strings.CutPrefix(e.Name(), "."+filepath.Base(path)+".")
		if _, err := strconv.ParseUint(n, 10, 64); ok && err == nil { // as os.CreateTemp names them
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %q: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %q: %w", dir, err)
	}
	return nil
}
