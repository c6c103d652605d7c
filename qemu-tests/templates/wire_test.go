//go:build qemu

package templates

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wire is a network namespace, and the thread that lives in it.
type wire struct {
	work chan func()
	tid  int
}

// newWire makes a network with nothing but loopback, in which a node's root may take any port.
func newWire() (*wire, error) {
	w := &wire{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		w.tid = unix.Gettid()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = up("lo", "")
		}
		if err == nil {
			err = os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0)
		}
		ready <- err
		for f := range w.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(w.work)
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return w, nil
}

// do runs f on the network's thread.
func (w *wire) do(f func() error) error {
	done := make(chan error, 1)
	w.work <- func() { done <- f() }
	return <-done
}

// join lays a cable between two networks.
func (w *wire) join(to *wire, ours, theirs string) error {
	err := w.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsPid(to.tid)}); err != nil {
			return err
		}
		return up("eth0", ours)
	})
	if err == nil {
		err = to.do(func() error { return up("eth0", theirs) })
	}
	return err
}

func up(name, address string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if address != "" {
		a, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

// dial connects to a URL's host, an address, from the thread that calls.
func dial(to string) (net.Conn, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.DialTimeout("tcp", net.JoinHostPort(u.Hostname(), port), 5*time.Second)
}

// given is a dialer that has connected already.
func given(c net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return c, nil }
}
