package container

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire"
)

// dialWithin is how long a port inside a container may take to answer.
const dialWithin = 5 * time.Second

// Dial connects to a TCP port inside a running container: on its loopback, else on its own addresses.
func (r *Runtime) Dial(ctx context.Context, id wire.CTID, port uint16) (net.Conn, error) {
	rec, err := r.known.Running(ctx, id)
	if err != nil {
		return nil, err
	}
	ns, err := r.Netns(id)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	var to []netip.AddrPort
	for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback(), rec.Container.IPv4, rec.Container.IPv6} {
		if a.IsValid() {
			to = append(to, netip.AddrPortFrom(a, port))
		}
	}
	c, err := dialIn(ns, to)
	if err != nil {
		return nil, fmt.Errorf("container %s: nothing answers at its TCP port %d: %v", id, port, err)
	}
	return c, nil
}

// dialIn connects from inside a network namespace to the first address that answers; the error is that of the first.
func dialIn(ns *os.File, to []netip.AddrPort) (c net.Conn, first error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the namespace is the thread's
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			first = err
			runtime.UnlockOSThread()
			return
		}
		defer own.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			first = fmt.Errorf("enter network namespace: %w", err)
			runtime.UnlockOSThread()
			return
		}
		for _, a := range to {
			var err error
			if c, err = connect(a); err == nil {
				break
			}
			if first == nil {
				first = err
			}
		}
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // else the thread ends with this goroutine
		}
	}()
	<-done
	if c != nil {
		first = nil
	}
	return c, first
}

// connect is net.Dial on this thread.
func connect(a netip.AddrPort) (net.Conn, error) {
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()})
	if a.Addr().Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), a.String())
	defer f.Close() // net.FileConn has its own
	if err := unix.Connect(fd, sa); errors.Is(err, unix.EINPROGRESS) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, perr := unix.Poll(p, int(dialWithin.Milliseconds()))
		for errors.Is(perr, unix.EINTR) {
			n, perr = unix.Poll(p, int(dialWithin.Milliseconds()))
		}
		if n == 0 {
			return nil, unix.ETIMEDOUT
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil {
			return nil, err
		}
		if code != 0 {
			return nil, unix.Errno(code)
		}
	} else if err != nil {
		return nil, err
	}
	return net.FileConn(f)
}
