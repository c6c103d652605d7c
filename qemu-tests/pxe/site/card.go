package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// plug makes the card.
func plug(address string) (*os.File, error) {
	links, err := netlink.LinkList()
	if err != nil || len(links) != 1 {
		return nil, fmt.Errorf("this is no network namespace of the site's own: %d cards, %v", len(links), err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	const name = "eth0"
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, fmt.Errorf("make card %s: %w", name, err)
	}
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	// A server that comes back has the card that it had: who talked to it before still knows its address.
	mac := append(net.HardwareAddr{0x52, 0x54}, addr.IP.To4()...)
	err = errors.Join(netlink.LinkSetHardwareAddr(link, mac),
		netlink.AddrAdd(link, addr), netlink.LinkSetUp(links[0]), netlink.LinkSetUp(link))
	return os.NewFile(uintptr(fd), name), err
}

// in carries frames from the switch to the card: each comes behind its length, as four bytes.
func in(cable io.Reader, card io.Writer) error {
	r := bufio.NewReader(cable)
	for {
		var n uint32
		if err := binary.Read(r, binary.BigEndian, &n); err != nil {
			return fmt.Errorf("the cable: %w", err)
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			return fmt.Errorf("the cable: %w", err)
		}
		if _, err := card.Write(frame); err != nil {
			return fmt.Errorf("the card: %w", err)
		}
	}
}

// out carries frames from the card to the switch.
func out(card io.Reader, cable io.Writer) error {
	frame := make([]byte, 4+65536)
	for {
		n, err := card.Read(frame[4:])
		if err != nil {
			return fmt.Errorf("the card: %w", err)
		}
		binary.BigEndian.PutUint32(frame, uint32(n))
		if _, err := cable.Write(frame[:4+n]); err != nil {
			return fmt.Errorf("the cable: %w", err)
		}
	}
}
