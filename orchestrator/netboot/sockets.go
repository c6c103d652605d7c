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
//
// None of them has an address: they are bound to a card, whose addresses may change.
type sockets struct {
	dhcp, boot, tftp *net.UDPConn
	http             net.Listener
}

// opened opens them on a card; root may.
func opened(card string, port int) (s sockets, err error) {
	for _, u := range []struct {
		at   **net.UDPConn
		port int
	}{{&s.dhcp, answer.PortDHCP}, {&s.boot, answer.PortBoot}, {&s.tftp, 69}} {
		if *u.at, err = udp(card, u.port); err != nil {
			s.close()
			return s, err
		}
	}
	c := net.ListenConfig{Control: on(card)}
	if s.http, err = c.Listen(context.Background(), "tcp4", fmt.Sprintf(":%d", port)); err != nil {
		s.close()
		return s, fmt.Errorf("serve HTTP: %w; -http-port chooses another port", err)
	}
	return s, s.tellAddress()
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
	if _, ok := s.http.Addr().(*net.TCPAddr); !ok {
		s.close()
		return s, true, fmt.Errorf("take socket \"http\" that was handed over: %s is no TCP address", s.http.Addr())
	}
	return s, true, s.tellAddress()
}

// tellAddress has the kernel say with each packet at the DHCP ports which address this machine has on the network that it came from (ip(7),
// IP_PKTINFO).
func (s sockets) tellAddress() error {
	for _, c := range []*net.UDPConn{s.dhcp, s.boot} {
		raw, err := c.SyscallConn()
		if err != nil {
			return err
		}
		err2 := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_PKTINFO, 1) })
		if err = errors.Join(err, err2); err != nil {
			s.close()
			return fmt.Errorf("ask for this machine's address with each packet: %w", err)
		}
	}
	return nil
}

// ownAddress is what tellAddress asked for, out of a packet's control messages; the zero Addr when it is not there.
func ownAddress(control []byte) netip.Addr {
	list, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range list {
		if m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo {
			if a := netip.AddrFrom4([4]byte(m.Data[4:8])); !a.IsUnspecified() {
				return a
			}
		}
	}
	return netip.Addr{}
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

// url is where the files are at one of this machine's addresses, with a slash at its end.
func (s sockets) url(self netip.Addr) string {
	port := uint16(s.http.Addr().(*net.TCPAddr).Port)
	if port == 80 { // what firmware reads best
		return "http://" + self.String() + "/"
	}
	return "http://" + netip.AddrPortFrom(self, port).String() + "/"
}

// udp opens a port on one card only: other networks of this machine have nothing of it. Answers go to the card's own network: what claims
// to come from elsewhere gets none.
func udp(card string, port int) (*net.UDPConn, error) {
	c := net.ListenConfig{Control: on(card, unix.SO_BROADCAST, unix.SO_DONTROUTE)}
	l, err := c.ListenPacket(context.Background(), "udp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, fmt.Errorf("open UDP port %d on %s: %w; it takes root's rights, and no other server may have it", port, card, err)
	}
	return l.(*net.UDPConn), nil
}

// on binds a socket to a card, and switches on more of its options.
func on(card string, more ...int) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		if err2 := raw.Control(func(fd uintptr) {
			for _, option := range append(more, unix.SO_REUSEADDR) {
				err = errors.Join(err, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1))
			}
			err = errors.Join(err, unix.BindToDevice(int(fd), card))
		}); err2 != nil {
			return err2
		}
		return err
	}
}
