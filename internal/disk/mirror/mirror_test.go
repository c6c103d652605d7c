package mirror

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func note(words string, alone, filling bool) Note {
	return Note{History: strings.Fields(words), Alone: alone, Filling: filling}
}

const (
	w1 = "aaaaaaaa01"
	w2 = "aaaaaaaa02"
	w3 = "aaaaaaaa03"
)

func TestNote(t *testing.T) {
	for _, n := range []Note{{}, note(w1, false, false), note(w1+" "+w2, true, false), note(w1, false, true)} {
		got, ok := Decode(n.Encode())
		if ok != n.In() || ok && !reflect.DeepEqual(got, n) {
			t.Errorf("%+v: read back %+v, %v", n, got, ok)
		}
		if len(n.Encode()) != Size {
			t.Errorf("%+v: %d bytes", n, len(n.Encode()))
		}
	}
	for _, bad := range []string{"", magic, magic + "alone\n", magic + "together " + w1, magic + "else " + w1 + "\n",
		magic + "alone xyz\n", magic + "alone " + strings.Repeat(w1+" ", 44) + "\n"} {
		if n, ok := Decode(append([]byte(bad), 0)); ok {
			t.Errorf("%q: taken as %+v", bad, n)
		}
	}
	n := New()
	for range 2 * mostWords {
		was := n
		if n = n.GoneAlone(); !n.Alone || slices.Equal(n.History, was.History) || n.ID() != was.ID() {
			t.Fatalf("%+v went on alone as %+v", was, n)
		}
		if again := n.GoneAlone(); !reflect.DeepEqual(again, n) {
			t.Fatalf("alone twice: %+v, then %+v", n, again)
		}
		if _, ok := Decode(n.Encode()); !ok {
			t.Fatalf("%d words do not fit", len(n.History))
		}
		n, _ = n.Joined()
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(note(w1+" "+w2, true, false).Encode())
	f.Fuzz(func(t *testing.T, sector []byte) {
		if n, ok := Decode(sector); ok {
			if again, ok := Decode(n.Encode()); !ok || !reflect.DeepEqual(again, n) {
				t.Errorf("%q: %+v, read back %+v", sector, n, again)
			}
		}
	})
}

func TestChoose(t *testing.T) {
	half := func(disk string, n Note, state, data uint64) Half { return Half{disk, n, state, data} }
	a := half("a", note(w1, false, false), 10, 100)
	for _, c := range []struct {
		name    string
		halves  []Half
		use     string
		left    string // a part of the reason
		err     string
		alone   bool
		filling bool
	}{
		{name: "both", halves: []Half{a, half("b", a.Note, 10, 100)}, use: "a b"},
		{name: "the newer one first", halves: []Half{a, half("b", a.Note, 10, 101)}, use: "b a"},
		{name: "cut between the superblocks of a commit", halves: []Half{a, half("b", a.Note, 9, 101)}, use: "b a"},
		{name: "one is gone", halves: []Half{a}, use: "a", alone: true},
		{name: "one was taken away while the host ran", halves: []Half{a, half("b", a.Note, 4, 40)}, use: "a", alone: true,
			left: "b: it has missed"},
		{name: "the first was taken away while the host ran", halves: []Half{half("b", a.Note, 4, 40), a}, use: "a", alone: true,
			left: "b: it has missed"},
		{name: "only STATE tells", halves: []Half{a, half("b", a.Note, 20, 100)}, use: "b", alone: true, left: "a: it has missed"},
		{name: "each has missed something", halves: []Half{a, half("b", a.Note, 4, 140)}, err: "disks b, a: one has the newer STATE"},
		{name: "one was away", halves: []Half{a, half("b", note(w1+" "+w2, true, false), 5, 50)}, use: "b", alone: true,
			left: "a: it was away"},
		{name: "each was alone", halves: []Half{half("a", note(w1+" "+w2, true, false), 9, 9),
			half("b", note(w1+" "+w3, true, false), 8, 8)},
			err: "disks a, b: each was written without the other"},
		{name: "one was alone, then whole again; the other was alone too", halves: []Half{half("a", note(w1+" "+w2, false, false), 9, 9),
			half("b", note(w1+" "+w3, true, false), 8, 8)}, err: "each was written"},
		{name: "a copy of a disk that is alone", halves: []Half{half("a", note(w1+" "+w2, true, false), 9, 9),
			half("b", note(w1+" "+w2, true, false), 9, 9)}, err: "each was written"},
		{name: "three: an old one comes back", halves: []Half{half("a", note(w1+" "+w2, false, false), 9, 9),
			half("b", note(w1, false, false), 30, 30), half("c", note(w1+" "+w2, false, false), 9, 9)}, use: "a c", left: "b: it was away"},
		{name: "being filled", halves: []Half{half("c", note(w1, false, true), 10, 100), a}, use: "a c", filling: true},
		{name: "being filled, and the source is gone", halves: []Half{half("c", note(w1, false, true), 10, 100)},
			err: "disk c: was being filled"},
		{name: "its filling was cut short before DATA", halves: []Half{half("c", note(w1, false, true), 10, 0), a}, use: "a", alone: true,
			left: "c: its filling was cut short"},
		{name: "being filled, and newer than its source", halves: []Half{half("c", note(w1, false, true), 15, 150), a},
			err: "one has the newer STATE"},
		{name: "one can't be read", halves: []Half{a, half("b", a.Note, 10, 0)}, use: "a", alone: true, left: "b: its STATE or DATA can't"},
		{name: "none can be read", halves: []Half{half("b", a.Note, 0, 0)}, err: "no disk of the mirror can be used: disk b: its STATE"},
		{name: "the newer one can't be read", halves: []Half{a, half("b", note(w1+" "+w2, true, false), 0, 0)},
			err: "no disk of the mirror can be used: disk a: it was away"},
		{name: "none", err: "no disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choose(c.halves)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v, %v; want an error with %q", got, err, c.err)
				}
				return
			}
			var use []string
			for _, h := range got.Use {
				use = append(use, h.Disk)
			}
			left := ""
			for _, l := range got.Left {
				left += l.Disk + ": " + l.Reason + "\n"
			}
			if err != nil || strings.Join(use, " ") != c.use || got.Alone != c.alone || got.Filling != c.filling ||
				!strings.Contains(left, c.left) || (c.left == "") != (left == "") {
				t.Errorf("got %+v, %v; want %+v", got, err, c)
			}
		})
	}
}

