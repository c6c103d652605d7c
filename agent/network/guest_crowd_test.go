//go:build guest

package network

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"hardnode.dev/agent/network/crowd"
	"hardnode.dev/agent/network/nft"
	"hardnode.dev/internal/wire/host"
)

// TestConnectionsOfOne: a container that has as many connections as one may gets no more, neither by making nor by taking them, before one
// of these has ended; its neighbour does. A change of the rules forgets none, and a stream of datagrams that nobody answers is one.
func TestConnectionsOfOne(t *testing.T) {
	m, world := machine{newNS(t), New(nil, slog.New(slog.NewTextHandler(t.Output(), nil)))}, newNS(t)
	uplink(t, m.ns, world)
	web := Endpoint{CTID: 300, IPv4: a("10.96.0.10"), IPv6: a("fd48:4e00::10"),
		Public: []netip.Addr{a("203.0.113.100"), a("2001:db8::100")}}
	eve := Endpoint{CTID: 310, IPv4: a("10.96.0.11"), IPv6: a("fd48:4e00::11")}
	s := State{Role: host.RoleUser, Self: hostID(0), Addrs: []netip.Addr{a("203.0.113.2")}, Endpoints: []Endpoint{web, eve},
		Peers: &host.Peers{Version: 1, Range4: p("10.96.0.0/12"), Range6: p("fd48:4e00::/48")}}
	m.apply(t, s)
	nsWeb, nsEve := m.attach(t, web), m.attach(t, eve)
	m.apply(t, s)
	const most, all = 20, 50
	limits := crowd.Limits{One: most, All: all}
	must(t, in(t, m.ns, func() error { return crowd.Bound(limits, vethPrefix) }))
	echo(t, world, ":80")
	echo(t, nsWeb, ":80")
	open := func(from netns.NsHandle, addr string, wait time.Duration) (c net.Conn, err error) {
		err = in(t, from, func() (err error) { c, err = net.DialTimeout("tcp", addr, wait); return err })
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}
	over := func() (links []string) {
		must(t, in(t, m.ns, func() (err error) { links, err = crowd.Over(limits); return err }))
		return links
	}
	if got := over(); len(got) != 0 {
		t.Errorf("at first, %q have too many", got)
	}
	for _, way := range []struct {
		what        string
		from        netns.NsHandle
		four, other string
	}{{"making", nsWeb, "203.0.113.1:80", "[2001:db8::1]:80"}, {"taking", world, "203.0.113.100:80", "[2001:db8::100]:80"}} {
		var held []net.Conn
		for i := range most { // of both families together
			c, err := open(way.from, []string{way.four, way.other}[i%2], 10*time.Second)
			if err != nil {
				t.Fatalf("%s number %d: %v", way.what, i+1, err)
			}
			held = append(held, c)
		}
		for _, addr := range []string{way.four, way.other} {
			if _, err := open(way.from, addr, 300*time.Millisecond); err == nil {
				t.Errorf("%s: one more than %d, of %s", way.what, most, addr)
			}
		}
		must(t, in(t, m.ns, func() error { // rules change as neighbours come and go
			r, _ := rules(s)
			return nft.Program(r)
		}))
		if _, err := open(way.from, way.four, 300*time.Millisecond); err == nil {
			t.Errorf("%s: one more than %d once the rules were written anew", way.what, most)
		}
		for _, c := range held {
			if err := asks(c); err != nil {
				t.Errorf("%s: one that was open: %v", way.what, err)
			}
		}
		if got := over(); !slices.Equal(got, []string{"hv300"}) {
			t.Errorf("%s: %q have too many, want hv300", way.what, got)
		}
		if _, err := open(nsEve, "203.0.113.1:80", 10*time.Second); err != nil {
			t.Errorf("%s: its neighbour: %v", way.what, err)
		}
		for _, c := range held[:most/2] {
			c.Close()
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if _, err := open(way.from, way.four, time.Second); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%s: half of them are over, and no other may begin: %v", way.what, err)
			}
		}
	}
	e := &ear{heard: map[string]bool{}}
	hear(t, world, 9, e)
	var u net.Conn
	must(t, in(t, nsEve, func() (err error) { u, err = net.Dial("udp", "203.0.113.1:9"); return err }))
	defer u.Close()
	for i := 0; ; i++ {
		fmt.Fprintf(u, "<%d>", i)
		if i >= 10*most && e.has(fmt.Sprintf("<%d>", i-most)) { // on its way for as long as the next ones took
			break
		}
		if i > 500*most {
			t.Fatal("a stream of datagrams that nobody answers is held up")
		}
		time.Sleep(time.Millisecond)
	}
	if got := over(); slices.Contains(got, "hv310") {
		t.Errorf("%q have too many: a stream of datagrams counts as many", got)
	}
}

// TestConnectionsOfAll: containers that have as many connections as all together may get no more, neither by making nor by taking them,
// though none of them has too many; their host does.
func TestConnectionsOfAll(t *testing.T) {
	m, world := machine{newNS(t), New(nil, slog.New(slog.NewTextHandler(t.Output(), nil)))}, newNS(t)
	uplink(t, m.ns, world)
	web := Endpoint{CTID: 300, IPv4: a("10.96.0.10"), Public: []netip.Addr{a("203.0.113.100")}}
	eve := Endpoint{CTID: 310, IPv4: a("10.96.0.11")}
	s := State{Role: host.RoleUser, Self: hostID(0), Addrs: []netip.Addr{a("203.0.113.2")}, Endpoints: []Endpoint{web, eve},
		Peers: &host.Peers{Version: 1, Range4: p("10.96.0.0/12")}}
	m.apply(t, s)
	nsWeb, nsEve := m.attach(t, web), m.attach(t, eve)
	m.apply(t, s)
	limits := crowd.Limits{One: 20, All: 30}
	must(t, in(t, m.ns, func() error { return crowd.Bound(limits, vethPrefix) }))
	echo(t, world, ":80")
	echo(t, nsWeb, ":80")
	open := func(from netns.NsHandle, addr string, wait time.Duration) (c net.Conn, err error) {
		err = in(t, from, func() (err error) { c, err = net.DialTimeout("tcp", addr, wait); return err })
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}
	var held []net.Conn
	for i := range limits.All {
		from, addr := nsEve, "203.0.113.1:80"
		if i%3 == 0 {
			from, addr = world, "203.0.113.100:80"
		}
		c, err := open(from, addr, 10*time.Second)
		if err != nil {
			t.Fatalf("number %d of all: %v", i+1, err)
		}
		held = append(held, c)
	}
	for what, way := range map[string]struct {
		from netns.NsHandle
		addr string
	}{"making": {nsWeb, "203.0.113.1:80"}, "taking": {world, "203.0.113.100:80"}} {
		if _, err := open(way.from, way.addr, 300*time.Millisecond); err == nil {
			t.Errorf("%s: one more than %d", what, limits.All)
		}
	}
	if _, err := open(m.ns, "203.0.113.1:80", 10*time.Second); err != nil {
		t.Errorf("the host itself: %v", err)
	}
	for _, c := range held[:limits.All/2] {
		c.Close()
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := open(nsWeb, "203.0.113.1:80", time.Second); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatalf("half of them are over, and no other may begin: %v", err)
		}
	}
}
