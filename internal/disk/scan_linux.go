package disk

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hardnode.dev/internal/disk/mirror"
)

// notDisks are block devices that never hold DATA, by the start of their name.
var notDisks = []string{"loop", "ram", "zram", "sr", "fd", "dm-", "md"}

func noDisk(name string) bool {
	return slices.ContainsFunc(notDisks, func(p string) bool { return strings.HasPrefix(name, p) })
}

// Scan lists the machine's whole disks in the order of their names, each with what it holds, and the partitions that hold DATA of a host.
// sys is /sys/class/block, dev is /dev.
func Scan(sys, dev string) ([]Disk, error) {
	names, err := os.ReadDir(sys)
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var disks []Disk
	for _, n := range names {
		name := n.Name()
		dir := filepath.Join(sys, name)
		if noDisk(name) {
			continue
		}
		if IsPartition(dir) {
			if d, ok := partition(sys, dev, name); ok {
				disks = append(disks, d)
			}
			continue
		}
		d, err := read(dir, filepath.Join(dev, name))
		if err != nil {
			d.Busy = err.Error()
			d.Content.Holds = "unreadable"
		}
		disks = append(disks, d)
	}
	return disks, nil
}

// IsPartition tells whether a block device is one. dir is its folder below /sys/class/block.
func IsPartition(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "partition"))
	return err == nil
}

// Whole is the name of the disk that a partition is on.
func Whole(dir string) string {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	return filepath.Base(filepath.Dir(real))
}

// On is the disk that a device is on, and whether it is a partition of it. The device may be a mapping of one.
func On(sys, device string) (disk string, partition bool) {
	if real, err := filepath.EvalSymlinks(device); err == nil {
		device = real
	}
	dir := filepath.Join(sys, filepath.Base(device))
	if below, err := filepath.Glob(filepath.Join(dir, "slaves", "*")); err == nil && len(below) == 1 {
		dir = filepath.Join(sys, filepath.Base(below[0]))
	}
	if !IsPartition(dir) {
		return "/dev/" + filepath.Base(dir), false
	}
	return "/dev/" + Whole(dir), true
}

// partition is one with DATA of a host, and what belongs to it.
func partition(sys, dev, name string) (d Disk, ok bool) {
	path := filepath.Join(dev, name)
	data := superblock(path)
	if data.label != Label {
		return d, false
	}
	d = Disk{Path: path, Content: ours, Of: filepath.Join(dev, Whole(filepath.Join(sys, name)))}
	d.Half = mirror.Half{Disk: d.Of, Data: data.generation}
	var state super
	if d.State, state = beside(sys, dev, name); d.State != "" {
		d.Half.State = state.generation
	}
	if f, err := os.Open(d.Of); err == nil {
		d.Half.Note, _ = ReadMirror(f) // one that can't be read is none: the disk is not used then
		f.Close()
	}
	return d, true
}

// ReadMirror reads what a disk says of the mirror that it is in.
func ReadMirror(r io.ReaderAt) (n mirror.Note, ok bool) {
	sector := make([]byte, mirror.Size)
	if _, err := r.ReadAt(sector, mirror.At); err != nil {
		return n, false
	}
	return mirror.Decode(sector)
}

// Halves are the disks that have just what this one has, as their notes say: itself first, then the other one of its mirror, unless that
// is being filled or has missed something.
func Halves(sys, dev, path string) []string {
	list := []string{path}
	own, ok := mirrorOf(path)
	names, err := os.ReadDir(sys)
	if !ok || err != nil {
		return list
	}
	for _, n := range names {
		other := filepath.Join(dev, n.Name())
		if other == path || IsPartition(filepath.Join(sys, n.Name())) || noDisk(n.Name()) {
			continue
		}
		if n, ok := mirrorOf(other); ok && !n.Filling && slices.Equal(n.History, own.History) {
			list = append(list, other)
		}
	}
	return list
}

func mirrorOf(path string) (n mirror.Note, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return n, false
	}
	defer f.Close()
	return ReadMirror(f)
}

// WriteMirror writes it down, durably.
func WriteMirror(path string, n mirror.Note) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write down which mirror %q is in: %w", path, err)
	}
	_, err = f.WriteAt(n.Encode(), mirror.At)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write down which mirror %q is in: %w", path, err)
	}
	return nil
}

// beside is the STATE on the same disk as a partition; "" when there is none.
func beside(sys, dev, partition string) (path string, s super) {
	disk := Whole(filepath.Join(sys, partition))
	names, err := filepath.Glob(filepath.Join(sys, disk+"*"))
	if err != nil {
		return "", s
	}
	for _, n := range names {
		path := filepath.Join(dev, filepath.Base(n))
		if IsPartition(n) && Whole(n) == disk {
			if s := superblock(path); s.label == StateLabel {
				return path, s
			}
		}
	}
	return "", s
}

// DeviceUUID is the UUID that a device's own superblock gives it among those of its btrfs, in hex; "" when it has none that can be read.
func DeviceUUID(path string) string { return superblock(path).device }

// luksMagic begins an encrypted partition, and each copy of its header (internal/disk/luks).
const (
	luksMagic  = "LUKS\xba\xbe"
	luksSecond = "SKUL\xba\xbe"
	luksCopy   = 16 << 10
	luksLabel  = 24 // in the header; 48 bytes
)

