// Package mirror decides which of the two disks of an installed host are used: both, or the newer one alone.
//
// Owns: the note on each disk that says whose mirror it is of, and when it went on alone; the rule that follows.
// In: the notes of the disks that are there, and the generations of their STATE and DATA.
// Out: the disks to use, those that are not with the reason; a refusal when each was written without the other.
// Never: looks at a disk, or mounts one.
//
// Both halves of STATE and of DATA are btrfs (profile raid1), which knows by generation and checksum which copy of a block is good. What it
// can't know is that a disk that was away has been written by itself meanwhile, where two different trees have the same generations: that
// is what the notes are for.
package mirror

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// At is where a disk's note lies, in bytes: beside the note of an installation (internal/disk.NoteAt), in another block of 4096 bytes, so
// that neither is in danger when the other is written. Size is what a disk writes whole or not at all.
const (
	At   = 36 << 10
	Size = 512
)

const magic = "HARDNODE MIRROR 1: "

// Note is what a disk says of its mirror. The zero value is that of a disk that is in none.
type Note struct {
	// History is what became of the mirror, oldest first, as random words: the first names it, and each time that a disk goes on without
	// the other it adds one. A disk whose history begins like another's, and is shorter, has missed something.
	History []string
	// Alone: it went on alone, and none has joined it since.
	Alone bool
	// Filling: it is being filled from the other disk; what it holds is not whole.
	Filling bool
}

// mostWords fit into a sector. Older ones than the last are forgotten, but for the first: a disk from then is refused, not taken.
const mostWords = 40

// New is the note of both disks of a new mirror.
func New() Note { return Note{History: []string{word()}} }

