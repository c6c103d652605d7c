package btrfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// groups is held while a group is made that nothing counts in yet, and while those that nothing counts in are taken away.
var groups sync.Mutex

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
	groups.Lock()
	defer groups.Unlock()
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

// DropGroups takes the quota groups away in which nothing counts any more, of level 0 and 1, and says how many there were: the kernel
// leaves a group of level 1 behind, and one of level 0 when what its subvolume wrote was still held as that was deleted. One that the
// kernel says is used stays, whatever it counts.
func DropGroups(dir *os.File) (gone int, err error) {
	at, err := qgroups(dir)
	if err != nil {
		return 0, err
	}
	groups.Lock()
	defer groups.Unlock()
	for _, level := range []uint64{0, level1} { // those of level 1 are empty then
		entries, err := os.ReadDir(at)
		if errors.Is(err, fs.ErrNotExist) { // it has no quotas
			return 0, nil
		}
		if err != nil {
			return gone, fmt.Errorf("list quota groups: %v", err)
		}
		for _, e := range entries {
			text, ok := strings.CutPrefix(e.Name(), strconv.FormatUint(level/level1, 10)+"_")
			if !ok {
				continue
			}
			id, err := strconv.ParseUint(text, 10, 48)
			if err != nil || level == 0 && id < FirstFreeObject { // those of the filesystem itself
				continue
			}
			if n, err := Quota(filepath.Join(at, e.Name())).Referenced(); err != nil || n != 0 { // it went meanwhile, or is used
				continue
			}
			c := qgroupCreateArgs{qgroup: level | id}
			switch err := do(dir, qgroupCreate, unsafe.Pointer(&c)); {
			case err == nil:
				gone++
			case !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT):
				return gone, fmt.Errorf("take quota group %s away: %w", e.Name(), err)
			}
		}
	}
	return gone, nil
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
