package sys

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// btrfs ioctl structures and numbers (linux/btrfs.h).
type (
	btrfsVol struct { // btrfs_ioctl_vol_args
		fd   int64
		name [4088]byte
	}
	btrfsVol2 struct { // btrfs_ioctl_vol_args_v2
		fd, transid int64
		flags       uint64
		unused      [4]uint64
		name        [4040]byte
	}
	btrfsQuota  struct{ cmd, status uint64 }
	btrfsLimit  struct{ qgroup, flags, maxRfer, maxExcl, rsvRfer, rsvExcl uint64 }
	btrfsLookup struct { // btrfs_ioctl_ino_lookup_args
		tree, object uint64
		name         [4080]byte
	}
	btrfsInfo struct { // btrfs_ioctl_fs_info_args
		maxID, devices uint64
		fsid           [16]byte
		rest           [992]byte
	}
)

const (
	btrfsSubvolCreate = 14
	btrfsSnapDestroy  = 15
	btrfsInoLookup    = 18
	btrfsSnapCreateV2 = 23
	btrfsFSInfo       = 31
	btrfsQuotaCtl     = 40
	btrfsQgroupLimit  = 43

	quotaEnableSimple = 4 // BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA
	snapshotReadOnly  = 2 // BTRFS_SUBVOL_RDONLY
	firstFreeObject   = 256
	limitMaxRfer      = 1 // BTRFS_QGROUP_LIMIT_MAX_RFER
)

// BtrfsMagic is the filesystem's number in statfs(2).
const BtrfsMagic = unix.BTRFS_SUPER_MAGIC

func btrfs(f *os.File, nr, dir, size uintptr, p unsafe.Pointer) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), dir<<30|size<<16|0x94<<8|nr, uintptr(p)); e != 0 {
		return e
	}
	return nil
}

const (
	dirW  = 1
	dirR  = 2
	dirRW = 3
)

func volName(dst []byte, name string) error {
	if name == "" || len(name) >= 255 || strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
		return fmt.Errorf("name %q: is no file name", name)
	}
	copy(dst, name)
	return nil
}

// CreateSubvolume makes a btrfs subvolume in dir.
func CreateSubvolume(dir *os.File, name string) error {
	var a btrfsVol
	if err := volName(a.name[:], name); err != nil {
		return fmt.Errorf("create subvolume: %w", err)
	}
	if err := btrfs(dir, btrfsSubvolCreate, dirW, unsafe.Sizeof(a), unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("create subvolume %q in %q: %w", name, dir.Name(), err)
	}
	return nil
}

// DeleteSubvolume removes a subvolume of dir with all it holds.
func DeleteSubvolume(dir *os.File, name string) error {
	var a btrfsVol
	if err := volName(a.name[:], name); err != nil {
		return fmt.Errorf("delete subvolume: %w", err)
	}
	if err := btrfs(dir, btrfsSnapDestroy, dirW, unsafe.Sizeof(a), unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("delete subvolume %q in %q: %w", name, dir.Name(), err)
	}
	return nil
}

// Snapshot makes name in dir a snapshot of the subvolume src.
func Snapshot(src, dir *os.File, name string, readOnly bool) error {
	a := btrfsVol2{fd: int64(src.Fd())}
	if readOnly {
		a.flags = snapshotReadOnly
	}
	if err := volName(a.name[:], name); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := btrfs(dir, btrfsSnapCreateV2, dirW, unsafe.Sizeof(a), unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("snapshot %q as %q in %q: %w", src.Name(), name, dir.Name(), err)
	}
	return nil
}

// EnableSimpleQuota turns simple quotas on for the filesystem; it is no error when they are on already.
func EnableSimpleQuota(dir *os.File) error {
	a := btrfsQuota{cmd: quotaEnableSimple}
	if err := btrfs(dir, btrfsQuotaCtl, dirRW, unsafe.Sizeof(a), unsafe.Pointer(&a)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("enable simple quotas of %q: %w", dir.Name(), err)
	}
	return nil
}