// Encrypted tells whether a partition is an encrypted one.
func Encrypted(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	h, err := luksHeader(f)
	return h != nil, err
}

// luksHeader is the beginning of either copy; nil when there is none.
func luksHeader(r io.ReaderAt) ([]byte, error) {
	for at, magic := range map[int64]string{0: luksMagic, luksCopy: luksSecond} {
		h := make([]byte, luksLabel+48)
		if _, err := r.ReadAt(h, at); err != nil {
			return nil, err
		}
		if strings.HasPrefix(string(h), magic) {
			return h, nil
		}
	}
	return nil, nil
}

// super is what the superblock of a btrfs says (struct btrfs_super_block).
type super struct {
	label      string
	generation uint64
	device     string // the UUID of the device, in hex (dev_item.uuid)
}

// superblock is that of the whole btrfs on a device; of an encrypted partition it has the label alone; the zero value for anything else.
func superblock(path string) (s super) {
	f, err := os.Open(path)
	if err != nil {
		return s
	}
	defer f.Close()
	if h, err := luksHeader(f); err == nil && h != nil {
		s.label = strings.TrimRight(string(h[luksLabel:]), "\x00")
		return s
	}
	raw := make([]byte, 4096)
	if _, err := f.ReadAt(raw, 0x10000); err != nil || string(raw[0x40:0x48]) != "_BHRfS_M" {
		return s
	}
	return super{label: strings.TrimRight(string(raw[0x12b:0x12b+256]), "\x00"), generation: binary.LittleEndian.Uint64(raw[0x48:]),
		device: hex.EncodeToString(raw[0x10b : 0x10b+16])}
}

func read(dir, path string) (Disk, error) {
	d := Disk{Path: path}
	f, err := os.Open(path)
	if err != nil {
		return d, err
	}
	defer f.Close()
	if d.Bytes, err = f.Seek(0, io.SeekEnd); err != nil {
		return d, fmt.Errorf("measure: %w", err)
	}
	if d.Content, err = Inspect(f, d.Bytes); err != nil {
		return d, err
	}
	if d.Content.Installed {
		d.Half.Disk = path
		d.Half.Note, _ = ReadMirror(f)
	}
	for file, why := range map[string]string{"ro": "is read-only", "removable": "is removable"} {
		if raw, err := os.ReadFile(filepath.Join(dir, file)); err == nil && strings.TrimSpace(string(raw)) == "1" {
			d.Busy = why
		}
	}
	return d, nil
}

// ByLabel finds a filesystem labelled HARDNODE and the like on whole disks, partitions and CDs: it returns its device and its kind. Of
// several it is the one on the partition of this GUID, which is the one that the boot is from; else the first.
func ByLabel(sys, dev, label, booted string) (path, fstype string, err error) {
	names, err := os.ReadDir(sys)
	if err != nil {
		return "", "", fmt.Errorf("list disks: %w", err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "loop") || strings.HasPrefix(n.Name(), "zram") {
			continue
		}
		p := filepath.Join(dev, n.Name())
		f, err := os.Open(p)
		if err != nil {
			continue // no medium in the drive
		}
		found, kind := labelOf(f)
		f.Close()
		if found != label {
			continue
		}
		if mine := booted != "" && IsPartition(filepath.Join(sys, n.Name())) && PartitionID(sys, dev, n.Name()) == booted; path == "" ||
			mine {
			path, fstype = p, kind
			if mine {
				break
			}
		}
	}
	return path, fstype, nil
}

// PartitionID is the GUID of a partition in its disk's table, in capitals; "" when it has none.
func PartitionID(sys, dev, name string) string {
	dir := filepath.Join(sys, name)
	raw, err := os.ReadFile(filepath.Join(dir, "partition"))
	if err != nil {
		return ""
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return ""
	}
	f, err := os.Open(filepath.Join(dev, Whole(dir)))
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, size := range []int64{512, 4096} {
		if t, err := readTable(f, size); err == nil && number >= 1 && number <= len(t.ids) {
			return t.ids[number-1]
		}
	}
	return ""
}

// Booted is the disk with the partition of this GUID; "" when there is none.
func Booted(sys, dev, partition string) string {
	names, err := os.ReadDir(sys)
	if err != nil {
		return ""
	}
	for _, n := range names {
		if dir := filepath.Join(sys, n.Name()); IsPartition(dir) && PartitionID(sys, dev, n.Name()) == partition {
			return filepath.Join(dev, Whole(dir))
		}
	}
	return ""
}

// labelOf reads the label of the three filesystems a configuration volume may have.
func labelOf(r io.ReaderAt) (label, fstype string) {
	text := func(at int64, n int) string {
		buf := make([]byte, n)
		if _, err := r.ReadAt(buf, at); err != nil {
			return ""
		}
		return strings.TrimRight(string(buf), " \x00")
	}
	switch {
	case text(0x8001, 5) == "CD001":
		return text(0x8000+40, 32), "iso9660"
	case text(0x438, 2) == "\x53\xef":
		return text(0x400+0x78, 16), "ext4"
	case text(82, 5) == "FAT32":
		return text(71, 11), "vfat"
	case strings.HasPrefix(text(54, 8), "FAT1"):
		return text(43, 11), "vfat"
	}
	return "", ""
}