func word() string {
	b := make([]byte, 5)
	rand.Read(b) // it never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// In tells whether the disk is in a mirror.
func (n Note) In() bool { return len(n.History) > 0 }

// ID names the mirror; "" when the disk is in none.
func (n Note) ID() string {
	if !n.In() {
		return ""
	}
	return n.History[0]
}

// GoneAlone is the note of a disk that goes on without the other: to be written before anything else is.
func (n Note) GoneAlone() Note {
	if n.Alone {
		return n // whoever comes back has missed the beginning of it
	}
	h := append(slices.Clone(n.History), word())
	if len(h) > mostWords {
		h = append(h[:1:1], h[len(h)-mostWords+1:]...)
	}
	return Note{History: h, Alone: true}
}

// Joined are the notes of a disk and of the one that begins to be filled from it. The second is written first, while that disk still counts
// as one of no use. A disk that was in no mirror begins one.
func (n Note) Joined() (old, joining Note) {
	if !n.In() {
		n = New()
	}
	return Note{History: n.History}, Note{History: n.History, Filling: true}
}

// Encode is the sector.
func (n Note) Encode() []byte {
	sector := make([]byte, Size)
	if !n.In() {
		return sector
	}
	state := "together"
	switch {
	case n.Filling:
		state = "filling"
	case n.Alone:
		state = "alone"
	}
	copy(sector, magic+state+" "+strings.Join(n.History, " ")+"\n")
	return sector
}

// Decode is the note of a sector; false when it is none that makes sense.
func Decode(sector []byte) (n Note, ok bool) {
	line, _, whole := bytes.Cut(sector, []byte("\n"))
	text, ours := strings.CutPrefix(string(line), magic)
	if !ours || !whole {
		return Note{}, false
	}
	words := strings.Split(text, " ")
	switch words[0] {
	case "together":
	case "alone":
		n.Alone = true
	case "filling":
		n.Filling = true
	default:
		return Note{}, false
	}
	n.History = words[1:]
	for _, w := range n.History {
		if raw, err := hex.DecodeString(w); err != nil || len(raw) != 5 {
			return Note{}, false
		}
	}
	return n, len(n.History) > 0 && len(n.History) <= mostWords
}

// Half is one disk of a mirror that is there.
type Half struct {
	Disk string // its device, for people and to know it again
	Note Note
	// Generations of its STATE and of its DATA, as their superblocks have them (btrfs); 0 when it can't be read.
	State, Data uint64
}

// Left is a disk of the mirror that is there and not used.
type Left struct {
	Disk   string
	Reason string // with the next step
}

// Choice is which disks are used.
type Choice struct {
	Use  []Half // one or two; the first is the one with the newest generation
	Left []Left
	// Alone: the disk of Use goes on alone. Its note must say so before anything else is written (Note.GoneAlone).
	Alone bool
	// Filling: one of Use is not whole yet.
	Filling bool
}

// oneCommit is how far two halves that were written together may be apart: the superblocks of a commit are written one after the other,
// when all that it points to lies on both.
const oneCommit = 1

// Choose decides. All halves have one mirror's ID. The error is for the operator, with the next step.
func Choose(halves []Half) (c Choice, err error) {
	if len(halves) == 0 {
		return c, fmt.Errorf("there is no disk of the mirror")
	}
	newest, ok := head(halves)
	if !ok {
		return c, fmt.Errorf("disks %s: each was written without the other, so neither is the newer one; take out the one whose data is "+
			"to be lost, boot, and put it back with hnctl host disk replace", names(halves))
	}
	var use []Half
	for _, h := range halves {
		switch {
		case !slices.Equal(h.Note.History, newest):
			c.Left = append(c.Left, Left{h.Disk, "it was away while this host went on without it, so it is not used; take it in again " +
				"with hnctl host disk replace"})
		case h.Note.Filling && (h.State == 0 || h.Data == 0):
			c.Left = append(c.Left, Left{h.Disk, "its filling was cut short, so it is not used; go on with hnctl host disk replace"})
		case h.State == 0 || h.Data == 0:
			c.Left = append(c.Left, Left{h.Disk, "its STATE or DATA can't be read; replace it (hnctl host disk replace)"})
		default:
			use = append(use, h)
		}
	}
	if len(use) == 0 {
		var why []string
		for _, l := range c.Left {
			why = append(why, "disk "+l.Disk+": "+l.Reason)
		}
		return Choice{}, fmt.Errorf("no disk of the mirror can be used: %s; to go on with the older one, take the other one out",
			strings.Join(why, "; "))
	}
	if use, err = c.behind(use); err != nil {
		return Choice{}, err
	}
	c.Use = use
	c.Alone = len(use) == 1
	c.Filling = slices.ContainsFunc(use, func(h Half) bool { return h.Note.Filling })
	if whole := slices.ContainsFunc(use, func(h Half) bool { return !h.Note.Filling }); !whole {
		return Choice{}, fmt.Errorf("disk %s: was being filled from the other disk of this host, which is gone, so it is not whole; put "+
			"the other one back", names(use))
	}
	return c, nil
}

// head is the history that all others are the beginning of; false when there is none.
func head(halves []Half) ([]string, bool) {
	longest := slices.MaxFunc(halves, func(a, b Half) int { return len(a.Note.History) - len(b.Note.History) }).Note.History
	for _, h := range halves {
		n := len(h.Note.History)
		if !slices.Equal(h.Note.History, longest[:n]) {
			return nil, false
		}
		if n == len(longest) && h.Note.Alone && slices.ContainsFunc(halves, func(o Half) bool {
			return o.Disk != h.Disk && o.Note.Alone &&
				len(o.Note.History) == n
		}) {
			return nil, false // both say that they went on alone: one of them is a copy
		}
	}
	return longest, true
}

// behind puts the newest half first, and leaves out one that missed more than a commit: it was taken away while the host ran.
func (c *Choice) behind(use []Half) ([]Half, error) {
	slices.SortStableFunc(use, func(a, b Half) int {
		switch { // of those that are being filled none comes first
		case a.Note.Filling != b.Note.Filling && b.Note.Filling:
			return -1
		case a.Note.Filling != b.Note.Filling:
			return 1
		case a.Data != b.Data:
			return compare(b.Data, a.Data)
		}
		return compare(b.State, a.State)
	})
	first, kept := use[0], use[:1]
	for _, h := range use[1:] {
		data, state := int64(first.Data-h.Data), int64(first.State-h.State)
		switch {
		case data < -oneCommit || state < -oneCommit:
			if data > oneCommit || state > oneCommit || h.Note.Filling {
				return nil, fmt.Errorf("disks %s: one has the newer STATE and the other the newer DATA; take out the one whose data is to "+
					"be lost, boot, and put it back with hnctl host disk replace", names(use))
			}
			kept = []Half{h}
			c.Left = append(c.Left, Left{first.Disk, missed})
			first = h
		case data > oneCommit || state > oneCommit:
			c.Left = append(c.Left, Left{h.Disk, missed})
		default:
			kept = append(kept, h)
		}
	}
	return kept, nil
}

const missed = "it has missed what the other disk was written, so it is not used; take it in again with hnctl host disk replace"

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func names(halves []Half) string {
	var all []string
	for _, h := range halves {
		all = append(all, h.Disk)
	}
	return strings.Join(all, ", ")
}
