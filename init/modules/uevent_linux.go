package modules

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Uevents loads modules of devices that appear later, until ctx ends. problem is told of modules that would not load.
func (l *Loader) Uevents(ctx context.Context, problem func(error)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("listen for devices: %w", err)
	}
	f := os.NewFile(uintptr(fd), "uevents")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		return fmt.Errorf("listen for devices: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	buf := make([]byte, 8192)
	for {
		n, err := f.Read(buf)
		switch {
		case ctx.Err() != nil || errors.Is(err, os.ErrClosed):
			return nil
		case errors.Is(err, unix.ENOBUFS): // events were lost: look at every device again
			_, late, problems := l.Coldplug(ctx, "/sys/devices")
			for _, m := range late {
				problems = append(problems, l.Add(m, ""))
			}
			for _, p := range problems {
				if p != nil {
					problem(p)
				}
			}
			continue
		case err != nil:
			return fmt.Errorf("listen for devices: %w", err)
		}
		if alias, ok := event(string(buf[:n])); ok {
			for _, p := range l.Device(alias) {
				problem(p)
			}
		}
	}
}
