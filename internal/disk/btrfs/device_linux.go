package btrfs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The structures of include/uapi/linux/btrfs.h for the devices of a filesystem.
type (
	volArgsV2 struct { // struct btrfs_ioctl_vol_args_v2, with devid of its last union
		fd             int64
		transid, flags uint64
		unused         [4]uint64
		devid          uint64
		rest           [4040 - 8]byte
	}
	devInfoArgs struct { // struct btrfs_ioctl_dev_info_args
		devid       uint64
		uuid        [16]byte
		used, total uint64
		fsid        [16]byte
		unused      [377]uint64
		path        [1024]byte
	}
	devStatsArgs struct { // struct btrfs_ioctl_get_dev_stats
		devid, items, flags uint64
		values              [5]uint64 // BTRFS_DEV_STAT_WRITE_ERRS, READ, FLUSH, CORRUPTION, GENERATION
		unused              [121]uint64
	}
	spaceInfo struct{ flags, total, used uint64 } // struct btrfs_ioctl_space_info
	spaceArgs struct {                            // struct btrfs_ioctl_space_args, with room for as many as there may be
		slots, total uint64
		spaces       [16]spaceInfo
	}
	balanceFilter struct { // struct btrfs_balance_args
		profiles, usage, devid, pstart, pend, vstart, vend, target, flags, limit uint64
		stripesMin, stripesMax                                                   uint32
		unused                                                                   [6]uint64
	}
	balanceArgs struct { // struct btrfs_ioctl_balance_args
		flags, state                   uint64
		data, meta, sys                balanceFilter
		expected, considered, complete uint64 // struct btrfs_balance_progress
		unused                         [72]uint64
	}
)

const (
	addDev      = write | unsafe.Sizeof(volArgs{})<<16 | magic | 10             // BTRFS_IOC_ADD_DEV
	rmDevV2     = write | unsafe.Sizeof(volArgsV2{})<<16 | magic | 58           // BTRFS_IOC_RM_DEV_V2
	devInfo     = read | write | unsafe.Sizeof(devInfoArgs{})<<16 | magic | 30  // BTRFS_IOC_DEV_INFO
	getDevStats = read | write | unsafe.Sizeof(devStatsArgs{})<<16 | magic | 52 // BTRFS_IOC_GET_DEV_STATS
	spaceOf     = read | write | 16<<16 | magic | 20                            // BTRFS_IOC_SPACE_INFO
	balance     = read | write | unsafe.Sizeof(balanceArgs{})<<16 | magic | 32  // BTRFS_IOC_BALANCE_V2
	balanceAt   = read | unsafe.Sizeof(balanceArgs{})<<16 | magic | 34          // BTRFS_IOC_BALANCE_PROGRESS
	forgetDev   = write | unsafe.Sizeof(volArgs{})<<16 | magic | 5              // BTRFS_IOC_FORGET_DEV
	syncFS      = magic | 8                                                     // BTRFS_IOC_SYNC
)

const (
	specByID       = 1 << 3  // BTRFS_DEVICE_SPEC_BY_ID
	resetStats     = 1 << 0  // BTRFS_DEV_STATS_RESET
	balanceAll     = 7       // BTRFS_BALANCE_DATA | _SYSTEM | _METADATA
	argsConvert    = 1 << 8  // BTRFS_BALANCE_ARGS_CONVERT
	argsSoft       = 1 << 9  // BTRFS_BALANCE_ARGS_SOFT: what has the profile already is left alone
	dataGroup      = 1 << 0  // BTRFS_BLOCK_GROUP_DATA
	raid1          = 1 << 4  // BTRFS_BLOCK_GROUP_RAID1
	dup            = 1 << 5  // BTRFS_BLOCK_GROUP_DUP
	globalReserved = 1 << 49 // BTRFS_SPACE_INFO_GLOBAL_RSV: no block group
)

// Device is one of the devices of a filesystem.
type Device struct {
	ID          uint64
	UUID        string // hex; its superblock has it too
	Path        string // as it was called when it was opened; "": it was missing at the mount
	Bytes, Used int64  // its size, and what of it is allotted to block groups
	// Errors are the reads, writes and flushes that failed, and the blocks that were not what they should be, since it is a device of this
	// filesystem, or since ResetErrors.
	Errors uint64
}

// Devices lists the devices of the mounted filesystem that dir lies in (BTRFS_IOC_FS_INFO, _DEV_INFO and _GET_DEV_STATS).
func Devices(dir *os.File) (list []Device, err error) {
	var i fsInfoArgs
	if err := do(dir, fsInfo, unsafe.Pointer(&i)); err != nil {
		return nil, fmt.Errorf("list devices of %q: %w", dir.Name(), err)
	}
	for id := uint64(1); id <= i.maxID; id++ {
		a := devInfoArgs{devid: id}
		err := do(dir, devInfo, unsafe.Pointer(&a))
		if errors.Is(err, unix.ENODEV) {
			continue // there is none of this number any more
		}
		if err != nil {
			return nil, fmt.Errorf("look at device %d of %q: %w", id, dir.Name(), err)
		}
		d := Device{ID: id, UUID: hex.EncodeToString(a.uuid[:]), Path: unix.ByteSliceToString(a.path[:]), Bytes: int64(a.total),
			Used: int64(a.used)}
		s := devStatsArgs{devid: id, items: uint64(len(devStatsArgs{}.values))}
		if do(dir, getDevStats, unsafe.Pointer(&s)) == nil { // a missing device has none
			for _, n := range s.values {
				d.Errors += n
			}
		}
		list = append(list, d)
	}
	return list, nil
}

