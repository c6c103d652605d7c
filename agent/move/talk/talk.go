// Package talk is what the two hosts of a move say to each other, after the greeting of agent/mount.
//
// Owns: the form of questions, answers and streams.
// In: bytes of the other host, which may be anything.
// Out: checked values; the bytes of a stream, as long as it is whole and what was sent.
// Never: dials, or knows what a stream holds.
//
// The host that pulls asks, the other one answers: one question at a time. A question and an answer are JSON behind their length, 4 bytes,
// little endian. Behind the answer to a question for a stream come pieces, each behind its length; one of length 0 is the last, and behind
// it are the length of the whole stream, 8 bytes, and its SHA-256.
package talk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"hardnode.dev/internal/disk/btrfs"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/snapshot"
)

// The bounds of what is said.
const (
	MaxParts = 64
	maxSized = 200
	maxText  = 64 << 10
	maxPiece = 256 << 10
)

// Of names a snapshot: one that was taken to be sent, or, Kept, one of the container's own.
type Of struct {
	ID   snapshot.ID
	Kept bool
}

// Ask is a question: with Snapshot for one of its streams, or with About for what it holds; with Log for the log; else for a new snapshot.
type Ask struct {
	Base     snapshot.ID `json:"base,omitempty"` // what the asker has; "": nothing
	BaseKept bool        `json:"baseKept,omitempty"`
	Last     bool        `json:"last,omitempty"`  // of a container that is stopped for good
	Keeps    bool        `json:"keeps,omitempty"` // the asker takes the container's own snapshots along
	Snapshot snapshot.ID `json:"snapshot,omitempty"`
	Kept     bool        `json:"kept,omitempty"`   // Snapshot is one of the container's own
	About    bool        `json:"about,omitempty"`  // for its Head
	Volume   string      `json:"volume,omitempty"` // "" is the layer
	Log      bool        `json:"log,omitempty"`    // for what the container wrote, of the Head that is Last
	// Offset is how many bytes of the stream the asker has, Sum their SHA-256.
	Offset int64  `json:"offset,omitempty"`
	Sum    []byte `json:"sum,omitempty"`
}

// What is the snapshot that a question is about, and On the one that its stream is to go on from.
func (a Ask) What() Of { return Of{a.Snapshot, a.Kept} }
func (a Ask) On() Of   { return Of{a.Base, a.BaseKept} }

// Answer is one to an Ask.
type Answer struct {
	Refused string `json:"refused,omitempty"` // why it may not be
	Busy    bool   `json:"busy,omitempty"`    // it may not be yet: enough others are copied from here
	Wait    bool   `json:"wait,omitempty"`    // it is not stopped yet: ask again
	Other   bool   `json:"other,omitempty"`   // what the asker has is not what it is here: begin anew
	Head    *Head  `json:"head,omitempty"`    // of a new snapshot
}

// Head says what a snapshot holds.
type Head struct {
	Snapshot   snapshot.ID `json:"snapshot"`
	Last       bool        `json:"last,omitempty"`
	Generation int64       `json:"generation,omitempty"` // of the layer
	Parts      []Part      `json:"parts"`
	Log        int64       `json:"log,omitempty"` // bytes of what the container wrote, of one that is Last; 0: it is not sent
	// Sized is of which size the container's servers know (agent/retune's words), of one that is Last; "": it is not known.
	Sized string `json:"sized,omitempty"`
	// Kept are the container's own snapshots, the oldest first, of a new one. Meta is what is known of one that is itself such.
	Kept []Kept             `json:"kept,omitempty"`
	Meta *snapshot.Snapshot `json:"meta,omitempty"`
}

// Kept names one of the container's own snapshots: an ID alone may be another one's, once the first that had it is deleted.
type Kept struct {
	ID    snapshot.ID `json:"id"`
	Taken time.Time   `json:"taken"`
}

// Part is a subvolume of it.
type Part struct {
	Volume string         `json:"volume,omitempty"` // "" is the layer
	Is     btrfs.Identity `json:"is"`
	From   btrfs.Identity `json:"from,omitzero"` // what its stream goes on from; zero: it is whole
	Bytes  int64          `json:"bytes,omitempty"`
}

// Validate says which field is wrong, or nil.
func (h *Head) Validate() error {
	if h == nil {
		return errors.New("the answer has no snapshot")
	}
	if err := h.Snapshot.Validate(); err != nil {
		return err
	}
	if len(h.Parts) > MaxParts || h.Generation < 0 {
		return fmt.Errorf("snapshot %s: has %d parts and generation %d, want %d at most", h.Snapshot, len(h.Parts), h.Generation, MaxParts)
	}
	if len(h.Sized) > maxSized {
		return fmt.Errorf("snapshot %s: says in %d bytes of which size it is, want %d at most", h.Snapshot, len(h.Sized), maxSized)
	}
	if len(h.Kept) > snapshot.Max {
		return fmt.Errorf("snapshot %s: comes with %d of the container's own, want %d at most", h.Snapshot, len(h.Kept), snapshot.Max)
	}
	for _, k := range h.Kept {
		if err := k.ID.Validate(); err != nil {
			return err
		}
	}
	if h.Meta != nil && h.Meta.ID != h.Snapshot {
		return fmt.Errorf("snapshot %s: is said to be %.60q", h.Snapshot, h.Meta.ID)
	}
	if err := h.Meta.Validate(); err != nil {
		return err
	}
	had := map[string]bool{}
	for _, p := range h.Parts {
		if p.Volume != "" {
			if err := wire.Label("volume", p.Volume, 63); err != nil {
				return err
			}
		} else if h.Generation == 0 {
			return fmt.Errorf("snapshot %s: has a layer of no generation", h.Snapshot)
		}
		if had[p.Volume] || p.Is == (btrfs.Identity{}) {
			return fmt.Errorf("snapshot %s: part %q is there twice, or has no identity", h.Snapshot, p.Volume)
		}
		had[p.Volume] = true
	}
	return nil
}

