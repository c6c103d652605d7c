package public

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A link of a host is up for long when a container is given an address: the waits of RFC 5227 1.1, for a cable that was put in just now,
// need not be so long. enough answers are no accident: one alone may be what a host says that has just left the address.
const (
	probes = 3
	apart  = 350 * time.Millisecond
	enough = 2
)

// Taken asks on the links for machines that have one of these addresses already (RFC 5227 2.1, RFC 4862 5.4) and gives the MAC that answers
// for it. It takes a second. Whoever answers for others doesn't count, as hosts do for their containers: which of them has an address is
// the orchestrator's to say, and the next may have it before the last has left it.
func Taken(ctx context.Context, want map[netip.Addr]Link) (map[netip.Addr]net.HardwareAddr, error) {
	var asked []question
	var fds []unix.PollFd
	defer func() {
		for _, p := range fds {
			unix.Close(int(p.Fd))
		}
	}()
	var errs []error
	for a, l := range want {
		i := slices.IndexFunc(asked, func(q question) bool { return q.link.Index == l.Index && q.six == a.Is6() })
		switch {
		case len(l.MAC) != 6: // a link without neighbours
		case i >= 0:
			asked[i].addrs = append(asked[i].addrs, a)
		default:
			fd, err := ear(l, a.Is6())
			if err != nil {
				errs = append(errs, fmt.Errorf("ask on %s who has %s: %v", l.Name, a, err))
				continue
			}
			asked, fds = append(asked, question{l, a.Is6(), []netip.Addr{a}}), append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	if len(asked) == 0 {
		return nil, errors.Join(errs...)
	}
	heard, by := map[netip.Addr]int{}, map[netip.Addr]net.HardwareAddr{}
	frame := make([]byte, 128)
	hear := func(fd int, q question) {
		for range 1000 { // not for as long as a neighbour floods
			n, err := unix.Read(fd, frame)
			if err != nil {
				return // there is none
			}
			if a, mac, ok := answer(frame[:n]); ok && slices.Contains(q.addrs, a) && !bytes.Equal(mac, q.link.MAC) {
				if heard[a]++; heard[a] >= enough {
					by[a] = mac
				}
			}
		}
	}
	for range probes {
		for i, q := range asked {
			errs = append(errs, q.send(int(fds[i].Fd)))
		}
		for end, left := time.Now().Add(apart), apart; left > 0 && ctx.Err() == nil; {
			left = time.Until(end)                               // a machine that stood still hears what came meanwhile
			unix.Poll(fds, int(max(left, 0)/time.Millisecond)+1) // what ends it early is read below
			for i, q := range asked {
				hear(int(fds[i].Fd), q)
			}
		}
	}
	return by, errors.Join(errs...)
}

// question is what is asked on one link.
type question struct {
	link  Link
	six   bool
	addrs []netip.Addr
}

func (q question) send(fd int) error {
	for _, a := range q.addrs {
		frame := probe(a, q.link.MAC)
		if q.six {
			frame = solicitation(a, q.link.MAC)
		}
		if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: q.link.Index, Halen: 6}); err != nil {
			return fmt.Errorf("ask on %s who has %s: %v", q.link.Name, a, err)
		}
	}
	return nil
}

// ear hears the ARP of a link, or its neighbour advertisements and nothing else of what comes by IPv6.
func ear(l Link, six bool) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	kind := uint16(unix.ETH_P_ARP)
	if six {
		kind = unix.ETH_P_IPV6
		only := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: nextHeader},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.IPPROTO_ICMPV6},
			{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: icmp},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: advertisement},
			{Code: unix.BPF_RET | unix.BPF_K, K: 128},
			{Code: unix.BPF_RET | unix.BPF_K},
		}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(only)), Filter: &only[0]})
	}
	if err == nil {
		wire := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, kind))
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: wire, Ifindex: l.Index})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Where things are in a frame of IPv6 without other headers.
const (
	nextHeader    = 14 + 6
	icmp          = 14 + 40
	advertisement = 136
	solicit       = 135
	override      = 0x20 // RFC 4861 4.4; one that answers for another leaves it out (7.2.8)
)

// answer is what a frame says of who has which address; ok: it says so.
func answer(f []byte) (a netip.Addr, mac net.HardwareAddr, ok bool) {
	switch {
	case len(f) >= 14+28 && bytes.Equal(f[12:22], []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 2}): // an ARP reply
		return netip.AddrFrom4([4]byte(f[28:32])), slices.Clone(f[22:28]), true
	case len(f) >= icmp+24 && binary.BigEndian.Uint16(f[12:]) == unix.ETH_P_IPV6 && f[nextHeader] == unix.IPPROTO_ICMPV6 &&
		f[nextHeader+1] == 255 && f[icmp] == advertisement && f[icmp+4]&override != 0:
		return netip.AddrFrom16([16]byte(f[icmp+8 : icmp+24])), slices.Clone(f[6:12]), true
	}
	return a, nil, false
}

// probe is an ARP probe (RFC 5227 2.1.1): a request of one who has no address yet.
func probe(a netip.Addr, mac net.HardwareAddr) []byte {
	frame := ethernet(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, unix.ETH_P_ARP)
	frame = append(frame, 0, 1, 8, 0, 6, 4, 0, 1)
	return append(frame, slices.Concat(mac, make([]byte, 4+6), a.AsSlice())...)
}

// solicitation is a neighbour solicitation of one who has no address yet (RFC 4862 5.4.2).
func solicitation(a netip.Addr, mac net.HardwareAddr) []byte {
	raw := a.As16()
	group := netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: raw[13], 14: raw[14], 15: raw[15]})
	return icmp6(net.HardwareAddr{0x33, 0x33, 0xff, raw[13], raw[14], raw[15]}, mac, netip.IPv6Unspecified(), group,
		append([]byte{solicit, 0, 0, 0, 0, 0, 0, 0}, raw[:]...))
}
