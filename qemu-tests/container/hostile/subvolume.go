package main

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// subvolume tries in a directory of btrfs to make a subvolume, a snapshot of the directory, to delete one, and to have it be read-only.
func subvolume(path string) {
	dir, err := os.Open(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	args := make([]byte, 4096) // struct btrfs_ioctl_vol_args, or _v2: a descriptor first, the name from 8 or 56 on
	*(*int64)(unsafe.Pointer(&args[0])) = int64(dir.Fd())
	for _, a := range []struct {
		what    string
		request uintptr
		name    int
	}{
		{"BTRFS_IOC_SUBVOL_CREATE", 0x5000940e, 8}, {"BTRFS_IOC_SUBVOL_CREATE_V2", 0x50009418, 56},
		{"BTRFS_IOC_SNAP_CREATE", 0x50009401, 8}, {"BTRFS_IOC_SNAP_CREATE_V2", 0x50009417, 56},
		{"BTRFS_IOC_SNAP_DESTROY", 0x5000940f, 8}, {"BTRFS_IOC_SNAP_DESTROY_V2", 0x5000943f, 56},
		{"BTRFS_IOC_SUBVOL_SETFLAGS", 0x4008941a, 0}, {"BTRFS_IOC_SET_RECEIVED_SUBVOL", 0xc0c89425, 0},
	} {
		all := append([]byte(nil), args...)
		if a.name > 0 {
			copy(all[a.name:], fmt.Sprintf("sub%d", a.request))
		} else {
			*(*int64)(unsafe.Pointer(&all[0])) = 2 // read-only
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), a.request, uintptr(unsafe.Pointer(&all[0])))
		if !errors.Is(errno, unix.ENOTTY) {
			fmt.Printf("%s gives %d\n", a.what, errno)
			os.Exit(1)
		}
	}
	fmt.Println("unharmed")
}
