// Package disk knows what lies on a disk, and which disk may become DATA.
//
// Owns: the signatures of everything that makes a disk "not blank", the choice of DATA's disk, and how DATA is laid out (btrfs, label,
// subvolumes, simple quotas).
// In: block devices or files; the storage part of the host's configuration.
// Out: what a disk holds; a Choice with its reason; a mounted DATA.
// Never: formats a disk that is not blank, was not named by an explicit wipe, and is not our own half-made DATA.
package disk

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Label is the filesystem label of DATA: how a host finds its own disk again.
const Label = "hardnode-data"

// signature is a magic at a place; a negative Offset counts from the end of the disk.
type signature struct {
	Name   string
	Offset int64
	Magic  string
}

// signatures is what is looked for. Most lie in the first or last MiB, whose bytes must all be zero on a blank disk anyway: these give
// the thing its name. Those that lie elsewhere (btrfs mirrors, ZFS, VMFS) are found only here. Sources: the format documents and
// libblkid's.
var signatures = []signature{
	{"GPT partition table", 512, "EFI PART"},
	{"GPT partition table (4 KiB sectors)", 4096, "EFI PART"},
	{"GPT partition table (backup)", -512, "EFI PART"},
	{"GPT partition table (backup, 4 KiB sectors)", -4096, "EFI PART"},
	{"LUKS", 0, "LUKS\xba\xbe"},
	{"LUKS (second header)", 0x4000, "SKUL\xba\xbe"},
	{"LVM physical volume", 512, "LABELONE"},
	{"LVM physical volume", 0, "LABELONE"},
	{"Linux RAID (version 1.2)", 4096, "\xfc\x4e\x2b\xa9"},
	{"Linux RAID (version 1.1)", 0, "\xfc\x4e\x2b\xa9"},
	{"Linux RAID (version 1.0)", -8192, "\xfc\x4e\x2b\xa9"},
	{"Linux RAID (version 0.90)", -65536, "\xfc\x4e\x2b\xa9"},
	{"ext2/3/4", 0x438, "\x53\xef"},
	{"XFS", 0, "XFSB"},
	{"btrfs", 0x10040, "_BHRfS_M"},
	{"btrfs (mirror)", 64<<20 + 0x40, "_BHRfS_M"},
	{"btrfs (mirror)", 256<<30 + 0x40, "_BHRfS_M"},
	{"bcachefs or bcache", 0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
	{"F2FS", 1024, "\x10\x20\xf5\xf2"},
	{"NTFS", 3, "NTFS    "},
	{"exFAT", 3, "EXFAT   "},
	{"FAT", 54, "FAT"},
	{"FAT32", 82, "FAT32   "},
	{"ISO 9660", 0x8001, "CD001"},
	{"erofs", 1024, "\xe2\xe1\xf5\xe0"},
	{"squashfs", 0, "hsqs"},
	{"Linux swap", 4096 - 10, "SWAPSPACE2"},
	{"ReiserFS", 0x10034, "ReIsEr"},
	{"JFS", 0x8000, "JFS1"},
	{"NILFS2", 1024 + 6, "\x34\x34"},
	{"HFS+", 1024, "H+"},
	{"UFS", 0x255c, "\x19\x54\x01\x00"},
	{"VMFS", 0x100000, "\x0d\xd0\x01\xc0"},
	{"VMFS", 0x200000, "\x5e\xf1\xab\x2f"},
	{"Ceph BlueStore", 0, "bluestore block device"},
	{"DRBD", -4096 + 60, "\x83\x74\x02\x6b"},
	{"ZFS", 128<<10 + 0, "\x0c\xb1\xba\x00"},
	{"ZFS", 256<<10 + 128<<10, "\x0c\xb1\xba\x00"},
	{"ZFS", -(256 << 10) + 128<<10, "\x0c\xb1\xba\x00"},
	{"ZFS", -(512 << 10) + 128<<10, "\x0c\xb1\xba\x00"},
	{"MBR partition table or boot sector", 510, "\x55\xaa"},
}

// Content is what a disk holds.
type Content struct {
	Blank bool
	// Holds names what was found, for people: "ext2/3/4", "data without a known signature".
	Holds string
	// Data: it is a whole DATA of ours. HalfMade: mkfs was cut short while it made one.
	Data, HalfMade bool
}

const edge = 1 << 20

// Inspect reads the edges of a disk and every place a signature may lie.
func Inspect(r io.ReaderAt, size int64) (Content, error) {
	if size < 4*edge {
		return Content{Holds: fmt.Sprintf("too little room (%d KiB)", size>>10)}, nil
	}
	super := make([]byte, 4096)
	if _, err := r.ReadAt(super, 0x10000); err != nil {
		return Content{}, fmt.Errorf("read the disk at 64 KiB: %w", err)
	}
	label := strings.TrimRight(string(super[0x12b:0x12b+256]), "\x00")
	switch {
	case string(super[0x40:0x48]) == "_BHRfS_M" && label == Label:
		return Content{Data: true, Holds: "DATA of a Hardnode host"}, nil
	case string(super[0x40:0x48]) == "!BHRfS_M" && label == Label: // mkfs.btrfs writes this until it is done
		return Content{HalfMade: true, Holds: "DATA of a Hardnode host, half made"}, nil
	}
	for _, s := range signatures {
		at := s.Offset
		if at < 0 {
			at += size
		}
		buf := make([]byte, len(s.Magic))
		if at+int64(len(buf)) > size {
			continue
		}
		if _, err := r.ReadAt(buf, at); err != nil {
			return Content{}, fmt.Errorf("read the disk at byte %d: %w", at, err)
		}
		if string(buf) == s.Magic {
			holds := s.Name
			if s.Name == "btrfs" && label != "" {
				holds = fmt.Sprintf("btrfs labelled %q", label)
			}
			return Content{Holds: holds}, nil
		}
	}
	for _, at := range []int64{0, size - edge} {
		zero, err := allZero(r, at)
		if err != nil {
			return Content{}, err
		}
		if !zero {
			return Content{Holds: "data without a known signature"}, nil
		}
	}
	return Content{Blank: true, Holds: "nothing"}, nil
}

func allZero(r io.ReaderAt, at int64) (bool, error) {
	buf, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := at; off < at+edge; off += int64(len(buf)) {
		if _, err := r.ReadAt(buf, off); err != nil {
			return false, fmt.Errorf("read the disk at byte %d: %w", off, err)
		}
		if !bytes.Equal(buf, zeros) {
			return false, nil
		}
	}
	return true, nil
}
