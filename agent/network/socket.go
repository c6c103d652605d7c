package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire/host"
)

// Sockets opens sockets of this host for a container: each is bound to its card, so that it hears no other network, and whoever holds it
// can't unbind it (that takes CAP_NET_RAW in the host's network namespace). None has an address: the card's may change. The caller closes
// them; they live on in the process that was handed them.
func (n *Network) Sockets(list []host.Socket) (files []*os.File, err error) {
	for _, s := range list {
		f, err := socket(s)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("open %s port %d on network card %q for the container: %w", s.Proto, s.Port, s.Link, err)
		}
		files = append(files, f)
	}
	return files, nil
}

func socket(s host.Socket) (*os.File, error) {
	if err := hasAddr(s.Link); err != nil {
		return nil, err
	}
	c, port := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if err2 := raw.Control(func(fd uintptr) {
			at := int(fd)
			err = errors.Join(unix.SetsockoptInt(at, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.BindToDevice(at, s.Link))
			if s.Proto == "udp" { // answers go to those on the card's own network: what claims to come from elsewhere gets none
				err = errors.Join(err, unix.SetsockoptInt(at, unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
					unix.SetsockoptInt(at, unix.SOL_SOCKET, unix.SO_DONTROUTE, 1))
			}
		}); err2 != nil {
			return err2
		}
		return err
	}}, net.JoinHostPort("", strconv.Itoa(int(s.Port)))
	if s.Proto == "tcp" {
		l, err := c.Listen(context.Background(), "tcp4", port)
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return l.(*net.TCPListener).File()
	}
	p, err := c.ListenPacket(context.Background(), "udp4", port)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.(*net.UDPConn).File()
}

// hasAddr says why nobody can be answered on a card, or nil.
func hasAddr(card string) error {
	c, err := net.InterfaceByName(card)
	if err != nil {
		return errors.New("this host has no such card; its configuration names its links")
	}
	addrs, err := c.Addrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return nil
		}
	}
	return errors.New("it has no IPv4 address: give it one in the host's configuration")
}
