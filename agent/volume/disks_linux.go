package volume

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/sys"
	"hardnode.dev/internal/disk/btrfs"
)

// Disks are the numbers ("254:0") of the whole disks that the data lies on, in order: what limits of reads and writes are set for.
func (s *Store) Disks() ([]string, error) {
	dir, err := sys.OpenDir(s.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	list, err := btrfs.Devices(dir)
	if err != nil {
		return nil, err
	}
	var disks []string
	for _, d := range list {
		var st unix.Stat_t
		if d.Path == "" || unix.Stat(d.Path, &st) != nil {
			continue // it is gone: nothing is read or written there
		}
		n, err := wholeDisk("/sys/dev/block", fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)))
		if err != nil {
			return nil, err
		}
		disks = append(disks, n)
	}
	slices.Sort(disks)
	return slices.Compact(disks), nil
}

// wholeDisk is the number of the disk that a block device is a partition of, or its own; blocks is /sys/dev/block.
func wholeDisk(blocks, device string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(blocks, device))
	if err != nil {
		return "", fmt.Errorf("look at block device %s: %w", device, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "partition")); err != nil {
		return device, nil
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "dev"))
	if err != nil {
		return "", fmt.Errorf("find the disk of block device %s: %w", device, err)
	}
	return strings.TrimSpace(string(b)), nil
}
