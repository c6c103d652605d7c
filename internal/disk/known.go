package disk

// signature is a magic at a place; a negative Offset counts from the end of the disk.
type signature struct {
	Name   string
	Offset int64
	Magic  string
}

const (
	gptName = "GPT partition table"
	mbrName = "MBR partition table or boot sector"
)

// signatures is what is looked for. Most lie in the first or last MiB, whose bytes must all be zero on a blank disk anyway: these give
// the thing its name. Those that lie elsewhere (btrfs mirrors, ZFS, VMFS) are found only here. Sources: the format documents and
// libblkid's.
var signatures = []signature{
	{gptName, 512, "EFI PART"},
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
	{"BitLocker (Windows)", 3, "-FVE-FS-"},
	{"ReFS (Windows)", 3, "ReFS\x00\x00\x00\x00"},
	{"Windows dynamic disk (LDM)", 0xc00, "PRIVHEAD"},
	{"Windows storage pool", 0, "SPACEDB "},
	{"APFS", 32, "NXSB"},
	{"HFS", 1024, "BD"},
	{"UDF", 0x8001, "BEA01"},
	{"UDF", 0x8801, "NSR0"},
	{"VDO", 0, "dmvdo001"},
	{"Stratis", 512 + 4, "!Stra0tis\x86\xff\x02^\x41rh"},
	{"GFS2", 0x10000, "\x01\x16\x19\x70"},
	{"OCFS2", 0x800, "OCFSV2"},
	{"LUKS (second header)", 0x8000, "SKUL\xba\xbe"},
	{"LUKS (second header)", 0x10000, "SKUL\xba\xbe"},
	{"LUKS (second header)", 0x20000, "SKUL\xba\xbe"},
	{"LUKS (second header)", 0x40000, "SKUL\xba\xbe"},
	{"LUKS (second header)", 0x80000, "SKUL\xba\xbe"},
	{"LUKS (second header)", 0x100000, "SKUL\xba\xbe"},
	{"LUKS (second header)", 0x200000, "SKUL\xba\xbe"},
	{"LUKS (second header)", 0x400000, "SKUL\xba\xbe"},
	{"LVM physical volume", 1024, "LABELONE"},
	{"LVM physical volume", 1536, "LABELONE"},
	{"cramfs", 0, "\x45\x3d\xcd\x28"},
	{"BIOS RAID of Intel", -1024, "Intel Raid ISM Cfg Sig. "},
	{"BIOS RAID (DDF)", -512, "\xde\x11\xde\x11"},
	{"BIOS RAID of Promise", -63 * 512, "Promise Technology, Inc."},
	{"BIOS RAID of NVIDIA", -2 * 512, "NVIDIA"},
	{"BIOS RAID of JMicron", -512, "JM"},
	{"ATARAID of HighPoint", 9*512 + 32, "\xf0\x16\x7a\x5a"},
	{mbrName, 510, "\x55\xaa"},
}

// Elsewhere are the places of a disk of size bytes, beside its two ends, at which a signature may lie.
func Elsewhere(size int64) (places []int64) {
	for _, s := range signatures {
		at := s.Offset
		if at < 0 {
			at += size
		}
		if at >= head && at+int64(len(s.Magic)) <= size-edge {
			places = append(places, at/NoteSize*NoteSize)
		}
	}
	return places
}
