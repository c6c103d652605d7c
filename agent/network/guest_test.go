//go:build guest

package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"hardnode.dev/agent/names"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// within a network namespace: f runs on a thread of its own that ends with it.
func in(t *testing.T, ns netns.NsHandle, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread is spoilt
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newNS(t *testing.T) netns.NsHandle {
	t.Helper()
	ch := make(chan netns.NsHandle, 1)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.New()
		if err != nil {
			t.Error(err)
		}
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			t.Error(err)
		}
		ch <- ns
	}()
	return <-ch
}

// accept has talk answer every TCP connection at addr in ns, and closes it then; until the test's end, or stop.
func accept(t *testing.T, ns netns.NsHandle, addr string, talk func(net.Conn)) (stop func() error) {
	t.Helper()
	var l net.Listener
	must(t, in(t, ns, func() (err error) { l, err = net.Listen("tcp", addr); return err }))
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c)
			}()
		}
	}()
	return l.Close
}

// serve answers every TCP connection at addr in ns with the caller's address.
func serve(t *testing.T, ns netns.NsHandle, addr string) {
	t.Helper()
	accept(t, ns, addr, func(c net.Conn) { fmt.Fprint(c, c.RemoteAddr().(*net.TCPAddr).IP) })
}

// call says whom the server at addr saw when called from ns.
func call(t *testing.T, ns netns.NsHandle, local, addr string, wait time.Duration) (seen string, err error) {
	t.Helper()
	err = in(t, ns, func() error {
		d := net.Dialer{Timeout: wait}
		if local != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
		}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(wait))
		b, err := io.ReadAll(c)
		seen = string(b)
		return err
	})
	return seen, err
}

// machine is one host: a namespace with this package at work in it.
type machine struct {
	ns  netns.NsHandle
	net *Network
}

func (m machine) apply(t *testing.T, s State) {
	t.Helper()
	must(t, in(t, m.ns, func() error { return m.net.Apply(context.Background(), s) }))
}

func (m machine) attach(t *testing.T, e Endpoint) netns.NsHandle {
	t.Helper()
	ns := newNS(t)
	dup, err := unix.Dup(int(ns))
	must(t, err)
	f := os.NewFile(uintptr(dup), "netns")
	defer f.Close()
	must(t, in(t, m.ns, func() error {
		_, err := m.net.Attach(context.Background(), e, f)
		return err
	}))
	return ns
}

