package serve

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// as runs make, which makes a file, as a user and group: so it is theirs from the first moment, and a directory's own group counts as for
// anybody (setfsuid(2)). The mounting kernel has looked whether they may: here no right is asked for, which needs CAP_DAC_OVERRIDE again,
// for setfsuid takes it away. Ids of the calling process cost nothing.
func as(uid, gid uint32, make func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	had := caps{head: unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}}
	if err := unix.Capget(&had.head, &had.data[0]); err != nil {
		return err
	}
	oldGID, err := unix.SetfsgidRetGid(int(gid))
	if err != nil {
		return err
	}
	defer unix.Setfsgid(oldGID)
	oldUID, err := unix.SetfsuidRetUid(int(uid))
	if err != nil {
		return err
	}
	defer func() {
		unix.Setfsuid(oldUID)
		unix.Capset(&had.head, &had.data[0])
	}()
	// They answer with what was, whether or not it is so now: a second call tells.
	if now, _ := unix.SetfsuidRetUid(int(uid)); now != int(uid) {
		return unix.EPERM
	}
	if now, _ := unix.SetfsgidRetGid(int(gid)); now != int(gid) {
		return unix.EPERM
	}
	if err := unix.Capset(&had.head, &had.data[0]); err != nil {
		return err
	}
	return make()
}

type caps struct {
	head unix.CapUserHeader
	data [2]unix.CapUserData
}
