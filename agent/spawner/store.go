package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// store is init's side of sd_notify: readiness, and the descriptors a successor of this process gets back (sd_notify(3) FDSTORE,
// sd_listen_fds(3)). Without NOTIFY_SOCKET it stores nothing.
type store struct {
	socket string
	left   map[string]*os.File
}

// storeFromEnv reads and clears the environment that init gave.
func storeFromEnv() *store {
	s := &store{socket: os.Getenv("NOTIFY_SOCKET"), left: map[string]*os.File{}}
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	if pid := os.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		n = 0
	}
	for i := range min(n, len(names)) {
		unix.CloseOnExec(3 + i)
		if err := unix.SetNonblock(3+i, strings.HasSuffix(names[i], ".out") || strings.HasSuffix(names[i], ".err")); err != nil {
			continue
		}
		s.left[names[i]] = os.NewFile(uintptr(3+i), names[i])
	}
	for _, k := range []string{"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"} {
		os.Unsetenv(k)
	}
	return s
}

// Left is what a predecessor stored.
func (s *store) Left() map[string]*os.File { return s.left }

// Keep stores a descriptor under a name; one that is there under the name is replaced.
func (s *store) Keep(name string, f *os.File) error {
	return s.send("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, f)
}

// Drop removes a stored descriptor.
func (s *store) Drop(name string) error { return s.send("FDSTOREREMOVE=1\nFDNAME="+name, nil) }

// Ready says that requests are answered.
func (s *store) Ready() error { return s.send("READY=1", nil) }

func (s *store) send(text string, f *os.File) error {
	if s.socket == "" {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("notify init: %w", err)
	}
	defer unix.Close(fd)
	var rights []byte
	if f != nil {
		raw, err := f.SyscallConn()
		if err != nil {
			return fmt.Errorf("notify init: %w", err)
		}
		if err := raw.Control(func(n uintptr) { rights = unix.UnixRights(int(n)) }); err != nil {
			return fmt.Errorf("notify init: %w", err)
		}
	}
	if err := unix.Sendmsg(fd, []byte(text), rights, &unix.SockaddrUnix{Name: s.socket}, 0); err != nil {
		return fmt.Errorf("notify init: %w", err)
	}
	return nil
}