func TestNetwork(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	root, err := netns.Get()
	must(t, err)
	a1, b1 := machine{root, New(nil, log)}, machine{newNS(t), New(nil, log)}
	underlay(t, a1.ns, b1.ns)

	peers := &host.Peers{Version: 1, Range4: p("10.96.0.0/12"), Range6: p("fd48:4e00::/48"),
		Hosts: []host.Peer{
			{ID: "h-000000000000", Name: "infra", Underlay: a("10.77.0.2"), Addrs: []netip.Addr{a("192.0.2.2")},
				Blocks: []netip.Prefix{p("10.96.0.0/24"), p("fd48:4e00::/64")}},
			{ID: "h-000000000001", Name: "host-1", Underlay: a("10.77.0.11"), Blocks: []netip.Prefix{p("10.96.1.0/24"),
				p("fd48:4e00:0:1::/64"), p("10.96.7.0/24")}, Moved: []netip.Prefix{p("10.96.7.0/24")}},
		},
		Groups: []host.Group{{Name: "jelastic", Addrs: []netip.Addr{a("10.96.0.13"), a("10.96.0.14")}},
			{Name: "acme", Addrs: []netip.Addr{a("10.96.0.50"), a("10.96.1.10"), a("10.96.7.10"), a("fd48:4e00::32"), a("fd48:4e00:0:1::a"),
				a("fd48:4e00:0:1::10a")}},
			{Name: "other", Addrs: []netip.Addr{a("10.96.1.11")}}}}
	api := Endpoint{CTID: 3, IPv4: a("10.96.0.13"),
		Publish: []host.Port{{Proto: "tcp", Host: 7443, Container: 7443}, {Proto: "tcp", Host: 7445, Container: 7443}}}
	acmeA := Endpoint{CTID: 150, IPv4: a("10.96.0.50"), IPv6: a("fd48:4e00::32")}
	acmeB := Endpoint{CTID: 110, IPv4: a("10.96.1.10"), IPv6: a("fd48:4e00:0:1::a")}
	otherB := Endpoint{CTID: 111, IPv4: a("10.96.1.11")}
	moreB := Endpoint{CTID: 112, IPv4: a("10.96.7.10"), IPv6: a("fd48:4e00:0:1::10a")} // in its host's second block
	sa := State{Role: host.RoleInfra, Self: "h-000000000000", Addrs: []netip.Addr{a("10.77.0.2"), a("192.0.2.2")}, Peers: peers,
		Endpoints: []Endpoint{api, acmeA}}
	sb := State{Role: host.RoleUser, Self: "h-000000000001", Addrs: []netip.Addr{a("10.77.0.11")}, Peers: peers,
		Endpoints: []Endpoint{acmeB, otherB, moreB}}
	a1.apply(t, sa)
	b1.apply(t, sb)
	peers.Hosts[0].MeshKey, peers.Hosts[1].MeshKey = a1.net.MeshKey(), b1.net.MeshKey()
	if peers.Hosts[0].MeshKey == "" || peers.Hosts[0].MeshKey == peers.Hosts[1].MeshKey {
		t.Fatal("the hosts have no mesh keys of their own")
	}
	a1.apply(t, sa)
	b1.apply(t, sb)
	nsAPI, nsAcmeA, nsAcmeB, nsOther, nsMore := a1.attach(t, api), a1.attach(t, acmeA), b1.attach(t, acmeB), b1.attach(t, otherB),
		b1.attach(t, moreB)

	serve(t, nsAPI, ":7443")
	serve(t, nsAcmeA, ":80")
	serve(t, nsAcmeB, ":80")
	serve(t, nsOther, ":80")
	serve(t, nsMore, ":80")
	serve(t, a1.ns, ":9999") // something of the host that nobody opened

	tests := []struct {
		name        string
		from        netns.NsHandle
		local, addr string
		want        string // whom the server sees; "" must not connect
	}{
		{"same group over the mesh", nsAcmeA, "", "10.96.1.10:80", "10.96.0.50"},
		{"same group over the mesh, IPv6", nsAcmeA, "", "[fd48:4e00:0:1::a]:80", "fd48:4e00::32"},
		{"and back", nsAcmeB, "", "10.96.0.50:80", "10.96.1.10"},
		{"a second block over the mesh", nsAcmeA, "", "10.96.7.10:80", "10.96.0.50"},
		{"a second block over the mesh, IPv6", nsAcmeA, "", "[fd48:4e00:0:1::10a]:80", "fd48:4e00::32"},
		{"from a second block", nsMore, "", "10.96.0.50:80", "10.96.7.10"},
		{"between two blocks of a host", nsMore, "", "10.96.1.10:80", "10.96.7.10"},
		{"the platform reaches a second block", nsAPI, "", "10.96.7.10:80", "10.96.0.13"},
		{"other group, a second block", nsOther, "", "10.96.7.10:80", ""},
		{"a published port from a second block", nsMore, "", "10.77.0.2:7443", "10.77.0.11"},
		{"other group, same host", nsOther, "", "10.96.1.10:80", ""},
		{"other group, other host", nsOther, "", "10.96.0.50:80", ""},
		{"the platform reaches a node over the mesh", nsAPI, "", "10.96.1.11:80", "10.96.0.13"},
		{"a node does not reach the platform inside", nsAcmeA, "", "10.96.0.13:7443", ""},
		{"published port from another host", b1.ns, "", "10.77.0.2:7443", "10.77.0.11"},
		{"published port from the host itself", a1.ns, "", "10.77.0.2:7443", "10.77.0.2"},
		{"published port from a container on another host", nsAcmeB, "", "10.77.0.2:7443", "10.77.0.11"},
		{"published port from a container beside it", nsAcmeA, "", "10.77.0.2:7443", "10.96.0.50"},
		{"published port from its own container", nsAPI, "", "10.77.0.2:7443", "169.254.1.1"},
		{"unopened port of a host from a host", b1.ns, "", "10.77.0.2:9999", ""},
		{"unopened port of the own host from a container", nsAcmeA, "", "169.254.1.1:9999", ""},
		{"unopened port of another host from a container", nsAcmeB, "", "10.77.0.2:9999", ""},
		{"a published port that is not for containers", nsAcmeB, "", "10.77.0.2:7445", ""},
		{"that port at the host's other address", nsAcmeB, "", "192.0.2.2:7445", ""},
		{"from a host it is open there", b1.ns, "", "192.0.2.2:7445", "192.0.2.11"},
		{"what the cluster offers, at the host's other address", nsAcmeB, "", "192.0.2.2:7443", "192.0.2.11"},
		{"the agent's check of a container", b1.ns, "", "10.96.1.10:80", "169.254.1.1"},
		{"a host does not reach another host's container by its own address", b1.ns, "10.77.0.11", "10.96.0.50:80", ""},
		{"spoofed source", nsOther, "10.96.1.10", "10.96.0.50:80", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.local == "10.96.1.10" { // the attacker gives itself its neighbour's address
				must(t, in(t, tt.from, func() error {
					l, err := netlink.LinkByName("eth0")
					if err != nil {
						return err
					}
					return addAddr(nil, l, p("10.96.1.10/32"))
				}))
			}
			wait := 10 * time.Second
			if tt.want == "" {
				wait = 700 * time.Millisecond
			}
			got, err := call(t, tt.from, tt.local, tt.addr, wait)
			switch {
			case tt.want == "" && err == nil:
				t.Errorf("connected, and was seen as %s", got)
			case tt.want != "" && (err != nil || got != tt.want):
				t.Errorf("got %q, %v; want to be seen as %s", got, err, tt.want)
			}
		})
	}
	t.Run("dns", func(t *testing.T) { testDNS(t, b1, *peers, nsAcmeB) })
	t.Run("dns in a second block", func(t *testing.T) { testDNS(t, b1, *peers, nsMore) })
	t.Run("idempotent", func(t *testing.T) { testIdempotent(t, a1, sa, nsAcmeA) })
	t.Run("repair", func(t *testing.T) { testRepair(t, b1, sb, acmeB, nsAcmeB, nsAcmeA) })
	t.Run("leftovers", func(t *testing.T) { testLeftovers(t, a1, sa, nsAcmeA) })
	t.Run("beside", func(t *testing.T) { testBeside(t, a1, b1, sa) })
}

