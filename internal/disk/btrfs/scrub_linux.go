package btrfs

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

type (
	scrubProgress struct { // struct btrfs_scrub_progress
		dataExtents, treeExtents, dataBytes, treeBytes, readErrors, csumErrors, verifyErrors, noCsum, csumDiscards, superErrors,
		mallocErrors, uncorrectable, corrected, lastPhysical, unverified uint64
	}
	scrubArgs struct { // struct btrfs_ioctl_scrub_args
		devid, start, end, flags uint64
		progress                 scrubProgress
		unused                   [(1024 - 32 - 120) / 8]uint64
	}
)

const (
	scrub = read | write | unsafe.Sizeof(scrubArgs{})<<16 | magic | 27 // BTRFS_IOC_SCRUB

	balanceData = 1 << 0 // BTRFS_BALANCE_DATA
	argsUsage   = 1 << 1 // BTRFS_BALANCE_ARGS_USAGE: block groups that are used less than that, in percent
	argsLimit   = 1 << 5 // BTRFS_BALANCE_ARGS_LIMIT: at most so many
	metaGroup   = 1 << 2 // BTRFS_BLOCK_GROUP_METADATA
)

// Scrubbed is what was read of a device, and what of it was not as it was written.
type Scrubbed struct {
	Bytes                 int64
	Corrected, Unreadable uint64 // blocks: written anew from another copy; lost, since there is none
}

// Scrub reads all that lies on a device from byte from to byte to, and compares checksums (BTRFS_IOC_SCRUB). It returns when that is done:
// a caller that may be killed asks for a part at a time, since the kernel does not hear a signal meanwhile.
func Scrub(dir *os.File, device uint64, from, to int64) (Scrubbed, error) {
	a := scrubArgs{devid: device, start: uint64(from), end: uint64(to - 1)}
	if err := do(dir, scrub, unsafe.Pointer(&a)); err != nil {
		return Scrubbed{}, fmt.Errorf("scrub device %d of %q from byte %d: %w", device, dir.Name(), from, err)
	}
	p := a.progress
	return Scrubbed{Bytes: int64(p.dataBytes + p.treeBytes), Corrected: p.corrected, Unreadable: p.uncorrectable}, nil
}

// Space is what block groups of one kind take, in bytes of what is written into them.
type Space struct {
	Allotted, Used int64
	Reserved       int64 // of metadata: what the kernel keeps for its own (the global reserve): nobody else gets it
	Copies         int64 // how many bytes of the devices the newest of them take for each
}

// Spaces are those of data and of metadata (BTRFS_IOC_SPACE_INFO).
func Spaces(dir *os.File) (data, metadata Space, err error) {
	a := spaceArgs{slots: uint64(len(spaceArgs{}.spaces))}
	if err := do(dir, spaceOf, unsafe.Pointer(&a)); err != nil {
		return data, metadata, fmt.Errorf("look at the block groups of %q: %w", dir.Name(), err)
	}
	for _, s := range a.spaces[:min(a.total, uint64(len(a.spaces)))] {
		to := &data
		switch {
		case s.flags&globalReserved != 0:
			metadata.Reserved = int64(s.total)
			continue
		case s.flags&(dataGroup|metaGroup) == 0:
			continue
		case s.flags&metaGroup != 0:
			to = &metadata
		}
		to.Allotted += int64(s.total)
		to.Used += int64(s.used)
		to.Copies = 1
		if s.flags&(raid1|dup) != 0 {
			to.Copies = 2
		}
	}
	return data, metadata, nil
}

// Balance writes what one block group of data holds into others, if one is used less than percent (BTRFS_IOC_BALANCE_V2): what it took can
// be allotted anew, to metadata too. moved tells whether there was one. The error is unix.EINPROGRESS while another balance goes on.
func Balance(dir *os.File, percent uint64) (moved bool, err error) {
	a := balanceArgs{flags: balanceData, data: balanceFilter{usage: percent, limit: 1, flags: argsUsage | argsLimit}}
	if err := do(dir, balance, unsafe.Pointer(&a)); err != nil && !errors.Is(err, unix.ECANCELED) {
		return false, fmt.Errorf("balance %q: %w", dir.Name(), err)
	}
	return a.complete > 0, nil
}
