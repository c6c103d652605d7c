package hold

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/spawner/call"
)

// openConsole makes the terminal that is a system container's /dev/console and stdout: a pair from the host's devpts, whose one end is
// given to the container by its path, for systemd opens its console anew each time. That end belongs to root and tty inside: a login
// changes both, which it may not while one of them is nobody there. The other end is read like a pipe; it answers EIO while nobody has
// the container's end open, so the spawner holds that open too (consoleOf).
func openConsole(owner, group uint32) (master, slave *os.File, path string, err error) {
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
	if err := errors.Join(slave.Chown(int(owner), int(group)), slave.Chmod(0o620)); err != nil {
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

// console is a system container's terminal while it runs, and who looks at it beside the log.
type console struct {
	master *os.File // read by the log alone
	other  *os.File // held open: see openConsole

	mu struct {
		sync.Mutex
		sinks []*os.File // pipes
	}
}

// consoleOf holds the other end open if f is one end of a terminal; nil if it is a pipe.
func consoleOf(f *os.File) *console {
	other, err := peer(f)
	if err != nil {
		return nil
	}
	return &console{master: f, other: other}
}

// maxSinks is how many may look at one console at once.
const maxSinks = 16

// join gives what comes from now on to sink too, a pipe, and returns a copy of the end that what is typed is written to. It owns sink.
func (c *console) join(sink *os.File) (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.sinks = slices.DeleteFunc(c.mu.sinks, func(s *os.File) bool { // a quiet console does not find out by itself who is gone
		p := []unix.PollFd{{Fd: int32(num(s))}}
		if n, err := unix.Poll(p, 0); err != nil || n == 0 || p[0].Revents&unix.POLLERR == 0 {
			return false
		}
		s.Close()
		return true
	})
	fd, err := unix.FcntlInt(uintptr(num(c.master)), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil && len(c.mu.sinks) >= maxSinks {
		unix.Close(fd)
		err = fmt.Errorf("%d look at it already", maxSinks)
	}
	if err == nil {
		if err = unix.SetNonblock(num(sink), true); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		sink.Close()
		return nil, fmt.Errorf("join console: %w", err)
	}
	c.mu.sinks = append(c.mu.sinks, sink)
	return os.NewFile(uintptr(fd), "console"), nil
}

// show gives what came to all who look. Nobody is waited for: who does not take it loses it, and who is gone is forgotten.
func (c *console) show(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.sinks = slices.DeleteFunc(c.mu.sinks, func(s *os.File) bool {
		_, err := unix.Write(num(s), b)
		if err == nil || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			return false
		}
		s.Close()
		return true
	})
}

// end lets go of the terminal, and of all who look.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.other.Close()
	call.CloseAll(c.mu.sinks)
	c.mu.sinks = nil
}

// Console has what a running system container's console says given to sink too, and returns the end for what is typed. It owns sink.
func (t *Table) Console(id string, sink *os.File) (*os.File, error) {
	t.mu.Lock()
	e := t.mu.byID[id]
	var c *console
	if e != nil && e.PID != 0 {
		c = e.console
	}
	t.mu.Unlock()
	if c == nil {
		sink.Close()
		return nil, fmt.Errorf("console of container %s: %w, or has none", id, ErrNotRunning)
	}
	return c.join(sink)
}

// screen is the output of a terminal as lines: without carriage returns, and EIO is its end.
type screen struct{ *console }

// Read leaves the carriage returns out.
func (s screen) Read(b []byte) (int, error) {
	n, err := s.master.Read(b)
	s.show(b[:n])
	if errors.Is(err, unix.EIO) {
		err = io.EOF
	}
	kept := bytes.ReplaceAll(b[:n], []byte{'\r'}, nil)
	return copy(b, kept), err
}
