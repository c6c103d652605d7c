package btrfs

import (
	"os"
	"strings"
	"testing"
)

// TestNumbers: the requests are those the kernel's header gives on amd64 and arm64, so the structures have its sizes.
func TestNumbers(t *testing.T) {
	for name, x := range map[string]struct{ got, want uintptr }{
		"BTRFS_IOC_SUBVOL_CREATE": {subvolCreate, 0x5000940e},
		"BTRFS_IOC_SNAP_DESTROY":  {snapDestroy, 0x5000940f},
		"BTRFS_IOC_INO_LOOKUP":    {inoLookup, 0xd0009412},
		"BTRFS_IOC_FS_INFO":       {fsInfo, 0x8400941f},
		"BTRFS_IOC_QUOTA_CTL":     {quotaCtl, 0xc0109428},
		"BTRFS_IOC_QGROUP_LIMIT":  {qgroupLimit, 0x8030942b},
		// of snapshots and streams
		"BTRFS_IOC_SNAP_CREATE_V2":      {snapCreateV2, 0x50009417},
		"BTRFS_IOC_SUBVOL_GETFLAGS":     {subvolGetFlags, 0x80089419},
		"BTRFS_IOC_SUBVOL_SETFLAGS":     {subvolSetFlags, 0x4008941a},
		"BTRFS_IOC_SET_RECEIVED_SUBVOL": {setReceived, 0xc0c89425},
		"BTRFS_IOC_SEND":                {send, 0x40489426},
		"BTRFS_IOC_GET_SUBVOL_INFO":     {subvolInfo, 0x81f8943c},
		"BTRFS_IOC_QGROUP_ASSIGN":       {qgroupAssign, 0x40189429},
		"BTRFS_IOC_QGROUP_CREATE":       {qgroupCreate, 0x4010942a},
		"BTRFS_IOC_SCRUB":               {scrub, 0xc400941b},
		// of the devices
		"BTRFS_IOC_ADD_DEV":          {addDev, 0x5000940a},
		"BTRFS_IOC_RM_DEV_V2":        {rmDevV2, 0x5000943a},
		"BTRFS_IOC_DEV_INFO":         {devInfo, 0xd000941e},
		"BTRFS_IOC_GET_DEV_STATS":    {getDevStats, 0xc4089434},
		"BTRFS_IOC_SPACE_INFO":       {spaceOf, 0xc0109414},
		"BTRFS_IOC_BALANCE_V2":       {balance, 0xc4009420},
		"BTRFS_IOC_BALANCE_PROGRESS": {balanceAt, 0x84009422},
		"BTRFS_IOC_FORGET_DEV":       {forgetDev, 0x50009405},
		"BTRFS_IOC_SYNC":             {syncFS, 0x9408},
		// of a file
		"FS_IOC_FIEMAP": {fiemap, 0xc020660b},
	} {
		if x.got != x.want {
			t.Errorf("%s: got %#x, want %#x", name, x.got, x.want)
		}
	}
}

// TestNames: what is no file name never reaches the kernel.
func TestNames(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, name := range []string{"", ".", "..", "a/b", "/", "a\x00b", strings.Repeat("a", 255), strings.Repeat("a", 5000)} {
		for verb, f := range map[string]func(*os.File, string) error{"create": CreateSubvolume, "delete": DeleteSubvolume} {
			if err := f(dir, name); err == nil || !strings.Contains(err.Error(), "is no file name") {
				t.Errorf("%s %.20q: got %v, want a refusal", verb, name, err)
			}
		}
	}
}