// LimitSubvolume sets how many bytes the subvolume may refer to; 0 takes the limit away. The kernel is asked by the directory that holds the
// subvolume: in the subvolume itself the change counts as a write, which one that is full refuses (EDQUOT).
func LimitSubvolume(subvol *os.File, bytes int64) error {
	tree, err := subvolumeID(subvol)
	if err != nil {
		return err
	}
	parent, err := open(int(subvol.Fd()), "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("limit subvolume %q: %w", subvol.Name(), err)
	}
	defer parent.Close()
	a := btrfsLimit{qgroup: tree, flags: limitMaxRfer, maxRfer: uint64(bytes)}
	if bytes <= 0 {
		a.maxRfer = ^uint64(0) // CLEAR_VALUE
	}
	if err := btrfs(parent, btrfsQgroupLimit, dirR, unsafe.Sizeof(a), unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("limit subvolume %q: %w", subvol.Name(), err)
	}
	return nil
}

// subvolumeID is the number of the subvolume's tree, and of its quota group.
func subvolumeID(subvol *os.File) (uint64, error) {
	l := btrfsLookup{object: firstFreeObject}
	if err := btrfs(subvol, btrfsInoLookup, dirRW, unsafe.Sizeof(l), unsafe.Pointer(&l)); err != nil {
		return 0, fmt.Errorf("look up subvolume %q: %w", subvol.Name(), err)
	}
	return l.tree, nil
}

// SubvolumeBytes is what a subvolume's quota group counts.
func SubvolumeBytes(subvol *os.File) (int64, error) {
	q, err := SubvolumeQuota(subvol)
	if err != nil {
		return 0, err
	}
	return q.read("referenced")
}

// Quota is a subvolume's quota group: its folder in sysfs (Documentation/ABI: /sys/fs/btrfs/<uuid>/qgroups/<level>_<id>). It is there as long as
// the subvolume.
type Quota string

// SubvolumeQuota finds a subvolume's quota group.
func SubvolumeQuota(subvol *os.File) (Quota, error) {
	tree, err := subvolumeID(subvol)
	if err != nil {
		return "", err
	}
	var i btrfsInfo
	if err := btrfs(subvol, btrfsFSInfo, dirR, unsafe.Sizeof(i), unsafe.Pointer(&i)); err != nil {
		return "", fmt.Errorf("look up filesystem of %q: %w", subvol.Name(), err)
	}
	h := hex.EncodeToString(i.fsid[:])
	return Quota(fmt.Sprintf("/sys/fs/btrfs/%s-%s-%s-%s-%s/qgroups/0_%d", h[:8], h[8:12], h[12:16], h[16:20], h[20:], tree)), nil
}

// Limit is how many bytes the subvolume may refer to; 0 is no limit.
func (q Quota) Limit() (int64, error) {
	flags, err := q.read("limit_flags")
	if err != nil || flags&limitMaxRfer == 0 {
		return 0, err
	}
	return q.read("max_referenced")
}

// Held is how many bytes of the limit are taken: what the subvolume refers to, and what was written and is not on the disk yet. What is reserved
// for metadata does not count: it is far more than will be used, and given back when somebody needs it.
func (q Quota) Held() (sum int64, err error) {
	for _, name := range []string{"referenced", "rsv_data"} {
		n, err := q.read(name)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (q Quota) read(name string) (int64, error) {
	raw, err := os.ReadFile(string(q) + "/" + name)
	if err != nil {
		return 0, fmt.Errorf("read quota: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("read quota %q: %v", string(q)+"/"+name, err)
	}
	return n, nil
}

// FileSystem is how statfs(2) names the file system of f, and the bytes of a block that it counts in.
func FileSystem(f *os.File) (fsid uint64, block int64, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, 0, fmt.Errorf("look at filesystem of %q: %w", f.Name(), err)
	}
	return uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32, st.Frsize, nil
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
	return fs.Type == BtrfsMagic && st.Ino == firstFreeObject, nil
}
