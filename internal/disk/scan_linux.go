package disk

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// notDisks are block devices that never hold DATA, by the start of their name.
var notDisks = []string{"loop", "ram", "zram", "sr", "fd", "dm-", "md"}

// Scan lists the machine's whole disks in the order of their names, each with what it holds. sys is /sys/class/block, dev is /dev.
func Scan(sys, dev string) ([]Disk, error) {
	names, err := os.ReadDir(sys)
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	var disks []Disk
	for _, n := range names {
		name := n.Name()
		dir := filepath.Join(sys, name)
		if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil ||
			slices.ContainsFunc(notDisks, func(p string) bool { return strings.HasPrefix(name, p) }) {
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

// ByLabel finds a filesystem labelled HARDNODE and the like on whole disks, partitions and CDs: it returns device paths and their
// filesystem.
func ByLabel(sys, dev, label string) (path, fstype string, err error) {
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
		if found == label {
			return p, kind, nil
		}
	}
	return "", "", nil
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