// disk is one in the machine's room: its note, and all that was written to it.
type disk struct {
	note   Note
	wrote  []int
	inside bool
}

// TestNothingIsLost: whatever is taken out and put back, in whatever order and between any two boots, a host that comes up has all that was
// ever written by the boots that it goes on from: what it uses has the same content on each disk, and a stale half is never used.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := New()
		disks := []*disk{{note: first, inside: true}, {note: first, inside: true}}
		written := 0
		for range rapid.IntRange(1, 30).Draw(t, "boots") {
			for i := range disks {
				disks[i].inside = rapid.Bool().Draw(t, fmt.Sprintf("disk %d is in", i))
			}
			var halves []Half
			for i, d := range disks {
				if d.inside {
					g := uint64(len(d.wrote)) + 1
					halves = append(halves, Half{Disk: fmt.Sprint(i), Note: d.note, State: g, Data: g})
				}
			}
			c, err := Choose(halves)
			if err != nil {
				continue // it waits for a person
			}
			var used []*disk
			for _, h := range c.Use {
				used = append(used, disks[int(h.Disk[0]-'0')])
			}
			for _, d := range used {
				if !slices.Equal(d.wrote, used[0].wrote) {
					t.Fatalf("two halves are used that hold %v and %v", used[0].wrote, d.wrote)
				}
			}
			for _, l := range c.Left {
				if d := disks[int(l.Disk[0]-'0')]; len(d.wrote) > len(used[0].wrote) {
					t.Fatalf("what holds %v is used, and %v is left", used[0].wrote, d.wrote)
				} else if !slices.Equal(d.wrote, used[0].wrote[:len(d.wrote)]) {
					t.Fatalf("what holds %v is left, which nobody else has; used is %v", d.wrote, used[0].wrote)
				}
			}
			if c.Alone {
				used[0].note = used[0].note.GoneAlone()
			}
			for range rapid.IntRange(0, 3).Draw(t, "writes") {
				written++
				for _, d := range used {
					d.wrote = append(d.wrote, written)
				}
			}
			if c.Alone && rapid.Bool().Draw(t, "the other is taken in") && len(halves) == 2 {
				other := disks[1]
				if used[0] == disks[1] {
					other = disks[0]
				}
				used[0].note, other.note = used[0].note.Joined()
				other.wrote, other.note.Filling = slices.Clone(used[0].wrote), false
			}
		}
	})
}
