package btrfs

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

// EnableSimpleQuota turns simple quotas on for the file system that dir lies in (BTRFS_IOC_QUOTA_CTL). It is no error when they are on
// already.
func EnableSimpleQuota(dir *os.File) error {
	a := quotaCtlArgs{cmd: quotaEnableSimple}
	if err := do(dir, quotaCtl, unsafe.Pointer(&a)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("enable simple quotas of %q: %w", dir.Name(), err)
	}
	return nil
}

// LimitSubvolume sets how many bytes the subvolume, or the group that it counts in (JoinGroup), may refer to (BTRFS_IOC_QGROUP_LIMIT); 0
// takes the limit away. The ioctl is made on the directory that holds the subvolume: on the subvolume itself the change counts as a write,
// which a full one refuses (EDQUOT).
func LimitSubvolume(subvol *os.File, bytes int64) error {
	counts, err := qgroupOf(subvol)
	if err != nil {
		return err
	}
	parent, err := unix.Openat(int(subvol.Fd()), "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("limit subvolume %q: open the directory it is in: %w", subvol.Name(), err)
	}
	dir := os.NewFile(uintptr(parent), "..")
	defer dir.Close()
	a := qgroupLimitArgs{qgroup: counts, flags: limitMaxRfer, maxRfer: uint64(bytes)}
	if bytes <= 0 {
		a.maxRfer = clearValue
	}
	if err := do(dir, qgroupLimit, unsafe.Pointer(&a)); err != nil {
		return fmt.Errorf("limit subvolume %q: %w", subvol.Name(), err)
	}
	return nil
}

// SubvolumeBytes is what a subvolume's quota group counts.
func SubvolumeBytes(subvol *os.File) (int64, error) {
	q, err := SubvolumeQuota(subvol)
	if err != nil {
		return 0, err
	}
	return q.Referenced()
}

// Quota is the quota group that a subvolume counts in: its folder in sysfs, /sys/fs/btrfs/<uuid>/qgroups/<level>_<id>
// (fs/btrfs/sysfs.c). It is there as long as the subvolume.
type Quota string

// SubvolumeQuota finds a subvolume's quota group (BTRFS_IOC_INO_LOOKUP and BTRFS_IOC_FS_INFO).
func SubvolumeQuota(subvol *os.File) (Quota, error) {
	counts, err := qgroupOf(subvol)
	if err != nil {
		return "", err
	}
	at, err := qgroups(subvol)
	if err != nil {
		return "", err
	}
	return Quota(fmt.Sprintf("%s/%d_%d", at, counts/level1, counts%level1)), nil
}

// qgroups is the folder of the quota groups of the filesystem that dir lies in.
func qgroups(dir *os.File) (string, error) {
	var i fsInfoArgs
	if err := do(dir, fsInfo, unsafe.Pointer(&i)); err != nil {
		return "", fmt.Errorf("look up filesystem of %q: %w", dir.Name(), err)
	}
	h := hex.EncodeToString(i.fsid[:])
	return "/sys/fs/btrfs/" + strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-") + "/qgroups", nil
}

// Limit is how many bytes the subvolume may refer to; 0 is no limit.
func (q Quota) Limit() (int64, error) {
	flags, err := q.read("limit_flags")
	if err != nil || flags&limitMaxRfer == 0 {
		return 0, err
	}
	return q.read("max_referenced")
}

// Referenced is what the group counts.
func (q Quota) Referenced() (int64, error) { return q.read("referenced") }

// Held is how many bytes of the limit are taken: what the subvolume refers to, and what was written and is not on the disk yet. What is
// reserved for metadata does not count: it is far more than will be used, and given back when somebody needs it.
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
