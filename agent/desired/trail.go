package desired

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
)

// trail is the file peers.trail: what became of the names since peers.json was written whole, a change a line. Where that document is long,
// a change of names costs the change, and a whole document every longTrail changes.
//
// Each line has its checksum, so that one which a power cut left half, and which was not acknowledged, is seen; and it has that of the
// document it leads on from, so that what is left of an earlier document's trail is no part of the one there is. An earlier version of this
// program knows no trail and finds in peers.json what it knows, as it was at most longTrail changes before; it asks for all anew, as after
// each change of version. Settle leaves no trail.
type trail struct {
	path, doc string
	of        string // the document's checksum; "": to be looked at
	lines     int    // in the file; longTrail: the next change is written with the whole document
	end       int64  // behind the last good line
}

// step is what a line of a trail says, behind its checksum (SHA-256, in hex) and a space.
type step struct {
	Version int               `json:"version"` // 1
	Of      string            `json:"of"`
	Names   *host.NamesChange `json:"names"`
}

const longTrail = 50 // changes

// longDocument is how long the document is, in bytes, from which on it is not written for each change of names. That is about 2,000 names.
var longDocument int64 = 256 << 10

func sumOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// follow is k with the changes of the trail. It stops at what does not fit: what is left then, k as it was or a state that it had, is
// brought on from there like any other.
func (t *trail) follow(k *host.Kept) (*host.Kept, error) {
	raw, err := os.ReadFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	t.lines = longTrail // until all of it was good
	if err != nil {
		return k, err
	}
	doc, err := os.ReadFile(t.doc)
	if err != nil {
		return k, err
	}
	of, lines, end := sumOf(doc), 0, int64(0)
	for len(raw) > 0 {
		text, rest, whole := bytes.Cut(raw, []byte("\n"))
		if !whole {
			return k, fmt.Errorf("line %d is not whole", lines+1)
		}
		s, err := parseStep(text, of)
		if err == nil {
			var next *host.Kept
			if next, err = k.Take(host.Assignment{Names: s.Names}); err == nil {
				k = next
			}
		}
		if err != nil {
			return k, fmt.Errorf("line %d: %w", lines+1, err)
		}
		lines, end, raw = lines+1, end+int64(len(text))+1, rest
	}
	t.of, t.lines, t.end = of, lines, end
	return k, nil
}

func parseStep(text []byte, of string) (s step, err error) {
	sum, body, _ := bytes.Cut(text, []byte(" "))
	if string(sum) != sumOf(body) {
		return s, errors.New("its checksum does not match")
	}
	if err := neighbour.Decode(body, &s); err != nil {
		return s, err
	}
	switch {
	case s.Version != 1:
		return s, fmt.Errorf("it has version %d, this program knows 1", s.Version)
	case s.Of != of:
		return s, errors.New("it leads on from another document")
	case s.Names == nil:
		return s, errors.New("it says nothing")
	}
	return s, s.Names.Validate()
}

// takes tells whether a change of names can be written to the trail: what is before it is in the document and in the trail, and the
// document is worth it.
func (t *trail) takes() bool {
	st, err := os.Stat(t.doc)
	if err != nil || st.Size() < longDocument || t.lines >= longTrail {
		return false
	}
	if t.of == "" {
		raw, err := os.ReadFile(t.doc)
		if err != nil {
			return false
		}
		t.of = sumOf(raw)
	}
	return true
}

// add makes a change durable, behind those that are there.
func (t *trail) add(c *host.NamesChange) error {
	body, err := json.Marshal(step{1, t.of, c})
	if err != nil {
		return fmt.Errorf("encode %q: %w", t.path, err)
	}
	text := slices.Concat([]byte(sumOf(body)+" "), body, []byte("\n"))
	f, err := os.OpenFile(t.path, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("write %q: %w", t.path, err)
	}
	err = f.Truncate(t.end)
	if err == nil {
		_, err = f.WriteAt(text, t.end)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil { // on a full disk a part of a line must not take the room that the work may find
		f.Truncate(t.end)
		if t.end == 0 {
			os.Remove(t.path)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", t.path, err)
	}
	if t.end == 0 {
		if err := keep.SyncDir(filepath.Dir(t.path)); err != nil {
			return err
		}
	}
	t.lines, t.end = t.lines+1, t.end+int64(len(text))
	return nil
}

// drop ends the trail durably: the document was written whole.
func (t *trail) drop() error {
	t.of, t.lines, t.end = "", longTrail, 0
	if err := os.Remove(t.path); err == nil {
		if err := keep.SyncDir(filepath.Dir(t.path)); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %q: %w", t.path, err)
	}
	t.lines = 0
	return nil
}

// keepPeers makes durable what an assignment made of the Peers: of a long document the change alone, if it is one of names.
func (s *Store) keepPeers(a host.Assignment, next *host.Kept) error {
	if t := &s.writing.trail; a.Peers == nil && a.PeersChange == nil && t.takes() {
		return t.add(a.Names)
	}
	return s.keepWhole(next)
}

func (s *Store) keepWhole(k *host.Kept) error {
	if err := s.peers.Save(k); err != nil {
		return err
	}
	return s.writing.trail.drop()
}

// Settle leaves no trail, so that an earlier version of this program finds all that is known here: it is for an orderly end.
func (s *Store) Settle() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	k := s.mu.peers
	s.mu.Unlock()
	if k == nil || s.writing.trail.end == 0 {
		return
	}
	if err := s.reserve.save(func() error { return s.keepWhole(k) }); err != nil {
		s.log.Warn("the changes of names stay beside their document", logging.Err, err)
	}
}
