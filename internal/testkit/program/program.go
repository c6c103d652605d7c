// Package program makes the smallest EFI program for tests.
//
// Owns: a file of 64-bit PE form with one section, whose headers have room for a few more.
// In: nothing.
// Out: the file's bytes.
// Never: ships.
package program

import "encoding/binary"

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