// testBeside: published ports lead from a component to what runs beside it and back without one connection or packet lost, those that are
// open stay where they are, and nodes elsewhere see the component's address.
func testBeside(t *testing.T, at, from machine, s State) {
	publish := []host.Port{{Proto: "tcp", Host: 80, Container: 80}, {Proto: "udp", Host: 5300, Container: 53}}
	own := Endpoint{CTID: 4, IPv4: a("10.96.0.14")}
	beside := Endpoint{CTID: 54, IPv4: a("10.96.0.64"), As4: own.IPv4}
	s.Jelastic = []netip.Addr{a("10.96.0.13"), own.IPv4, beside.IPv4}
	lead := func(to *Endpoint) {
		own.Publish, beside.Publish = nil, nil
		to.Publish = publish
		with := s
		with.Endpoints = []Endpoint{s.Endpoints[0], own, beside} // those of others are gone
		at.apply(t, with)
	}
	lead(&own)
	nsOwn, nsBeside := at.attach(t, own), at.attach(t, beside)
	named(t, nsOwn, "own")
	named(t, nsBeside, "beside")
	ask := func(network, addr string) (string, error) {
		b := make([]byte, 20)
		n := 0
		err := in(t, from.ns, func() error {
			c, err := net.DialTimeout(network, addr, 10*time.Second)
			if err != nil {
				return err
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err = c.Write([]byte("?")); err == nil {
				n, err = c.Read(b)
			}
			return err
		})
		return string(b[:n]), err
	}
	var open net.Conn
	must(t, in(t, from.ns, func() (err error) { open, err = net.Dial("tcp", "10.77.0.2:80"); return err }))
	defer open.Close()
	ctx, stop := context.WithCancel(t.Context())
	lost, asked := make(chan error, 1000), make(chan int, 2)
	for network, addr := range map[string]string{"tcp": "10.77.0.2:80", "udp": "10.77.0.2:5300"} {
		go func() {
			n := 0
			for ; ctx.Err() == nil; n++ {
				if _, err := ask(network, addr); err != nil {
					lost <- fmt.Errorf("%s: %w", network, err)
				}
			}
			asked <- n
		}()
	}
	for range 10 {
		for to, e := range map[string]*Endpoint{"own": &own, "beside": &beside} {
			lead(e)
			for network, addr := range map[string]string{"tcp": "10.77.0.2:80", "udp": "10.77.0.2:5300"} {
				if got, err := ask(network, addr); err != nil || got != to {
					t.Errorf("%s led to %s: %q answers, %v", network, to, got, err)
				}
			}
		}
	}
	stop()
	t.Logf("%d and %d asked, %d lost", <-asked, <-asked, len(lost))
	for len(lost) > 0 {
		t.Error(<-lost)
	}
	b := make([]byte, 20)
	open.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := open.Write([]byte("?")); err != nil {
		t.Error(err)
	}
	if n, err := open.Read(b); err != nil || string(b[:n]) != "own" {
		t.Errorf("the connection that was open before: %q, %v", b[:n], err)
	}
	if seen, err := call(t, nsBeside, "", "10.96.1.11:80", 10*time.Second); err != nil || seen != "10.96.0.14" {
		t.Errorf("a node elsewhere sees %q, %v; want the component's address", seen, err)
	}
}

// named answers each packet at UDP port 53 and each line of TCP port 80 in ns with a name.
func named(t *testing.T, ns netns.NsHandle, name string) {
	t.Helper()
	accept(t, ns, ":80", func(c net.Conn) {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			io.WriteString(c, name)
		}
	})
	var p net.PacketConn
	must(t, in(t, ns, func() (err error) { p, err = net.ListenPacket("udp", ":53"); return err }))
	t.Cleanup(func() { p.Close() })
	go func() {
		for b := make([]byte, 20); ; {
			_, to, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			p.WriteTo([]byte(name), to)
		}
	}()
}

