package medium

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
)

// Sources: ECMA-119 (ISO 9660), 8.4 (the primary volume descriptor), 9.1 (directory records).
const (
	isoSector = 2048
	isoVolume = 16 * isoSector // the primary volume descriptor
	isoMagic  = "\x01CD001"
	isoLabel  = 40  // in it: the volume's name, 32 bytes
	isoRoot   = 156 // in it: the record of the root directory
	recPlace  = 2   // in a record: the first sector of the data
	recLength = 10  // the bytes of the data
	recName   = 32  // the length of the name; the name follows
)

// isISO tells whether a medium begins as an ISO does.
func isISO(f *os.File) bool {
	magic := make([]byte, len(isoMagic))
	_, err := f.ReadAt(magic, isoVolume)
	return err == nil && string(magic) == isoMagic
}

// inISO looks for a file in the root directory of an ISO whose volume is HARDNODE.
func inISO(f *os.File, name string) (place, error) {
	head := make([]byte, isoSector)
	if _, err := f.ReadAt(head, isoVolume); err != nil {
		return place{}, err
	}
	root := placeOf(f, head[isoRoot:])
	if strings.TrimSpace(string(head[isoLabel:isoLabel+32])) != Label || root.size <= 0 || root.size > largest {
		return place{}, ErrNoPlace
	}
	dir := make([]byte, root.size)
	if _, err := io.ReadFull(root, dir); err != nil {
		return place{}, fmt.Errorf("read its directory: %w", cause(err))
	}
	for len(dir) > recName {
		n := int(dir[0])
		if n == 0 { // records don't cross sectors: the rest of this one is empty
			dir = dir[1+(len(dir)-1)%isoSector:]
			continue
		}
		if n < recName+2 || n > len(dir) || recName+1+int(dir[recName]) > n {
			return place{}, fmt.Errorf("read its directory: a record of %d bytes makes no sense", n)
		}
		id, _, _ := strings.Cut(string(dir[recName+1:recName+1+int(dir[recName])]), ";")
		if strings.EqualFold(strings.TrimSuffix(id, "."), name) {
			return placeOf(f, dir), nil
		}
		dir = dir[n:]
	}
	return place{}, ErrNoPlace
}

// placeOf is where the data of a directory record lies.
func placeOf(f *os.File, record []byte) place {
	at, size := int64(binary.LittleEndian.Uint32(record[recPlace:]))*isoSector, int64(binary.LittleEndian.Uint32(record[recLength:]))
	return place{&window{f: f, at: at}, size}
}

// window reads and writes a file from a place on.
type window struct {
	f       *os.File
	at, pos int64
}

func (w *window) Read(b []byte) (int, error) {
	n, err := w.f.ReadAt(b, w.at+w.pos)
	w.pos += int64(n)
	return n, err
}

func (w *window) Write(b []byte) (int, error) {
	n, err := w.f.WriteAt(b, w.at+w.pos)
	w.pos += int64(n)
	return n, err
}

// Seek goes to an offset from the place's begin; nothing else is asked of it.
func (w *window) Seek(offset int64, _ int) (int64, error) {
	w.pos = offset
	return offset, nil
}
