// Package layout writes what makes a disk an installed one: the note of how far it is, the partition table, the ESP's filesystem.
//
// Owns: the order of writes on the bare disk, so that at any cut the disk is known as being installed to.
// In: a disk that internal/disk/pick has chosen, open for writing; where partitions lie.
// Out: a table whose partitions the kernel can be asked for; a FAT32 filesystem.
// Never: decides, mounts, or writes to a disk before its note says Begun.
package layout

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/diskfs/go-diskfs/partition/gpt"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/efi"
	"hardnode.dev/internal/disk/medium"
	"hardnode.dev/internal/wire/install"
)

const (
	sector = 512
	zeroed = 2 << 20 // bytes that are zeroed at the start of the disk and of each partition, and at the disk's end
)

// SetNote writes down how far an installation is, durably.
func SetNote(f *os.File, p disk.Progress) error {
	if _, err := f.WriteAt(disk.Note(p), disk.NoteAt); err != nil {
		return fmt.Errorf("write down how far the installation is: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write down how far the installation is: %w", err)
	}
	return nil
}

// Clear takes away all that says what the disk held, but for the note: both ends, and where partitions will begin.
func Clear(f *os.File, size int64, parts []install.Partition) error {
	spans := [][2]int64{{0, disk.NoteAt}, {disk.NoteAt + disk.NoteSize, zeroed}, {size - zeroed, size}}
	for _, p := range parts {
		spans = append(spans, [2]int64{max(p.Start, zeroed), p.Start + zeroed})
	}
	for _, at := range disk.Elsewhere(size) {
		spans = append(spans, [2]int64{at, at + sector})
	}
	zeros := make([]byte, 1<<20)
	for _, s := range spans {
		for at := s[0]; at < s[1]; {
			n, err := f.WriteAt(zeros[:min(int64(len(zeros)), s[1]-at)], at)
			if err != nil {
				return fmt.Errorf("clear the disk at byte %d: %w", at, err)
			}
			at += int64(n)
		}
	}
	return f.Sync()
}

// types are the partitions' by name.
var types = map[string]gpt.Type{"ESP": disk.TypeESP, "STATE": disk.TypeState, "DATA": disk.TypeData}

// Partition writes the table, the backup first. identity is the disk's GUID. It returns the ESP as firmware names it.
func Partition(f *os.File, size int64, parts []install.Partition, identity string) (esp efi.Partition, err error) {
	t := gpt.Table{LogicalSectorSize: sector, PhysicalSectorSize: sector, ProtectiveMBR: true, GUID: identity}
	for i, p := range parts {
		id, err := NewGUID()
		if err != nil {
			return esp, fmt.Errorf("partition the disk: %w", err)
		}
		start, sectors := uint64(p.Start/sector), uint64(p.Bytes/sector)
		t.Partitions = append(t.Partitions, &gpt.Partition{Index: i + 1, Start: start, End: start + sectors - 1, Size: uint64(p.Bytes),
			Type: types[p.Name], Name: "hardnode " + p.Name, GUID: id})
	}
	if err := t.Write(f, size); err != nil {
		return esp, fmt.Errorf("partition the disk: %w", err)
	}
	return Find(f)
}

// Find reads where an installed disk's ESP is.
func Find(f *os.File) (efi.Partition, error) {
	t, err := gpt.Read(f, sector, sector)
	if err != nil {
		return efi.Partition{}, fmt.Errorf("read the partition table: %w", err)
	}
	for _, p := range t.Partitions {
		if p.Type == disk.TypeESP {
			return efi.Partition{Number: uint32(p.Index), Start: p.Start, Size: p.End - p.Start + 1, GUID: p.GUID}, nil
		}
	}
	return efi.Partition{}, errors.New("read the partition table: it has no EFI system partition")
}

// Format makes an empty ESP on a partition.
func Format(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("measure the ESP: %w", err)
	}
	if err := medium.Format(f, size); err != nil {
		return fmt.Errorf("format the ESP: %w", err)
	}
	return f.Sync()
}

// NewGUID is a random one: it is of version 4 (RFC 9562).
func NewGUID() (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}
