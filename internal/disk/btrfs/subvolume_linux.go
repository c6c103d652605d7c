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

// noCOW is FS_NOCOW_FL (include/uapi/linux/fs.h).
const noCOW = 0x00800000

// SetNoCOW has the files that are made in an empty directory from now on written in place, without checksums (FS_IOC_SETFLAGS). Once two
// subvolumes share what a file holds, its blocks are copied once all the same.
func SetNoCOW(dir *os.File) error {
	flags, err := unix.IoctlGetInt(int(dir.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(dir.Fd()), unix.FS_IOC_SETFLAGS, flags|noCOW)
	}
	if err != nil {
		return fmt.Errorf("have the files of %q written in place: %w", dir.Name(), err)
	}
	return nil
}

// NoCOW tells whether new files of a directory are written in place.
func NoCOW(dir *os.File) (bool, error) {
	flags, err := unix.IoctlGetInt(int(dir.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return false, fmt.Errorf("look at the flags of %q: %w", dir.Name(), err)
	}
	return flags&noCOW != 0, nil
}
