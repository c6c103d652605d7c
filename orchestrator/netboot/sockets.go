package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"hardnode.dev/orchestrator/netboot/answer"
)

// sockets are all that is served from. TFTP has one for all transfers: RFC 1350 (4) has a server answer from a new port, by which the
// client knows the transfer; a client takes whatever port the first answer comes from, so here that is 69, and a transfer is known by the
// client's own. SeaBIOS with iPXE and OVMF read so (qemu-tests/pxe). Other ports need not be opened, neither by the agent nor in firewalls.
type sockets struct {
	dhcp, boot, tftp *net.UDPConn
	http             net.Listener
	addr             netip.Addr
	network          netip.Prefix // that TFTP is for; none: the sockets see to it
}

// opened opens them on a card; root may.
func opened(card string, network netip.Prefix, port int) (s sockets, err error) {
	s = sockets{addr: network.Addr(), network: network}
	for _, u := range []struct {
		at   **net.UDPConn
		port int
	}{{&s.dhcp, answer.PortDHCP}, {&s.boot, answer.PortBoot}, {&s.tftp, 69}} {
		if *u.at, err = udp(card, u.port); err != nil {
			s.close()
			return s, err
		}
	}
	if s.http, err = net.Listen("tcp4", netip.AddrPortFrom(network.Addr(), uint16(port)).String()); err != nil {
		s.close()
		return s, fmt.Errorf("serve HTTP: %w; -http-port chooses another port", err)
	}
	return s, nil
}

// handed takes those that this process was started with (sd_listen_fds(3)), by their names; false: it was started with none.
func handed() (s sockets, ok bool, err error) {
	files := activation.Files(true)
	if len(files) == 0 {
		return s, false, nil
	}
	udp := map[string]**net.UDPConn{"dhcp": &s.dhcp, "boot": &s.boot, "tftp": &s.tftp}
	for _, f := range files {
		at := udp[f.Name()]
		switch {
		case at != nil:
			var c net.PacketConn
			if c, err = net.FilePacketConn(f); err == nil {
				*at, _ = c.(*net.UDPConn)
			}
		case f.Name() == "http":
			s.http, err = net.FileListener(f)
		}
		f.Close() // the copy that net made is used
		if err != nil {
			s.close()
			return s, true, fmt.Errorf("take socket %q that was handed over: %w", f.Name(), err)
		}
	}
	if s.dhcp == nil || s.boot == nil || s.tftp == nil || s.http == nil {
		s.close()
		return s, true, errors.New("take the sockets that were handed over: want dhcp, boot, tftp (UDP) and http (TCP), some are missing")
	}
	a, ok := s.http.Addr().(*net.TCPAddr)
	if !ok {
		s.close()
		return s, true, fmt.Errorf("take socket \"http\" that was handed over: %s is no TCP address", s.http.Addr())
	}
	s.addr = a.AddrPort().Addr().Unmap()
	return s, true, nil
}

func (s sockets) close() {
	for _, c := range []*net.UDPConn{s.dhcp, s.boot, s.tftp} {
		if c != nil {
			c.Close()
		}
	}
	if s.http != nil {
		s.http.Close()
	}
}

// url is where the files are, with a slash at its end.
func (s sockets) url() string {
	port := uint16(80)
	if a, ok := s.http.Addr().(*net.TCPAddr); ok {
		port = uint16(a.Port)
	}
	if port == 80 { // what firmware reads best
		return "http://" + s.addr.String() + "/"
	}
	return "http://" + netip.AddrPortFrom(s.addr, port).String() + "/"
}

// udp opens a port on one card only: other networks of this machine have nothing of it.
func udp(card string, port int) (*net.UDPConn, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if err2 := raw.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1), unix.BindToDevice(int(fd), card))
		}); err2 != nil {
			return err2
		}
		return err
	}}
	l, err := c.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("open UDP port %d on %s: %w; it takes root's rights, and no other server may have it", port, card, err)
	}
	return l.(*net.UDPConn), nil
}
