package shelf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/disk/btrfs"
)

// prepare makes the subvolume, and has it hold no more than its share of DATA as that is now.
func prepare(data, top string) error {
	dir, err := os.Open(data)
	if err != nil {
		return err
	}
	defer dir.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &fs); err != nil {
		return fmt.Errorf("look at DATA: %w", err)
	}
	if err := btrfs.CreateSubvolume(dir, filepath.Base(top)); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	sub, err := os.Open(top)
	if err != nil {
		return err
	}
	defer sub.Close()
	if is, err := btrfs.IsSubvolume(sub); err != nil || !is {
		return errors.Join(err, fmt.Errorf("%q is no subvolume: backups of other hosts are not kept", top))
	}
	return btrfs.LimitSubvolume(sub, int64(fs.Blocks)*fs.Bsize/Share)
}

// used is how many bytes lie there.
func used(top string) (int64, error) {
	sub, err := os.Open(top)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer sub.Close()
	q, err := btrfs.SubvolumeQuota(sub)
	if err != nil {
		return 0, err
	}
	return q.Referenced()
}
