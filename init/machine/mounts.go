package machine

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hardnode.dev/init/sys"
	"hardnode.dev/internal/wire/upkeep"
)

// mount is one row of the table of mounts.
type mount struct {
	Target, Type, Data string
	Flags              uintptr
	Mode               os.FileMode // of the directory, when it has to be made
	Minor              bool        // may be absent on some machines
}

const tight = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV

// mounts come in this order; /dev has been moved here by stage 1.
var mounts = []mount{
	{Target: "/proc", Type: "proc", Flags: tight},
	{Target: "/sys", Type: "sysfs", Flags: tight},
	{Target: "/dev/pts", Type: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Data: "gid=5,mode=620,ptmxmode=666", Mode: 0o755},
	{Target: "/dev/shm", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=1777,size=10%", Mode: 0o777},
	{Target: "/run", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=755,size=20%"},
	{Target: "/tmp", Type: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Data: "mode=1777,size=20%"},
	// memory_recursiveprot: memory.min of a container holds although its ancestors set none. nsdelegate: a container's cgroup namespace is
	// a border.
	{Target: "/sys/fs/cgroup", Type: "cgroup2", Flags: tight, Data: "nsdelegate,memory_recursiveprot"},
	{Target: "/sys/fs/bpf", Type: "bpf", Flags: tight, Data: "mode=700", Minor: true},
	// kmsg_bytes: as much of the kernel's log is kept at its end.
	{Target: "/sys/fs/pstore", Type: "pstore", Flags: tight, Data: fmt.Sprintf("kmsg_bytes=%d", upkeep.MaxCrash), Minor: true},
	{Target: "/sys/kernel/security", Type: "securityfs", Flags: tight, Minor: true},
}

func (m *Machine) stepMounts(context.Context) (string, error) {
	unix.Umask(0o022)
	for _, t := range mounts {
		if t.Mode != 0 {
			if err := os.Mkdir(t.Target, t.Mode); err != nil && !errors.Is(err, os.ErrExist) {
				return "", fmt.Errorf("make %q: %w", t.Target, err)
			}
		}
		if err := sys.Mount(t.Type, t.Target, t.Type, t.Flags, t.Data); err != nil && !errors.Is(err, unix.EBUSY) {
			if t.Minor {
				continue
			}
			return "", err
		}
	}
	for link, target := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("make %q: %w", link, err)
		}
	}
	// A mount made here after a container started must be able to reach it.
	if err := sys.MakeShared(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d filesystems", len(mounts)), m.con.Kmsg("/dev/kmsg")
}
