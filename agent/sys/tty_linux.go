package sys

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenPTY makes a terminal from the devpts that root (a container's root directory) has at /dev/pts, and returns both ends. Neither
// end is opened by a path the container could have changed: what was found is checked to be a ptmx of a devpts, and the other end
// comes from the first by TIOCGPTPEER (CVE-2025-52565).
func OpenPTY(root *os.File, owner uint32) (master, slave *os.File, err error) {
	place, err := OpenPlain(root, "/dev/pts/ptmx", unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return nil, nil, err
	}
	defer place.Close()
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(int(place.Fd()), &fs), unix.Fstat(int(place.Fd()), &st)); err != nil {
		return nil, nil, fmt.Errorf("look at ptmx: %w", err)
	}
	if fs.Type != unix.DEVPTS_SUPER_MAGIC || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(5, 2) {
		return nil, nil, errors.New("open terminal: /dev/pts/ptmx of the container is not a devpts")
	}
	m, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", place.Fd()), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	master = os.NewFile(uintptr(m), "terminal")
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("unlock terminal: %w", err)
	}
	s, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(m), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if e != 0 {
		master.Close()
		return nil, nil, fmt.Errorf("open terminal's other end: %w", e)
	}
	slave = os.NewFile(s, "terminal")
	if err := slave.Chown(int(owner), -1); err != nil {
		master.Close()
		slave.Close()
		return nil, nil, fmt.Errorf("hand over terminal: %w", err)
	}
	return master, slave, nil
}

// ResizePTY sets a terminal's size.
func ResizePTY(master *os.File, rows, cols uint16) error {
	raw, err := master.SyscallConn()
	if err != nil {
		return fmt.Errorf("resize terminal: %v", err)
	}
	var ierr error
	if err := raw.Control(func(fd uintptr) {
		ierr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}); err != nil || ierr != nil {
		return fmt.Errorf("resize terminal: %w", errors.Join(err, ierr))
	}
	return nil
}
