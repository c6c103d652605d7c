package btrfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A superblock (struct btrfs_super_block, Documentation/dev/On-disk-format): where the first and the second one lie, and its parts.
const (
	superBytes  = 4096
	superAt     = 64 << 10
	superCopy   = 64 << 20
	superMagic  = "_BHRfS_M"
	sectorBytes = 512

	atFSID       = 0x20 // to 0x30
	atMagic      = 0x40
	atGeneration = 0x48
	atSumType    = 0xc4
	atDevice     = 0x10b // to 0x11b: dev_item.uuid
)

// commits are the sectors of a superblock that a commit changes: the first one; the generation of the tree of UUIDs; the former roots.
var commits = [superBytes / sectorBytes]bool{0: true, 1: true, 5: true, 6: true}

// Heal makes the superblock of a device good when a power cut left some of its sectors as they were and others as they were to be: the
// kernel reads no other than the first, and does not mount when its checksum is wrong. The first sector says which commit it is of, with
// the log of what was synced since; it stays. Those of the other sectors that do not fit to it come from the copy. What can't have come
// from a cut stays as it is. The device is not mounted: init asks for it before each mount of DATA.
func Heal(path string) (healed bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	first, second := make([]byte, superBytes), make([]byte, superBytes)
	for at, b := range map[int64][]byte{superAt: first, superCopy: second} {
		if _, err := f.ReadAt(b, at); errors.Is(err, io.EOF) {
			return false, nil // too small for a copy
		} else if err != nil {
			return false, fmt.Errorf("read the superblock of %q: %w", path, err)
		}
	}
	good := mended(first, second)
	if good == nil {
		return false, nil
	}
	if _, err := f.WriteAt(good, superAt); err != nil {
		return false, fmt.Errorf("mend the superblock of %q: %w", path, err)
	}
	return true, f.Sync()
}

// mended is what a superblock should be that a cut left in part, and nil for one that is good, or was not left so by a cut.
func mended(first, second []byte) []byte {
	if string(first[atMagic:][:len(superMagic)]) != superMagic || binary.LittleEndian.Uint16(first[atSumType:]) != 0 || summed(first) {
		return nil
	}
	newer := binary.LittleEndian.Uint64(first[atGeneration:]) - binary.LittleEndian.Uint64(second[atGeneration:])
	if !bytes.Equal(first[atFSID:atFSID+16], second[atFSID:atFSID+16]) || !bytes.Equal(first[atDevice:atDevice+16],
		second[atDevice:atDevice+16]) || newer+1 > 2 { // one commit older, the same one, or one newer
		return nil
	}
	var differ []int
	for n, may := range commits {
		if bytes.Equal(sector(first, n), sector(second, n)) || n == 0 {
			continue
		}
		if !may {
			return nil
		}
		differ = append(differ, n)
	}
	for which := range 1 << len(differ) {
		b := bytes.Clone(first)
		for i, n := range differ {
			if which>>i&1 == 1 {
				copy(sector(b, n), sector(second, n))
			}
		}
		if summed(b) {
			return b
		}
	}
	if newer == 0 && summed(second) {
		return nil // a cut of that commit would have left sectors that fit to the copy's
	}
	// The commit that the first sector is of left its other sectors nowhere: they tell of former roots, which a mount needs not.
	b := bytes.Clone(first)
	binary.LittleEndian.PutUint32(b, sum(b))
	return b
}

func sector(b []byte, n int) []byte { return b[n*sectorBytes:][:sectorBytes] }

func sum(b []byte) uint32 { return crc32.Checksum(b[atFSID:], crc32.MakeTable(crc32.Castagnoli)) }

func summed(b []byte) bool { return binary.LittleEndian.Uint32(b) == sum(b) }