// Write sends an Ask or an Answer.
func Write(w io.Writer, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(raw))), raw...))
	return err
}

// Read reads an Ask or an Answer.
func Read(r io.Reader, into any) error {
	n, err := length(r)
	if err != nil {
		return err
	}
	if n > maxText {
		return fmt.Errorf("a message of %d bytes: want %d at most", n, maxText)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return err
	}
	return neighbour.Decode(raw, into)
}

func length(r io.Reader) (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(r, b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

// ErrOther: the other host has made another stream than the one that was begun.
var ErrOther = errors.New("the stream is not what it was")

// Out sends a stream. It leaves out the first Skip bytes, whose SHA-256 must be Sum; Begin is called once that is known.
type Out struct {
	To    io.Writer
	Skip  int64
	Sum   []byte
	Begin func() error

	n     int64
	sum   hash.Hash
	begun bool
}

func (o *Out) Write(b []byte) (n int, err error) {
	if o.sum == nil {
		o.sum = sha256.New()
	}
	if left := o.Skip - o.n; left > 0 {
		k := min(left, int64(len(b)))
		o.add(b[:k])
		n, b = int(k), b[k:]
	}
	if err := o.begin(); err != nil {
		return n, err
	}
	for len(b) > 0 {
		k := min(len(b), maxPiece)
		if _, err := o.To.Write(append(binary.LittleEndian.AppendUint32(make([]byte, 0, 4+k), uint32(k)), b[:k]...)); err != nil {
			return n, err
		}
		o.add(b[:k])
		n, b = n+k, b[k:]
	}
	return n, nil
}

func (o *Out) add(b []byte) { o.sum.Write(b); o.n += int64(len(b)) }

// begin begins what is sent when all is skipped that shall be.
func (o *Out) begin() error {
	if o.begun || o.n < o.Skip {
		return nil
	}
	if o.Skip > 0 && !bytes.Equal(o.sum.Sum(nil), o.Sum) {
		return ErrOther
	}
	o.begun = true
	return o.Begin()
}

// Close ends the stream.
func (o *Out) Close() error {
	if _, err := o.Write(nil); err != nil {
		return err
	}
	if !o.begun {
		return ErrOther // it is shorter than what the asker has of it
	}
	end := binary.LittleEndian.AppendUint64(make([]byte, 4), uint64(o.n))
	_, err := o.To.Write(o.sum.Sum(end))
	return err
}

// In receives a stream, over as many connections as it takes.
type In struct {
	// Next connects anew, and asks for what comes behind the first n bytes, whose SHA-256 is sum. It is what decides when to give up.
	Next func(n int64, sum []byte) (io.Reader, error)
	Max  int64 // bytes; more is an error

	from io.Reader
	left uint32 // of the piece
	n    int64
	sum  hash.Hash
	err  error
}

// ErrBroken: what came is not what was sent.
var ErrBroken = errors.New("the stream was changed on its way")

// Bytes is how many have come.
func (i *In) Bytes() int64 { return i.n }

func (i *In) Read(b []byte) (int, error) {
	if i.sum == nil {
		i.sum = sha256.New()
	}
	for len(b) > 0 && i.err == nil {
		if i.from == nil {
			if i.from, i.err = i.Next(i.n, i.sum.Sum(nil)); i.err != nil {
				break
			}
			i.left = 0
		}
		if i.left == 0 {
			n, err := length(i.from)
			if err != nil {
				i.from = nil // it was cut
				continue
			}
			switch {
			case n == 0:
				i.err = i.end()
				continue
			case n > maxPiece:
				i.err = fmt.Errorf("%w: a piece of %d bytes", ErrBroken, n)
				continue
			}
			i.left = n
		}
		n, err := i.from.Read(b[:min(uint32(len(b)), i.left)])
		i.sum.Write(b[:n])
		i.n, i.left = i.n+int64(n), i.left-uint32(n)
		if err != nil {
			i.from = nil
		}
		if i.n > i.Max {
			i.err = fmt.Errorf("%w: it has more than %d bytes", ErrBroken, i.Max)
			break
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, i.err
}

// end reads what comes behind the last piece: io.EOF when the stream is what was sent.
func (i *In) end() error {
	var b [8 + sha256.Size]byte
	if _, err := io.ReadFull(i.from, b[:]); err != nil {
		i.from = nil // cut in the end itself: the next connection has only that left
		return nil
	}
	if n := binary.LittleEndian.Uint64(b[:]); n != uint64(i.n) || !bytes.Equal(b[8:], i.sum.Sum(nil)) {
		return fmt.Errorf("%w: %d of %d bytes", ErrBroken, i.n, n)
	}
	return io.EOF
}

// End has the stream be at its end, whole.
func (i *In) End() error {
	var b [1]byte
	switch n, err := i.Read(b[:]); {
	case n > 0:
		return fmt.Errorf("%w: it goes on behind its end", ErrBroken)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}
