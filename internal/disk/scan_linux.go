package disk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// notDisks are block devices that never hold DATA, by the start of their name.
var notDisks = []string{"loop", "ram", "zram", "sr", "fd", "dm-", "md"}

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
		if slices.ContainsFunc(notDisks, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		if IsPartition(dir) {
			if label(filepath.Join(dev, name)) == Label {
				disks = append(disks, Disk{Path: filepath.Join(dev, name), Content: ours, State: beside(sys, dev, name),
					Of: filepath.Join(dev, Whole(dir))})
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

// beside is the STATE on the same disk as a partition; "" when there is none.
func beside(sys, dev, partition string) string {
	disk := Whole(filepath.Join(sys, partition))
	names, err := filepath.Glob(filepath.Join(sys, disk+"*"))
	if err != nil {
		return ""
	}
	for _, n := range names {
		path := filepath.Join(dev, filepath.Base(n))
		if IsPartition(n) && Whole(n) == disk && label(path) == StateLabel {
			return path
		}
	}
	return ""
}

// label is that of the whole btrfs on a device; "" for anything else.
func label(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	super := make([]byte, 4096)
	if _, err := f.ReadAt(super, 0x10000); err != nil || string(super[0x40:0x48]) != "_BHRfS_M" {
		return ""
	}
	return strings.TrimRight(string(super[0x12b:0x12b+256]), "\x00")
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
