package btrfs

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// superOf is a superblock of a commit, for a place.
func superOf(generation uint64, at int64, change func([]byte)) []byte {
	b := make([]byte, superBytes)
	for i := range b {
		b[i] = byte(i * 7 >> 2)
	}
	copy(b[atMagic:], superMagic)
	binary.LittleEndian.PutUint64(b[0x30:], uint64(at))
	binary.LittleEndian.PutUint64(b[atGeneration:], generation)
	binary.LittleEndian.PutUint16(b[atSumType:], 0)
	for _, n := range []int{1, 5, 6} {
		binary.LittleEndian.PutUint64(sector(b, n)[100:], generation)
	}
	if change != nil {
		change(b)
	}
	clear(b[:atFSID])
	binary.LittleEndian.PutUint32(b, sum(b))
	return b
}

// torn has some sectors of another one.
func torn(b, other []byte, sectors int) []byte {
	b = bytes.Clone(b)
	for n := range superBytes / sectorBytes {
		if sectors>>n&1 == 1 {
			copy(sector(b, n), sector(other, n))
		}
	}
	return b
}

// TestHealed: whatever sectors of a commit were written of both superblocks, the first one is good afterwards, of the commit that its first
// sector is of, with the log that that one names.
func TestHealed(t *testing.T) {
	log := func(b []byte) { b[0x60] = 9 } // of the first one alone
	before, after := superOf(41, superAt, log), superOf(42, superAt, nil)
	copyBefore, copyAfter := superOf(41, superCopy, nil), superOf(42, superCopy, nil)
	for first := range 1 << 8 {
		for second := range 1 << 8 {
			at := torn(before, after, first)
			got := mended(at, torn(copyBefore, copyAfter, second))
			if summed(at) {
				if got != nil {
					t.Fatalf("%08b %08b: a good one is changed", first, second)
				}
				continue
			}
			if got == nil || !summed(got) || !bytes.Equal(got[atFSID:sectorBytes], at[atFSID:sectorBytes]) {
				t.Fatalf("%08b %08b: not mended", first, second)
			}
			if second == 0 && first&1 == 0 && !bytes.Equal(got, before) || second == 0xff && first&1 == 1 && !bytes.Equal(got, after) {
				t.Fatalf("%08b %08b: mended, and not what it was to be", first, second)
			}
		}
	}
}

// TestNotHealed: what no cut can have left stays.
func TestNotHealed(t *testing.T) {
	second := superOf(41, superCopy, nil)
	for name, change := range map[string]func([]byte){
		"a chunk's byte": func(b []byte) { b[0x400]++ },
		"no magic":       func(b []byte) { b[atMagic]++ },
		"another btrfs":  func(b []byte) { b[atFSID]++ },
		"another device": func(b []byte) { b[atDevice]++ },
		"another sum":    func(b []byte) { b[atSumType]++ },
		"much newer":     func(b []byte) { b[atGeneration] += 2 },
		"much older":     func(b []byte) { b[atGeneration] -= 2 },
		"a root's byte":  func(b []byte) { b[0x50]++ },
	} {
		first := superOf(41, superAt, nil)
		change(first)
		if mended(first, second) != nil {
			t.Errorf("%s: it is changed", name)
		}
	}
}

// TestHeal: on a device, the first superblock alone is written, once.
func TestHeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if healed, err := Heal(path); healed || err != nil {
		t.Errorf("nothing: %t, %v", healed, err)
	}
	before, after := superOf(41, superAt, nil), superOf(42, superAt, nil)
	for at, b := range map[int64][]byte{superAt: torn(before, after, 1), superCopy: superOf(42, superCopy, nil)} {
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []bool{true, false} {
		if healed, err := Heal(path); healed != want || err != nil {
			t.Errorf("healed %t, %v", healed, err)
		}
	}
	got := make([]byte, superBytes)
	if _, err := f.ReadAt(got, superAt); err != nil || !bytes.Equal(got, after) {
		t.Errorf("it is another one: %v", err)
	}
	if _, err := Heal(path + "x"); err == nil {
		t.Error("a device that is not there")
	}
}
