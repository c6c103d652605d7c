package disk

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An installed disk has a GPT (UEFI Specification 2.10, 5.3) with an EFI system partition, STATE and DATA. Beside the table, where nothing
// else lies, an installation writes down how far it is: before it touches anything, and until all is there.

// Partition types. STATE and DATA have types of their own (random GUIDs), so that a disk is known by its table alone.
const (
	TypeESP   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	TypeState = "6D1C9E0B-4F0A-4B57-9A53-7D1B1C0E5A61"
	TypeData  = "2B7F4C53-9E5D-4E0C-8F3A-B0A4E6D2C917"
)

// StateLabel is the filesystem label of STATE.
const StateLabel = "hardnode-state"

// Progress is how far an installation is: the note beside the table.
type Progress string

// The notes.
const (
	NotBegun Progress = ""
	Begun    Progress = "begun"   // what is on the disk is of no use to anybody
	Written  Progress = "written" // all is there; the last rename and the boot entry may be missing
)

// NoteAt is where the note lies, in bytes: behind the table's entries for sectors of 512 and of 4096 bytes, before the first partition.
// NoteSize is what a disk writes whole or not at all.
const (
	NoteAt   = 32 << 10
	NoteSize = 512
)

const noteMagic = "HARDNODE INSTALLATION 1: "

// Note is the sector that says so; that of NotBegun is blank.
func Note(p Progress) []byte {
	sector := make([]byte, NoteSize)
	if p != NotBegun {
		copy(sector, noteMagic+string(p)+"\n")
	}
	return sector
}

// ReadNote is the note of a sector. One that makes no sense counts as Begun: only an installation writes there.
func ReadNote(sector []byte) Progress {
	text, ok := strings.CutPrefix(string(sector), noteMagic)
	if !ok {
		return NotBegun
	}
	if word, _, _ := strings.Cut(text, "\n"); Progress(word) == Written {
		return Written
	}
	return Begun
}

// installation looks for the signs of one.
func installation(r io.ReaderAt) (c Content, ours bool, err error) {
	sector := make([]byte, NoteSize)
	if _, err := r.ReadAt(sector, NoteAt); err != nil {
		return c, false, fmt.Errorf("read the disk at byte %d: %w", NoteAt, err)
	}
	note := ReadNote(sector)
	if note == Begun {
		return Content{Begun: Begun, Holds: "an installation of a Hardnode host that was cut short"}, true, nil
	}
	for _, size := range []int64{512, 4096} {
		t, err := readTable(r, size)
		if err != nil {
			return c, false, err
		}
		if slices.Contains(t.types, TypeState) && slices.Contains(t.types, TypeData) && slices.Contains(t.types, TypeESP) {
			return Content{Installed: true, Identity: t.guid, Begun: note, Holds: "the system and the data of an installed Hardnode host"},
				true, nil
		}
	}
	if note == Written {
		return Content{Begun: Begun, Holds: "an installation of a Hardnode host that was damaged"}, true, nil
	}
	return c, false, nil
}

// table is what a GPT says: its own GUID, the types of its partitions, and by number the GUIDs of all its places for partitions.
type table struct {
	guid  string
	types []string
	ids   []string
}

// readTable reads a GPT of a disk with such sectors; one that is not there is empty. Checksums are not looked at: what says that it is a
// table is not to be overwritten, damaged or not.
func readTable(r io.ReaderAt, sector int64) (t table, err error) {
	raw := make([]byte, 92)
	if _, err := r.ReadAt(raw, sector); err != nil {
		return t, fmt.Errorf("read the disk at byte %d: %w", sector, err)
	}
	if string(raw[:8]) != "EFI PART" {
		return t, nil
	}
	t.guid = guid(raw[56:72])
	at, count, size := int64(binary.LittleEndian.Uint64(raw[72:])), binary.LittleEndian.Uint32(raw[80:]),
		binary.LittleEndian.Uint32(raw[84:])
	if at < 2 || at > 1<<20 || size < 128 || size > 4096 {
		return t, nil
	}
	entry := make([]byte, 32)
	for i := range int64(min(count, 128)) {
		if _, err := r.ReadAt(entry, at*sector+i*int64(size)); err != nil {
			return t, nil // it points behind the disk's end: it is damaged
		}
		t.ids = append(t.ids, guid(entry[16:]))
		if kind := guid(entry); kind != noGUID {
			t.types = append(t.types, kind)
		}
	}
	return t, nil
}

