package smart

import (
	"errors"
	"fmt"
	"os"

	"hardnode.dev/internal/disk"
	"hardnode.dev/internal/disk/btrfs"
)

// Errors are what btrfs counts of the disks that it lies on, by disk: reads, writes and flushes that failed, and blocks that were not what
// they should be, since each is a device of its filesystem, or since Forget. It asks no disk.
func Errors(tops ...string) map[string]int64 {
	out := map[string]int64{}
	each(tops, func(path string, d btrfs.Device, _ *os.File) error {
		out[path] += int64(d.Errors)
		return nil
	})
	return out
}

// each calls f with each device of the filesystems that are mounted there, and the disk that it is on.
func each(tops []string, f func(path string, d btrfs.Device, dir *os.File) error) (err error) {
	seen := map[string]bool{} // a host without a partition for STATE has it on DATA
	for _, top := range tops {
		dir, oerr := os.Open(top)
		if oerr != nil {
			err = errors.Join(err, oerr)
			continue
		}
		list, lerr := btrfs.Devices(dir)
		err = errors.Join(err, lerr)
		for _, d := range list {
			if d.Path == "" || seen[d.UUID] {
				continue
			}
			seen[d.UUID] = true
			whole, _ := disk.On("/sys/class/block", d.Path)
			err = errors.Join(err, f(whole, d, dir))
		}
		dir.Close()
	}
	return err
}

// Forget has the errors of a disk be counted anew, if they are as many as somebody has seen: none goes unseen. counted is how many they
// were.
func Forget(path string, seen int64, tops ...string) (counted int64, err error) {
	var now int64
	member := false
	if err := each(tops, func(on string, d btrfs.Device, _ *os.File) error {
		if on == path {
			member = true
			now += int64(d.Errors)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	if err := forgettable(path, member, now, seen); err != nil {
		return 0, err
	}
	err = each(tops, func(on string, d btrfs.Device, dir *os.File) error {
		if on != path || d.Errors == 0 {
			return nil
		}
		n, err := btrfs.ResetErrors(dir, d.ID)
		counted += int64(n)
		return err
	})
	return counted, err
}

// forgettable says why the errors of a disk are not counted anew, or nil.
func forgettable(path string, member bool, now, seen int64) error {
	switch {
	case !member:
		return fmt.Errorf("disk %s: this host's data does not lie on it, so nothing is counted of it: hnctl host disk show names those it "+
			"lies on", path)
	case now == 0:
		return fmt.Errorf("disk %s: no read or write of it failed", path)
	case now != seen:
		return fmt.Errorf("disk %s: %d reads or writes of it failed, and not %d: look at it again (hnctl host disk show) before they are "+
			"forgotten", path, now, seen)
	}
	return nil
}
