package hold

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// openConsole makes the terminal that is a system container's /dev/console and stdout: a pair from the host's devpts, whose one end is
// given to the container by its path, for systemd opens its console anew each time. That end belongs to root inside. The other end is read
// like a pipe; it answers EIO while nobody has the container's end open, so the spawner holds that open too (consoleOf).
func openConsole(owner uint32) (master, slave *os.File, path string, err error) {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, "", fmt.Errorf("make console: %w", err)
	}
	master = os.NewFile(uintptr(m), "output")
	defer func() {
		if err != nil {
			master.Close()
			err = fmt.Errorf("make console: %w", err)
		}
	}()
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, "", err
	}
	// A size that no line of systemd's is cut to.
	if err := errors.Join(unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(m, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 250})); err != nil {
		return nil, nil, "", err
	}
	slave, err = peer(master)
	if err != nil {
		return nil, nil, "", err
	}
	if err := errors.Join(slave.Chown(int(owner), -1), slave.Chmod(0o620)); err != nil {
		slave.Close()
		return nil, nil, "", err
	}
	return master, slave, fmt.Sprintf("/dev/pts/%d", n), nil
}

// peer opens the other end of a terminal, without a path (TIOCGPTPEER, ioctl_tty(2)).
func peer(master *os.File) (*os.File, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(num(master)), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return nil, errno
	}
	return os.NewFile(fd, "console"), nil
}

// consoleOf holds the other end open if f is one end of a terminal; nil if it is a pipe.
func consoleOf(f *os.File) *os.File {
	other, err := peer(f)
	if err != nil {
		return nil
	}
	return other
}

// screen is the output of a terminal as lines: without carriage returns, and EIO is its end.
type screen struct{ f *os.File }

// Read leaves the carriage returns out.
func (s screen) Read(b []byte) (int, error) {
	n, err := s.f.Read(b)
	if errors.Is(err, unix.EIO) {
		err = io.EOF
	}
	kept := bytes.ReplaceAll(b[:n], []byte{'\r'}, nil)
	return copy(b, kept), err
}