const noGUID = "00000000-0000-0000-0000-000000000000"

// guid is the text of a GUID as tables have it: the first three groups are little-endian (UEFI Specification 2.10, appendix A).
func guid(b []byte) string {
	return fmt.Sprintf("%08X-%04X-%04X-%X-%X", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}

// partitionTypes names the types of partitions that people know, by their GUID and by their byte in an MBR.
var (
	partitionTypes = map[string]string{
		TypeESP:                                "EFI system",
		"E3C9E316-0B5C-4DB8-817D-F92DF00215AE": "Windows reserved",
		"EBD0A0A2-B9E5-4433-87C0-68B6B72699C7": "Windows data",
		"DE94BBA4-06D1-4D40-A16A-BFD50179D6AC": "Windows recovery",
		"5808C8AA-7E8F-42E0-85D2-E1E90434CFB3": "Windows dynamic disk",
		"E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D": "Windows storage pool",
		"0FC63DAF-8483-4772-8E79-3D69D8477DE4": "Linux data",
		"E6D6D379-F507-44C2-A23C-238F2A3DF928": "Linux LVM",
		"A19D880F-05FC-4D3B-A006-743F0F84911E": "Linux RAID",
		"CA7D7CCB-63ED-4C53-861C-1742536059CC": "Linux LUKS",
		"0657FD6D-A4AB-43C4-84E5-0933C84B4F4F": "Linux swap",
		"6A898CC3-1DD2-11B2-99A6-080020736631": "ZFS",
		"AA31E02A-400F-11DB-9590-000C2911D1B8": "VMware VMFS",
		"7C3457EF-0000-11AA-AA11-00306543ECAC": "APFS",
		TypeState:                              "Hardnode's STATE",
		TypeData:                               "Hardnode's DATA",
	}
	mbrTypes = map[byte]string{0x07: "Windows", 0x0b: "FAT", 0x0c: "FAT", 0x82: "Linux swap", 0x83: "Linux", 0x8e: "Linux LVM",
		0xfd: "Linux RAID", 0xee: "GPT", 0xef: "EFI system", 0xa5: "FreeBSD", 0xfb: "VMware VMFS", 0x42: "Windows dynamic disk"}
)

// tableOf says what a partition table has, for people.
func tableOf(r io.ReaderAt, s signature) (string, error) {
	var kinds []string
	if s.Name == mbrName {
		mbr := make([]byte, 512)
		if _, err := r.ReadAt(mbr, 0); err != nil {
			return "", fmt.Errorf("read the disk at byte 0: %w", err)
		}
		for i := range 4 {
			if kind := mbr[446+16*i+4]; kind != 0 {
				name := mbrTypes[kind]
				if name == "" {
					name = fmt.Sprintf("type %#02x", kind)
				}
				kinds = append(kinds, name)
			}
		}
	} else {
		sector := int64(512)
		if s.Offset == 4096 || s.Offset == -4096 {
			sector = 4096
		}
		t, err := readTable(r, sector)
		if err != nil {
			return "", err
		}
		for _, kind := range t.types {
			name := partitionTypes[kind]
			if name == "" {
				name = "type " + strings.ToLower(kind)
			}
			kinds = append(kinds, name)
		}
	}
	if len(kinds) == 0 {
		return s.Name, nil
	}
	return fmt.Sprintf("%s with partitions: %s", s.Name, strings.Join(kinds, ", ")), nil
}
