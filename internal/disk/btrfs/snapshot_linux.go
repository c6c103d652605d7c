package btrfs

import (
	"fmt"
	"os"
	"unsafe"
)

type snapArgs struct { // struct btrfs_ioctl_vol_args_v2 of include/uapi/linux/btrfs.h, with its name
	fd             int64
	transid, flags uint64
	unused         [4]uint64
	name           [4040]byte // BTRFS_SUBVOL_NAME_MAX + 1
}

const snapCreateV2 = write | unsafe.Sizeof(snapArgs{})<<16 | magic | 23 // BTRFS_IOC_SNAP_CREATE_V2

// Snapshot makes the subvolume name in dir, which begins as src is now (BTRFS_IOC_SNAP_CREATE_V2): what of src is dirty is written first,
// and both share what they hold. It is on the disk when it returns.
func Snapshot(src, dir *os.File, name string, readOnly bool) error {
	n, err := named(name)
	if err != nil {
		return fmt.Errorf("take snapshot: %w", err)
	}
	a := snapArgs{fd: int64(src.Fd())}
	copy(a.name[:], n.name[:nameMax])
	if readOnly {
		a.flags = subvolReadOnly
	}
	if err := do(dir, snapCreateV2, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("take snapshot %q of %q: %w", name, src.Name(), err)
	}
	return nil
}

// fiemapArgs is struct fiemap of include/uapi/linux/fiemap.h, without room for extents.
type fiemapArgs struct {
	start, length                 uint64
	flags, mapped, room, reserved uint32
}

const (
	fiemap     = read | write | unsafe.Sizeof(fiemapArgs{})<<16 | 'f'<<8 | 11 // FS_IOC_FIEMAP of include/uapi/linux/fs.h
	fiemapSync = 1 << 0                                                       // FIEMAP_FLAG_SYNC
)

// Written has what was written to a file be there with the next commit, whoever makes it, and not only its name: btrfs commits names
// without what lies in a file's pages, so that a commit behind a rename would have the new name with an empty file. Nothing is committed
// here: asked for a file's extents, btrfs writes what is dirty and waits until it has noted where (btrfs_fiemap).
func Written(f *os.File) error {
	a := fiemapArgs{length: ^uint64(0), flags: fiemapSync}
	if err := do(f, fiemap, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("write %q: %w", f.Name(), err)
	}
	return nil
}
