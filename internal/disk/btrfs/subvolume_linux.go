package btrfs

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CreateSubvolume makes the subvolume name in dir (BTRFS_IOC_SUBVOL_CREATE). The error is unix.EEXIST when something has that name.
func CreateSubvolume(dir *os.File, name string) error {
	a, err := named(name)
	if err != nil {
		return fmt.Errorf("create subvolume: %w", err)
	}
	if err := do(dir, subvolCreate, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("create subvolume %q in %q: %w", name, dir.Name(), err)
	}
	return nil
}

// DeleteSubvolume removes the subvolume name of dir with all it holds (BTRFS_IOC_SNAP_DESTROY). The error is unix.ENOENT when it is not
// there.
func DeleteSubvolume(dir *os.File, name string) error {
	a, err := named(name)
	if err != nil {
		return fmt.Errorf("delete subvolume: %w", err)
	}
	if err := do(dir, snapDestroy, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("delete subvolume %q in %q: %w", name, dir.Name(), err)
	}
	return nil
}

// IsSubvolume tells whether f is the top of a btrfs subvolume.
func IsSubvolume(f *os.File) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return false, fmt.Errorf("look at %q: %w", f.Name(), err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, fmt.Errorf("look at %q: %w", f.Name(), err)
	}
	return fs.Type == unix.BTRFS_SUPER_MAGIC && st.Ino == FirstFreeObject, nil
}

// subvolumeID is the number of the subvolume's tree, and of its quota group at level 0 (BTRFS_IOC_INO_LOOKUP of its top directory).
func subvolumeID(subvol *os.File) (uint64, error) {
	l := inoLookupArgs{object: FirstFreeObject}
	if err := do(subvol, inoLookup, unsafe.Pointer(&l)); err != nil {
		return 0, fmt.Errorf("look up subvolume %q: %w", subvol.Name(), err)
	}
	return l.tree, nil
}