// ResetErrors has a device's errors be counted anew, and returns how many had been (BTRFS_IOC_GET_DEV_STATS with BTRFS_DEV_STATS_RESET). It
// is on the disk when it returns.
func ResetErrors(dir *os.File, id uint64) (counted uint64, err error) {
	s := devStatsArgs{devid: id, items: uint64(len(devStatsArgs{}.values)), flags: resetStats}
	if err := do(dir, getDevStats, unsafe.Pointer(&s)); err != nil {
		return 0, fmt.Errorf("reset the errors of device %d of %q: %w", id, dir.Name(), err)
	}
	for _, n := range s.values {
		counted += n
	}
	if err := do(dir, syncFS, nil); err != nil {
		return counted, fmt.Errorf("sync %q: %w", dir.Name(), err)
	}
	return counted, nil
}

// AddDevice makes an unused block device one of the filesystem's (BTRFS_IOC_ADD_DEV).
func AddDevice(dir *os.File, path string) error {
	var a volArgs
	if path == "" || len(path) >= len(a.name) {
		return fmt.Errorf("add device: %q is no path", path)
	}
	copy(a.name[:], path)
	if err := do(dir, addDev, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("add device %q to %q: %w", path, dir.Name(), err)
	}
	return nil
}

// RemoveDevice takes a device out of the filesystem (BTRFS_IOC_RM_DEV_V2): what lies on it is written to the others first, from its own
// copy or another. It returns when that is done; a cut loses nothing, and it is called again then.
func RemoveDevice(dir *os.File, id uint64) error {
	a := volArgsV2{flags: specByID, devid: id}
	if err := do(dir, rmDevV2, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("remove device %d of %q: %w", id, dir.Name(), err)
	}
	return nil
}

// Mirrored tells whether all block groups of the filesystem lie on two devices (BTRFS_IOC_SPACE_INFO): those that were made while one was
// missing do not.
func Mirrored(dir *os.File) (bool, error) {
	a := spaceArgs{slots: uint64(len(spaceArgs{}.spaces))}
	if err := do(dir, spaceOf, unsafe.Pointer(&a)); err != nil {
		return false, fmt.Errorf("look at the block groups of %q: %w", dir.Name(), err)
	}
	for _, s := range a.spaces[:min(a.total, uint64(len(a.spaces)))] {
		if s.flags&globalReserved == 0 && s.total > 0 && s.flags&raid1 == 0 {
			return false, nil
		}
	}
	return true, nil
}

// DataMirrored tells whether what is written from now on, or lies there already, may have a copy on a second device: the filesystem has
// several, or block groups of data that lie on two.
func DataMirrored(dir *os.File) (bool, error) {
	var i fsInfoArgs
	if err := do(dir, fsInfo, unsafe.Pointer(&i)); err != nil {
		return false, fmt.Errorf("look at the devices of %q: %w", dir.Name(), err)
	}
	a := spaceArgs{slots: uint64(len(spaceArgs{}.spaces))}
	if err := do(dir, spaceOf, unsafe.Pointer(&a)); err != nil {
		return false, fmt.Errorf("look at the block groups of %q: %w", dir.Name(), err)
	}
	for _, s := range a.spaces[:min(a.total, uint64(len(a.spaces)))] {
		if s.flags&dataGroup != 0 && s.flags&raid1 != 0 && s.total > 0 {
			return true, nil
		}
	}
	return i.devices > 1, nil
}

// Mirror writes block groups that lie on one device anew, onto two (BTRFS_IOC_BALANCE_V2). It returns when that is done. The error is
// unix.EINPROGRESS when it is being done already: a mount goes on with what a cut ended.
func Mirror(dir *os.File) error {
	f := balanceFilter{target: raid1, flags: argsConvert | argsSoft}
	a := balanceArgs{flags: balanceAll, data: f, meta: f, sys: f}
	if err := do(dir, balance, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("mirror the block groups of %q: %w", dir.Name(), err)
	}
	return nil
}

// MirrorProgress is how many block groups are done of how many (BTRFS_IOC_BALANCE_PROGRESS); 0 of 0 when nothing is under way.
func MirrorProgress(dir *os.File) (done, of uint64) {
	var a balanceArgs
	if do(dir, balanceAt, unsafe.Pointer(&a)) != nil {
		return 0, 0
	}
	return a.considered, a.expected
}

// control is the device of requests that are about no mounted filesystem.
const control = "/dev/btrfs-control"

// Forget has the kernel forget the devices of filesystems that are not mounted (BTRFS_IOC_FORGET_DEV): it would take one that was seen
// before, and has missed something since, into a mount that does not name it.
func Forget() error {
	f, err := os.OpenFile(control, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil // btrfs was not loaded yet: it knows of none
	}
	if err != nil {
		return fmt.Errorf("forget devices: %w", err)
	}
	defer f.Close()
	var a volArgs
	if err := do(f, forgetDev, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("forget devices: %w", err)
	}
	return nil
}

// Sync commits all that was written to the filesystem (BTRFS_IOC_SYNC).
func Sync(dir *os.File) error {
	if err := do(dir, syncFS, nil); err != nil {
		return fmt.Errorf("sync %q: %w", dir.Name(), err)
	}
	return nil
}
