// Package program makes the smallest EFI programs for tests.
//
// Owns: a file of 64-bit PE form with one section, whose headers have room for a few more; one of given sections, as a UKI is.
// In: the sections.
// Out: the file's bytes.
// Never: ships.
package program

import (
	"debug/pe"
	"encoding/binary"
	"maps"
	"slices"
)

// Sections is a file of sections, as a linker lays them out. It has no optional header.
func Sections(sections map[string][]byte) []byte {
	const first, aligned = 1024, 512
	b := make([]byte, 0x40)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3c:], 0x40)
	put := func(v any) {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
			panic("BUG: a header does not encode: " + err.Error())
		}
	}
	b = append(b, "PE\x00\x00"...)
	put(pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: uint16(len(sections))})
	names, at := slices.Sorted(maps.Keys(sections)), uint32(first)
	for _, name := range names {
		h := pe.SectionHeader32{VirtualSize: uint32(len(sections[name])), PointerToRawData: at}
		h.SizeOfRawData = (h.VirtualSize + aligned - 1) / aligned * aligned
		copy(h.Name[:], name)
		put(h)
		at += h.SizeOfRawData
	}
	b = append(b, make([]byte, first-len(b))...)
	for _, name := range names {
		b = append(b, sections[name]...)
		b = append(b, make([]byte, (aligned-len(b)%aligned)%aligned)...)
	}
	return append(b, make([]byte, aligned)...)
}

// EFI is the program. Its length is no multiple of eight, as that of programs may be.
func EFI() []byte {
	const pe, opt, room = 0x80, 0x80 + 24, 0x400
	b := make([]byte, room+0x203)
	put := func(at, v int) { binary.LittleEndian.PutUint32(b[at:], uint32(v)) }
	copy(b, "MZ")
	put(0x3c, pe)
	copy(b[pe:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[pe+4:], 0x8664)
	binary.LittleEndian.PutUint16(b[pe+6:], 1)
	binary.LittleEndian.PutUint16(b[pe+20:], 240)
	binary.LittleEndian.PutUint16(b[pe+22:], 0x22e)
	binary.LittleEndian.PutUint16(b[opt:], 0x20b)
	for at, v := range map[int]int{16: 0x1000, 20: 0x1000, 32: 0x1000, 36: 0x200, 56: 0x2000, 60: room, 68: 10, 108: 16} {
		put(opt+at, v)
	}
	copy(b[opt+240:], ".text")
	for at, v := range map[int]int{8: 0x123, 12: 0x1000, 16: 0x200, 20: room, 36: 0x60000020} {
		put(opt+240+at, v)
	}
	copy(b[room:], "what it does")
	return b
}
