// Package btrfs is the one door to btrfs's own ioctls: subvolumes, and simple quotas on them.
//
// Owns: the ioctls' numbers and structures (include/uapi/linux/btrfs.h, btrfs_tree.h), and the quota groups' files in sysfs.
// In: open directories, names of subvolumes directly below them.
// Out: subvolumes made and deleted, limits set and read; errors whose errno errors.Is finds.
// Never: formats or mounts a disk (internal/disk does), decides how much anybody may have, or follows a path.
package btrfs

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The structures of include/uapi/linux/btrfs.h.
type (
	volArgs struct { // struct btrfs_ioctl_vol_args
		fd   int64
		name [4088]byte // BTRFS_PATH_NAME_MAX + 1
	}
	quotaCtlArgs    struct{ cmd, status uint64 }                                       // struct btrfs_ioctl_quota_ctl_args
	qgroupLimitArgs struct{ qgroup, flags, maxRfer, maxExcl, rsvRfer, rsvExcl uint64 } // struct btrfs_ioctl_qgroup_limit_args
	inoLookupArgs   struct {                                                           // struct btrfs_ioctl_ino_lookup_args
		tree, object uint64
		name         [4080]byte // BTRFS_INO_LOOKUP_PATH_MAX
	}
	fsInfoArgs struct { // struct btrfs_ioctl_fs_info_args
		maxID, devices uint64
		fsid           [16]byte // BTRFS_FSID_SIZE
		rest           [992]byte
	}
)

// An ioctl's number, as _IOC of include/uapi/asm-generic/ioctl.h composes it: direction, size of the argument, type, number.
const (
	write = 1 << 30 // _IOC_WRITE: the kernel reads the argument
	read  = 2 << 30 // _IOC_READ: it writes into it

	magic = 0x94 << 8 // BTRFS_IOCTL_MAGIC
)

const (
	subvolCreate = write | unsafe.Sizeof(volArgs{})<<16 | magic | 14              // BTRFS_IOC_SUBVOL_CREATE
	snapDestroy  = write | unsafe.Sizeof(volArgs{})<<16 | magic | 15              // BTRFS_IOC_SNAP_DESTROY
	inoLookup    = read | write | unsafe.Sizeof(inoLookupArgs{})<<16 | magic | 18 // BTRFS_IOC_INO_LOOKUP
	fsInfo       = read | unsafe.Sizeof(fsInfoArgs{})<<16 | magic | 31            // BTRFS_IOC_FS_INFO
	quotaCtl     = read | write | unsafe.Sizeof(quotaCtlArgs{})<<16 | magic | 40  // BTRFS_IOC_QUOTA_CTL
	qgroupLimit  = read | unsafe.Sizeof(qgroupLimitArgs{})<<16 | magic | 43       // BTRFS_IOC_QGROUP_LIMIT
)

const (
	quotaEnableSimple = 4          // BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA
	limitMaxRfer      = 1          // BTRFS_QGROUP_LIMIT_MAX_RFER
	clearValue        = ^uint64(0) // the limit is taken away (__u64 -1: fs/btrfs/qgroup.c, btrfs_limit_qgroup)
	nameMax           = 255        // BTRFS_NAME_LEN; longer ones are refused here before they are cut
)

// FirstFreeObject is BTRFS_FIRST_FREE_OBJECTID (include/uapi/linux/btrfs_tree.h): the inode number of a subvolume's top directory.
const FirstFreeObject = 256

// do makes the ioctl request on f. arg points to its structure.
func do(f *os.File, request uintptr, arg unsafe.Pointer) error {
	code, err := ask(f, request, arg)
	if err != nil {
		return err
	}
	return coded(code)
}

// ask is do for requests whose code says nothing.
func ask(f *os.File, request uintptr, arg unsafe.Pointer) (code uintptr, err error) {
	code, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	if e != 0 {
		return 0, e
	}
	return code, nil
}

// ErrBusy: something else is being done to the filesystem's devices (BTRFS_ERROR_DEV_EXCL_RUN_IN_PROGRESS).
var ErrBusy = errors.New("something else is being done to its devices; wait for it")

// coded is what requests about devices answer in place of an errno (enum btrfs_err_code).
func coded(code uintptr) error {
	switch code {
	case 0:
		return nil
	case 1:
		return errors.New("a mirror needs two devices; add one first")
	case 6:
		return errors.New("no device is missing")
	case 7:
		return errors.New("it is the only device that can be written")
	case 8:
		return ErrBusy
	}
	return fmt.Errorf("the kernel refuses it (btrfs code %d)", code)
}

// named is the argument of ioctls that take a name in a directory. name is a file name, no path.
func named(name string) (a volArgs, err error) {
	if name == "" || len(name) >= nameMax || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
		return a, fmt.Errorf("name %q: is no file name", name)
	}
	copy(a.name[:], name)
	return a, nil
}
