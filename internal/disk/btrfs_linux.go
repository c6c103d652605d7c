package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Runner runs a program to its end (init/proc.Table.Output).
type Runner func(ctx context.Context, argv ...string) (string, error)

// mkfs is where the image carries it.
const mkfs = "/usr/sbin/mkfs.btrfs"

// Make makes a DATA filesystem on path, whatever lies there: Choose has decided. A cut in the middle leaves a disk that Inspect calls HalfMade or Blank.
func Make(ctx context.Context, run Runner, path string) error {
	// single data and dup metadata on one disk; -f because the decision is ours and mkfs looks for less than Inspect does.
	if _, err := run(ctx, mkfs, "-f", "-q", "-L", Label, "-d", "single", "-m", "dup", path); err != nil {
		return fmt.Errorf("format %q: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("format %q: %w", path, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("format %q: sync: %w", path, err)
	}
	return nil
}

// btrfs ioctls (include/uapi/linux/btrfs.h), amd64 numbers.
const (
	iocSubvolCreate = 0x5000940e // _IOW(0x94, 14, struct btrfs_ioctl_vol_args), 4096 bytes
	iocQuotaCtl     = 0xc0109428 // _IOWR(0x94, 40, struct btrfs_ioctl_quota_ctl_args), 16 bytes
	quotaSimple     = 4          // BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA
)

type volArgs struct {
	fd   int64
	name [4088]byte
}

type quotaArgs struct{ cmd, status uint64 }

// EnableSimpleQuotas turns simple quotas on; on already is no error.
func EnableSimpleQuotas(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("enable quotas: %w", err)
	}
	defer d.Close()
	args := quotaArgs{cmd: quotaSimple}
	if errno := ioctl(d, iocQuotaCtl, unsafe.Pointer(&args)); errno != 0 && errno != unix.EEXIST {
		return fmt.Errorf("enable simple quotas on %q: %w", dir, errno)
	}
	return nil
}

// Subvolume makes a subvolume below dir; one that is there already is no error.
func Subvolume(dir, name string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make subvolume %q: %w", name, err)
	}
	defer d.Close()
	var args volArgs
	if len(name) >= len(args.name) {
		return fmt.Errorf("make subvolume %q: name is too long", name)
	}
	copy(args.name[:], name)
	if errno := ioctl(d, iocSubvolCreate, unsafe.Pointer(&args)); errno != 0 && !errors.Is(errno, unix.EEXIST) {
		return fmt.Errorf("make subvolume %q in %q: %w", name, dir, errno)
	}
	return nil
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	return errno
}

// StateSubvolume is where /state lies while there is no STATE partition.
const StateSubvolume = "state"

// MountData mounts DATA's top at data and its subvolume "state" at state, with simple quotas on.
func MountData(path, data, state string) error {
	if err := unix.Mount(path, data, "btrfs", unix.MS_NOATIME|unix.MS_NODEV, "compress=zstd:1"); err != nil {
		return fmt.Errorf("mount %q from %q: %w", data, path, err)
	}
	err := EnableSimpleQuotas(data)
	if err == nil {
		err = Subvolume(data, StateSubvolume)
	}
	if err == nil {
		if err = unix.Mount(path, state, "btrfs", unix.MS_NOATIME|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, "subvol="+StateSubvolume); err != nil {
			err = fmt.Errorf("mount %q from %q: %w", state, path, err)
		}
	}
	if err != nil {
		return errors.Join(err, unix.Unmount(data, 0))
	}
	return nil
}