// underlay joins two hosts by a cable.
func underlay(t *testing.T, one, two netns.NsHandle) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "u0"
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "u0", PeerNamespace: netlink.NsFd(two)}))
	for ns, last := range map[netns.NsHandle]string{one: "2/24", two: "11/24"} {
		must(t, in(t, ns, func() error {
			l, err := netlink.LinkByName("u0")
			if err != nil {
				return err
			}
			return errors.Join(addAddr(nil, l, p("10.77.0."+last)), addAddr(nil, l, p("192.0.2."+last)), netlink.LinkSetUp(l))
		}))
	}
}

func testDNS(t *testing.T, m machine, peers host.Peers, from netns.NsHandle) {
	d := &names.Server{Addr: "169.254.1.1:53", Self: Gateway}
	peers.Names = []host.Name{{Name: "node110.hello.internal", Addrs: []netip.Addr{a("10.96.1.10")}}}
	d.Set(&peers)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go in(t, m.ns, func() error { return d.Run(ctx) })
	q := new(dns.Msg)
	q.SetQuestion("node110.hello.internal.", dns.TypeA)
	for _, network := range []string{"udp", "tcp"} {
		err := in(t, from, func() error {
			var err error
			for range 20 {
				c := dns.Client{Net: network, Timeout: time.Second}
				var r *dns.Msg
				if r, _, err = c.Exchange(q, "169.254.1.1:53"); err == nil && len(r.Answer) == 1 {
					return nil
				}
				time.Sleep(100 * time.Millisecond)
			}
			return fmt.Errorf("%s: no answer: %v", network, err)
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// testIdempotent applies the same state again: the ruleset stays the same object, and so do link and mesh key.
func testIdempotent(t *testing.T, m machine, s State, c netns.NsHandle) {
	key, began := m.net.MeshKey(), time.Now()
	for range 10 {
		m.apply(t, s)
	}
	t.Logf("apply without change: %s", time.Since(began)/10)
	again := New(nil, nil) // a restarted agent
	must(t, in(t, m.ns, func() error { return again.Apply(context.Background(), s) }))
	if again.MeshKey() != key {
		t.Error("a restarted agent made another mesh key in the same boot")
	}
	if got, err := call(t, c, "", "10.96.1.10:80", 5*time.Second); err != nil || got != "10.96.0.50" {
		t.Errorf("after a restarted agent's apply: got %q, %v", got, err)
	}
}

func testRepair(t *testing.T, m machine, s State, e Endpoint, ns, from netns.NsHandle) {
	must(t, in(t, m.ns, func() error { return detach(e.Link()) }))
	if _, err := call(t, from, "", "10.96.1.10:80", 500*time.Millisecond); err == nil {
		t.Fatal("a container without a veth answers")
	}
	open := func(wire.CTID) (*os.File, error) {
		dup, err := unix.Dup(int(ns))
		return os.NewFile(uintptr(dup), "netns"), err
	}
	must(t, in(t, m.ns, func() error { return m.net.Repair(e, open) }))
	m.apply(t, s)
	if got, err := call(t, from, "", "10.96.1.10:80", 10*time.Second); err != nil || got != "10.96.0.50" {
		t.Errorf("after the repair: got %q, %v", got, err)
	}
}

func testLeftovers(t *testing.T, m machine, s State, c netns.NsHandle) {
	must(t, in(t, m.ns, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "hv999"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "stray"})
	}))
	s.Endpoints = s.Endpoints[:1] // container 150 is gone
	m.apply(t, s)
	must(t, in(t, m.ns, func() error {
		have, err := veths()
		if err != nil || len(have) != 1 || !have["hv3"] {
			return fmt.Errorf("veths left: %v, %v; want hv3 only", have, err)
		}
		rs, err := ourRoutes()
		for r := range rs {
			if r.dst == p("10.96.0.50/32") {
				return fmt.Errorf("route %s is left", r)
			}
		}
		return err
	}))
}
