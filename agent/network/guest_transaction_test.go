//go:build guest

package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"testing"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
)

// newGeneration is the message that ends each transaction of nftables, NFT_MSG_NEWGEN (linux/netfilter/nf_tables.h) of its subsystem.
const newGeneration = unix.NFNL_SUBSYS_NFTABLES<<8 | 15

// monitor hears what nftables in a namespace says of its changes. The kernel has said it when it answers whoever made the change.
func monitor(t *testing.T, ns netns.NsHandle) (fd int) {
	t.Helper()
	must(t, in(t, ns, func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		return errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
			unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES))
	}))
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// transactions are how many a monitor heard of since it was asked last, and how many messages there were in all. That one was lost is an
// error: the kernel says so (ENOBUFS).
func transactions(t *testing.T, fd int) (ended, messages int) {
	t.Helper()
	for b := make([]byte, 1<<20); ; {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if errors.Is(err, unix.EAGAIN) {
			return ended, messages
		}
		must(t, err)
		list, err := syscall.ParseNetlinkMessage(b[:n])
		must(t, err)
		for _, m := range list {
			messages++
			if m.Header.Type == newGeneration {
				ended++
			}
		}
	}
}

// TestOneTransaction: whatever changes of a container's rules, or of all that a host has, is one transaction of the kernel's: no packet
// sees half of it. Where nothing changes there is none.
func TestOneTransaction(t *testing.T) {
	m := machine{newNS(t), New(nil, slog.New(slog.NewTextHandler(t.Output(), nil)))}
	web := Endpoint{CTID: 300, IPv4: a("10.96.0.10"), IPv6: a("fd48:4e00::10")}
	eve := Endpoint{CTID: 310, IPv4: a("10.96.0.11"), IPv6: a("fd48:4e00::11")}
	s := State{Role: host.RoleUser, Self: hostID(0), Addrs: []netip.Addr{a("10.78.0.2")}, Endpoints: []Endpoint{eve},
		Peers: &host.Peers{Version: 1, Range4: p("10.96.0.0/12"), Range6: p("fd48:4e00::/48")}}
	m.apply(t, s) // with the table that bounds connections, which is another one and stays
	fd := monitor(t, m.ns)
	rule := func(name string, action firewall.Action, peer string, ports ...firewall.Port) firewall.PacketRule {
		return firewall.PacketRule{Name: name, Direction: firewall.In, Action: action, Priority: 10, Protocol: firewall.TCP, Peer: peer,
			Ports: ports}
	}
	with := func(list ...firewall.PacketRule) Endpoint {
		must(t, firewall.Validate(list, firewall.MaxRules))
		e := web
		e.Firewall = firewall.Sort(list)
		return e
	}
	crowd := *s.Peers // more than one message has room for
	for i := range 2000 {
		high, low := byte(i>>8), byte(i)
		crowd.Groups = append(crowd.Groups, host.Group{Name: fmt.Sprint("group", i), Addrs: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 97, high, low}), netip.AddrFrom16([16]byte{0: 0xfd, 0x48, 0x4e, 14: high, low})}})
	}
	walled := with(rule("web", firewall.Allow, "", "80", "8000-8100"), rule("rest", firewall.Deny, ""))
	published := walled
	published.Publish = []host.Port{{Proto: "tcp", Host: 20080, Container: 80}, {Proto: "udp", Host: 20053, Container: 53}}
	handed := published
	handed.Sockets = []host.Socket{{Name: "dhcp", Link: "u0", Proto: "udp", Port: 67}}
	var list []firewall.PacketRule
	for i := range 25 {
		list = append(list, rule(fmt.Sprint("rule", i), firewall.Allow, "", firewall.Port(fmt.Sprint(1000+i))))
	}
	var full []Endpoint
	for i := range 40 {
		e := with(list...)
		e.CTID, e.IPv4, e.IPv6 = wire.CTID(400+i), netip.AddrFrom4([4]byte{10, 96, 1, byte(i)}), netip.Addr{}
		full = append(full, e)
	}
	for _, c := range []struct {
		what  string
		ends  []Endpoint
		peers *host.Peers
		want  int
	}{
		{"nothing", []Endpoint{eve}, s.Peers, 0},
		{"a container comes", []Endpoint{eve, web}, s.Peers, 1},
		{"it gets rules", []Endpoint{eve, walled}, s.Peers, 1},
		{"nothing, in another order", []Endpoint{walled, eve}, s.Peers, 0},
		{"its rules change", []Endpoint{eve, with(rule("web", firewall.Deny, "10.96.0.0/24", "80"), rule("rest", firewall.Allow, ""))},
			s.Peers, 1},
		{"its rules are the first again", []Endpoint{eve, walled}, s.Peers, 1},
		{"it gets published ports", []Endpoint{eve, published}, s.Peers, 1},
		{"it gets a socket", []Endpoint{eve, handed}, s.Peers, 1},
		{"2,000 groups come", []Endpoint{eve, handed}, &crowd, 1},
		{"2,000 groups go", []Endpoint{eve, handed}, s.Peers, 1},
		{"40 containers with 25 rules each come", append(full, handed), s.Peers, 1},
		{"they go", []Endpoint{eve, handed}, s.Peers, 1},
		{"its rules go", []Endpoint{eve, web}, s.Peers, 1},
		{"it goes", []Endpoint{eve}, s.Peers, 1},
	} {
		s.Endpoints, s.Peers = c.ends, c.peers
		m.apply(t, s)
		got, messages := transactions(t, fd)
		if got != c.want {
			t.Errorf("%s: %d transactions, want %d", c.what, got, c.want)
		}
		t.Logf("%s: %d transactions, %d messages", c.what, got, messages)
	}
	must(t, in(t, m.ns, func() error { return m.net.program(rules(State{Role: host.RoleInfra})) }))
	must(t, in(t, m.ns, func() error { return m.net.program(rules(State{Role: host.RoleUser})) }))
	if got, _ := transactions(t, fd); got != 2 {
		t.Errorf("of two changes, %d transactions are heard: this test sees nothing", got)
	}
}
