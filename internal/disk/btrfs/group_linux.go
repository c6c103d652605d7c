package btrfs

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The structures of include/uapi/linux/btrfs.h for groups of quota groups.
type (
	qgroupAssignArgs struct{ assign, src, dst uint64 } // struct btrfs_ioctl_qgroup_assign_args
	qgroupCreateArgs struct{ create, qgroup uint64 }   // struct btrfs_ioctl_qgroup_create_args
)

const (
	qgroupAssign = write | unsafe.Sizeof(qgroupAssignArgs{})<<16 | magic | 41 // BTRFS_IOC_QGROUP_ASSIGN
	qgroupCreate = write | unsafe.Sizeof(qgroupCreateArgs{})<<16 | magic | 42 // BTRFS_IOC_QGROUP_CREATE

	level1 = 1 << 48
)

// groupAttr names, at a subvolume's top directory, the group of level 1 that its quota counts in. Nobody without CAP_SYS_ADMIN over the
// host reads or changes it, and snapshots have it too.
const groupAttr = "trusted.hardnode.group"

// groupOf is the number of a subvolume's group of level 1; 0: it has none.
func groupOf(subvol *os.File) (uint64, error) {
	var b [24]byte
	n, err := unix.Fgetxattr(int(subvol.Fd()), groupAttr, b[:])
	if errors.Is(err, unix.ENODATA) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the quota group of %q: %w", subvol.Name(), err)
	}
	id, err := strconv.ParseUint(string(b[:n]), 10, 48)
	if err != nil {
		return 0, fmt.Errorf("read the quota group of %q: %v", subvol.Name(), err)
	}
	return id, nil
}

// JoinGroup has a subvolume's quota count together with that of the one it replaces: with simple quotas, data counts for the subvolume
// that wrote it as long as anything holds it, also after that one is deleted. So what a snapshot brings back, and the snapshot still holds,
// goes on counting, and is given back when it is deleted.
func JoinGroup(subvol, of *os.File) error {
	fail := func(err error) error {
		return fmt.Errorf("have the quota of %q count with that of %q: %w", subvol.Name(), of.Name(), err)
	}
	own, err := subvolumeID(subvol)
	if err != nil {
		return err
	}
	other, err := subvolumeID(of)
	if err != nil {
		return err
	}
	group, err := groupOf(of)
	if err != nil {
		return err
	}
	if group == 0 {
		group = other
		c := qgroupCreateArgs{create: 1, qgroup: level1 | group}
		if err := do(of, qgroupCreate, unsafe.Pointer(&c)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fail(err)
		}
	}
	for _, member := range []uint64{other, own} {
		a := qgroupAssignArgs{assign: 1, src: member, dst: level1 | group}
		if err := do(of, qgroupAssign, unsafe.Pointer(&a)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fail(err)
		}
	}
	if err := unix.Fsetxattr(int(subvol.Fd()), groupAttr, strconv.AppendUint(nil, group, 10), 0); err != nil {
		return fail(err)
	}
	return nil
}

// LeaveGroup has a new snapshot's quota count by itself: it has the name of its source's group, and is no member of it.
func LeaveGroup(subvol *os.File) error {
	if err := unix.Fremovexattr(int(subvol.Fd()), groupAttr); err != nil && !errors.Is(err, unix.ENODATA) {
		return fmt.Errorf("have the quota of %q count by itself: %w", subvol.Name(), err)
	}
	return nil
}

// CountIn has what a subvolume wrote itself count in the group of another one, which begins as it is: of a snapshot that was received, all
// is its own.
func CountIn(subvol, of *os.File) error {
	group, err := groupOf(of)
	if err != nil || group == 0 {
		return err
	}
	own, err := subvolumeID(subvol)
	if err != nil {
		return err
	}
	a := qgroupAssignArgs{assign: 1, src: own, dst: level1 | group}
	if err := do(of, qgroupAssign, unsafe.Pointer(&a)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("have the quota of %q count with that of %q: %w", subvol.Name(), of.Name(), err)
	}
	return nil
}

// qgroupOf is the number of the quota group that a subvolume counts in: its group of level 1, or its own.
func qgroupOf(subvol *os.File) (uint64, error) {
	group, err := groupOf(subvol)
	if err != nil {
		return 0, err
	}
	if group != 0 {
		return level1 | group, nil
	}
	return subvolumeID(subvol)
}
