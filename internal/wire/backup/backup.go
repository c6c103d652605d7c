// Package backup is what a host and whoever keeps backups say to each other of them.
//
// Owns: the request for a backup of a node and for taking one back; the head that says what the bytes behind it are.
// In: JSON between agent, orchestrator and hnctl; heads that lay in a store, which may be an attacker's.
// Out: checked values; an error that names the field.
// Never: knows how a store keeps them (internal/backup does), or looks at a disk.
//
// A backup is a Head as one line of JSON, then, as internal/backup/sealed encrypts it, btrfs's send stream of each of its parts, in order.
// What a host takes back is, of each backup of a chain, the Head's line and the streams, decrypted.
//
// History: 2026-11-27 version 1. 2026-11-28 Create.Compress, Head.Compressed.
package backup

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
)

// ID names a backup among those of its node: the snapshot it is of.
type ID string

// Validate says why i can't be one, or nil.
func (i ID) Validate() error {
	other := func(r rune) bool { return r != '-' && (r < '0' || r > '9') }
	if i == "" || len(i) > 40 || i[0] == '-' || strings.ContainsFunc(string(i), other) {
		return fmt.Errorf("backup %.60q: want one that is listed, such as 20261127-101502", i)
	}
	return nil
}

// The bounds of what is said.
const (
	MaxParts = 64
	MaxChain = 256      // backups that one goes on from, itself included
	MaxHead  = 64 << 10 // bytes of a Head's line
	maxAge   = 2000     // bytes of a recipient: those of age for quantum computers are long
	native   = "age1"   // how recipients of age begin
)

// Part is one of the subvolumes that a backup holds.
type Part struct {
	Volume string `json:"volume,omitempty"` // "" is the node's own files
	// Is names what the part holds, From what its stream goes on from; zero: from nothing, it is whole.
	Is   btrfs.Identity `json:"is"`
	From btrfs.Identity `json:"from,omitzero"`
}

// Text is what a part holds, and ParsePart its inverse: what an address of the API has of it.
func (p Part) Text() string {
	return p.Volume + ":" + p.Is.UUID.String() + ":" + strconv.FormatUint(p.Is.Transid, 10)
}

// ParsePart takes VOLUME:UUID:TRANSID apart.
func ParsePart(s string) (p Part, err error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return p, fmt.Errorf("part %.100q: want VOLUME:UUID:TRANSID", s)
	}
	if p.Volume = parts[0]; p.Volume != "" {
		if err := wire.Label("volume name", p.Volume, 63); err != nil {
			return p, err
		}
	}
	if err := p.Is.UUID.UnmarshalText([]byte(parts[1])); err != nil {
		return p, err
	}
	if p.Is.Transid, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
		return p, fmt.Errorf("part %.100q: %q is no number", s, parts[2])
	}
	return p, nil
}

// Head says what a backup is.
type Head struct {
	ID     ID          `json:"id"`
	Node   wire.CTID   `json:"node"`
	Taken  time.Time   `json:"taken"`
	Note   string      `json:"note,omitempty"`
	Image  wire.Digest `json:"image,omitempty"`  // that the node's own files lie on; "" when it did not run
	Before ID          `json:"before,omitempty"` // the backup that it goes on from; "": it is whole
	Parts  []Part      `json:"parts"`
	// Resumed is how many bytes of the streams the asker has, by Create.Resume; what comes goes on behind them. 0: all comes.
	Resumed int64 `json:"resumed,omitempty"`
	// Compressed: the segments are, with zstd, before they are encrypted.
	Compressed bool `json:"compressed,omitempty"`
}

// Validate says which field is wrong, or nil.
func (h Head) Validate() error {
	if err := h.ID.Validate(); err != nil {
		return err
	}
	if h.Before != "" {
		if err := h.Before.Validate(); err != nil {
			return err
		}
	}
	if len(h.Parts) == 0 || len(h.Parts) > MaxParts {
		return fmt.Errorf("backup %s: has %d parts, want 1 to %d", h.ID, len(h.Parts), MaxParts)
	}
	had := map[string]bool{}
	for _, p := range h.Parts {
		if p.Volume != "" {
			if err := wire.Label("volume name", p.Volume, 63); err != nil {
				return err
			}
		}
		switch {
		case had[p.Volume]:
			return fmt.Errorf("backup %s: has part %q twice", h.ID, p.Volume)
		case p.Is.UUID == btrfs.UUID{}:
			return fmt.Errorf("backup %s: part %q has no identity", h.ID, p.Volume)
		case p.From != (btrfs.Identity{}) && h.Before == "":
			return fmt.Errorf("backup %s: part %q goes on from a backup that is not named", h.ID, p.Volume)
		}
		had[p.Volume] = true
	}
	return nil
}

// Part is the part of that name; nil: there is none.
func (h Head) Part(volume string) *Part {
	for i := range h.Parts {
		if h.Parts[i].Volume == volume {
			return &h.Parts[i]
		}
	}
	return nil
}

// Create asks a host for a backup of a node, on stdout.
type Create struct {
	Recipient string `json:"recipient"`          // of age, who alone can read it: age1…
	Snapshot  ID     `json:"snapshot,omitempty"` // that it shall be of; "": a new one, which stays on the host for the next backup
	// Base is the snapshot of the last backup: if the host has it as it was, only what has changed since is sent.
	Base ID `json:"base,omitempty"`
	// Had are the parts of the last backup.
	Had []Part `json:"had,omitempty"`
	// Resume is what the asker has of a backup of Snapshot that was cut.
	Resume *Resume `json:"resume,omitempty"`
	// Compress: the asker can read segments that are compressed. A host that does not know it sends others.
	Compress bool `json:"compress,omitempty"`
}

// Validate says which field is wrong, or nil.
func (c Create) Validate() error {
	for _, id := range []ID{c.Snapshot, c.Base} {
		if id != "" {
			if err := id.Validate(); err != nil {
				return err
			}
		}
	}
	if c.Resume != nil && (c.Resume.Bytes <= 0 || c.Snapshot == "") {
		return fmt.Errorf("resume: %d bytes of snapshot %q: want how many are there, and of which", c.Resume.Bytes, c.Snapshot)
	}
	if len(c.Had) > MaxParts {
		return fmt.Errorf("had: %d parts, want at most %d", len(c.Had), MaxParts)
	}
	if !strings.HasPrefix(c.Recipient, native) || len(c.Recipient) > maxAge ||
		strings.ContainsFunc(c.Recipient, func(r rune) bool { return r < '0' || r > 'z' }) {
		return fmt.Errorf("recipient %.80q: want one of age, which begins with %s: hnctl node backup key makes one", c.Recipient, native)
	}
	return nil
}

// Take asks a host to make a snapshot of a node of a chain of backups, on stdin, the whole one first. The answer is Taken on stdout.
type Take struct {
	Backups int `json:"backups"`
}

// Validate says what is wrong, or nil.
func (t Take) Validate() error {
	if t.Backups < 1 || t.Backups > MaxChain {
		return fmt.Errorf("%d backups: want 1 to %d", t.Backups, MaxChain)
	}
	return nil
}

// Keep asks a host for the backups of other hosts' nodes that it keeps: internal/backup/far on stdin and stdout.
type Keep struct {
	Change bool `json:"change,omitempty"` // some may be put there and deleted; else they are only read
}

// Taken is the snapshot that was made.
type Taken struct {
	Snapshot ID       `json:"snapshot"`
	Notes    []string `json:"notes,omitempty"` // what a person should know: parts that were left out, and why
}
