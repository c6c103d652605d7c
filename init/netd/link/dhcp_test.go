package link

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"hardnode.dev/internal/wire/boot"
)

// patience is how long these tests wait for what must come: leases are 20 s at least.
const patience = 90 * time.Second

// within runs f on a thread of its own in a network namespace; a new one if ns is nil. The thread ends with f.
func within(ns *netns.NsHandle, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := func() error {
			if ns != nil && ns.IsOpen() {
				return netns.Set(*ns)
			}
			h, err := netns.New()
			if ns != nil {
				*ns = h
			}
			return err
		}()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// wire is a host and a DHCP server, each in a namespace of its own, joined by a cable. It needs root.
type wire struct {
	host, server netns.NsHandle
	resolvConf   string
	set          *Set

	mu       sync.Mutex
	said     []string // what the client asked, in order
	answer   func(m *dhcpv4.DHCPv4) []dhcpv4.Modifier
	silent   bool
	nak      bool
	newEvent chan struct{}
}

func newWire(t *testing.T, answer func(m *dhcpv4.DHCPv4) []dhcpv4.Modifier) *wire {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	w := &wire{host: netns.None(), server: netns.None(), resolvConf: filepath.Join(t.TempDir(), "resolv.conf"), answer: answer,
		newEvent: make(chan struct{}, 100)}
	up := func(l netlink.Link, err error) error {
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		return err
	}
	err := within(&w.server, func() error { return up(netlink.LinkByName("lo")) })
	if err != nil {
		t.Skipf("no network namespace here: %v", err)
	}
	err = within(&w.host, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "c0"
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "s0", PeerNamespace: netlink.NsFd(w.server)}); err != nil {
			return err
		}
		return up(netlink.LinkByName("c0"))
	})
	if err != nil {
		t.Skipf("no cable between namespaces here: %v", err)
	}
	t.Cleanup(func() { w.host.Close(); w.server.Close() })
	var s *server4.Server
	if err := within(&w.server, func() error {
		l, err := netlink.LinkByName("s0")
		if err := up(l, err); err != nil {
			return err
		}
		for _, p := range []string{"203.0.113.1/32", "10.0.2.1/24"} {
			if err := netlink.AddrReplace(l, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix(p))}); err != nil {
				return err
			}
		}
		back := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(netip.MustParsePrefix("203.0.113.7/32")), Scope: netlink.SCOPE_LINK}
		if err := netlink.RouteReplace(back); err != nil {
			return err
		}
		s, err = server4.NewServer("s0", &net.UDPAddr{IP: net.IPv4zero, Port: dhcpv4.ServerPort}, w.handle)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { s.Serve(); close(served) }()
	t.Cleanup(func() { s.Close(); <-served })
	w.run(t)
	return w
}

// run keeps the lease as netd does, until the test ends.
func (w *wire) run(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	w.set = &Set{Log: log, ResolvConf: w.resolvConf}
	plan := Plan{Card: Card{Name: "c0"}, Link: boot.Link{Name: "c0", DHCP: true}, Underlay: true, Metric: 100}
	w.set.mu.plans = []Plan{plan}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- within(&w.host, func() error { return w.set.Lease(ctx, plan) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// handle is the server: it notes what it was asked, and how, and answers as it is told to.
func (w *wire) handle(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
	how := m.MessageType().String()
	if ip := m.ClientIPAddr; !ip.IsUnspecified() {
		how += " for " + ip.String() + " from " + strings.Split(peer.String(), ":")[0]
	}
	w.mu.Lock()
	w.said = append(w.said, how)
	silent, nak, answer := w.silent, w.nak, w.answer
	w.mu.Unlock()
	select {
	case w.newEvent <- struct{}{}:
	default:
	}
	if silent {
		return
	}
	kind := dhcpv4.MessageTypeAck
	switch {
	case m.MessageType() == dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case nak && !m.ClientIPAddr.IsUnspecified():
		kind = dhcpv4.MessageTypeNak
	}
	mods := []dhcpv4.Modifier{dhcpv4.WithMessageType(kind)}
	if kind != dhcpv4.MessageTypeNak {
		mods = append(mods, answer(m)...)
	} else { // goes to all (RFC 2131 4.1)
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 2, 1))))
		peer = &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort}
	}
	if r, err := dhcpv4.NewReplyFromRequest(m, mods...); err == nil {
		conn.WriteTo(r.ToBytes(), peer)
	}
}

func (w *wire) set1(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *wire) heard() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.said)
}

// state is the host's IPv4 addresses and routes of c0, as text.
func (w *wire) state(t *testing.T) string {
	t.Helper()
	var out []string
	err := within(&w.host, func() error {
		l, err := netlink.LinkByName("c0")
		if err != nil {
			return err
		}
		as, err := netlink.AddrList(l, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, a := range as {
			out = append(out, a.IPNet.String())
		}
		rs, err := netlink.RouteList(l, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		var routes []string
		for _, r := range rs {
			if r.Protocol == 2 { // the kernel's own, of the subnet
				continue
			}
			text := r.Dst.String()
			if r.Gw != nil {
				text += " by " + r.Gw.String()
			}
			routes = append(routes, fmt.Sprintf("%s %s", text, r.Scope))
		}
		slices.Sort(routes)
		out = append(out, routes...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, ", ")
}

// await waits until the state is as wanted.
func (w *wire) await(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got := w.state(t)
		if got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: got %q, want %q; the server heard %q", patience, got, want, w.heard())
		}
	}
}

// hears waits until the server has heard what is wanted after the first n messages; it returns how many it has heard then.
func (w *wire) hears(t *testing.T, n int, want string) int {
	t.Helper()
	end := time.After(patience)
	for {
		if said := w.heard(); n < len(said) {
			if at := slices.Index(said[n:], want); at >= 0 {
				return n + at + 1
			}
		}
		select {
		case <-w.newEvent:
		case <-end:
			t.Fatalf("after %s: the server heard %q, want %q after the first %d", patience, w.heard(), want, n)
		}
	}
}

func (w *wire) resolvers(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got, _ := os.ReadFile(w.resolvConf)
		if strings.Contains(string(got), want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: resolv.conf is %q, want %q in it", patience, got, want)
		}
	}
}

func lease24(seconds uint32, more ...dhcpv4.Modifier) func(*dhcpv4.DHCPv4) []dhcpv4.Modifier {
	return func(*dhcpv4.DHCPv4) []dhcpv4.Modifier {
		return append([]dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 15)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
			dhcpv4.WithServerIP(net.IPv4(10, 0, 2, 1)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 2, 1))),
			dhcpv4.WithRouter(net.IPv4(10, 0, 2, 1)), dhcpv4.WithLeaseTime(seconds)}, more...)
	}
}

func number(code dhcpv4.OptionCode, seconds byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptGeneric(code, []byte{0, 0, 0, seconds}))
}

// TestLeaseOfOneAddress: a /32 and a router outside it, as cloud providers give them.
func TestLeaseOfOneAddress(t *testing.T) {
	t.Parallel()
	w := newWire(t, func(*dhcpv4.DHCPv4) []dhcpv4.Modifier {
		return []dhcpv4.Modifier{dhcpv4.WithYourIP(net.IPv4(203, 0, 113, 7)), dhcpv4.WithNetmask(net.CIDRMask(32, 32)),
			dhcpv4.WithRouter(net.IPv4(203, 0, 113, 1)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(203, 0, 113, 1))),
			dhcpv4.WithDNS(net.IPv4(203, 0, 113, 53)), dhcpv4.WithLeaseTime(3600)}
	})
	w.await(t, "203.0.113.7/32, 0.0.0.0/0 by 203.0.113.1 universe, 203.0.113.1/32 link")
	w.resolvers(t, "nameserver 203.0.113.53\n")
	if st := w.set; st.mu.problems["c0"] != "" {
		t.Errorf("problem: %s", st.mu.problems["c0"])
	}
}

// TestClasslessRoutes: option 121 is asked for before 3, and instead of it (RFC 3442).
func TestClasslessRoutes(t *testing.T) {
	t.Parallel()
	routes := []byte{24, 192, 0, 2, 10, 0, 2, 3, 0, 10, 0, 2, 4, 32, 169, 254, 169, 254, 0, 0, 0, 0}
	var asked []byte
	var mu sync.Mutex
	w := newWire(t, func(m *dhcpv4.DHCPv4) []dhcpv4.Modifier {
		mu.Lock()
		asked = m.Options.Get(dhcpv4.OptionParameterRequestList)
		mu.Unlock()
		return lease24(3600, dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClasslessStaticRoute, routes)))(m)
	})
	w.await(t, "10.0.2.15/24, 0.0.0.0/0 by 10.0.2.4 universe, 169.254.169.254/32 link, 192.0.2.0/24 by 10.0.2.3 universe")
	mu.Lock()
	defer mu.Unlock()
	if c, r := slices.Index(asked, 121), slices.Index(asked, 3); c < 0 || r < c {
		t.Errorf("asked for options %v, want 121 before 3", asked)
	}
}

// TestRefusedRenewal: a server that refuses more time takes the address: it is gone at once, and another is asked for (RFC 2131 4.4.5).
func TestRefusedRenewal(t *testing.T) {
	t.Parallel()
	w := newWire(t, lease24(3600, number(dhcpv4.OptionRenewTimeValue, 5), number(dhcpv4.OptionRebindingTimeValue, 200)))
	w.await(t, "10.0.2.15/24, 0.0.0.0/0 by 10.0.2.1 universe")
	w.set1(func() {
		w.nak = true
		w.answer = lease24(3600, dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 16)))
	})
	n := w.hears(t, 2, "REQUEST for 10.0.2.15 from 10.0.2.15")
	w.hears(t, n, "DISCOVER")
	w.await(t, "10.0.2.16/24, 0.0.0.0/0 by 10.0.2.1 universe")
}

// TestSilentServer: its own server is asked at T1, all by broadcast at T2, and at the end the address is gone (RFC 2131 4.4.5). When a
// server speaks again there is a lease again.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	w := newWire(t, lease24(20, number(dhcpv4.OptionRenewTimeValue, 5), number(dhcpv4.OptionRebindingTimeValue, 9),
		dhcpv4.WithDNS(net.IPv4(10, 0, 2, 53))))
	w.await(t, "10.0.2.15/24, 0.0.0.0/0 by 10.0.2.1 universe")
	w.set1(func() { w.silent = true })
	n := w.hears(t, 2, "REQUEST for 10.0.2.15 from 10.0.2.15")
	n = w.hears(t, n, "REQUEST for 10.0.2.15 from 255.255.255.255")
	n = w.hears(t, n, "DISCOVER")
	w.await(t, "")
	w.resolvers(t, "options")
	if b, _ := os.ReadFile(w.resolvConf); strings.Contains(string(b), "10.0.2.53") {
		t.Errorf("a lease's name server outlives it: %q", b)
	}
	w.set1(func() { w.silent = false })
	w.hears(t, n, "REQUEST")
	w.await(t, "10.0.2.15/24, 0.0.0.0/0 by 10.0.2.1 universe")
}

// TestRebind: another server's answer at T2 keeps the address.
func TestRebind(t *testing.T) {
	t.Parallel()
	w := newWire(t, lease24(60, number(dhcpv4.OptionRenewTimeValue, 5), number(dhcpv4.OptionRebindingTimeValue, 8)))
	w.await(t, "10.0.2.15/24, 0.0.0.0/0 by 10.0.2.1 universe")
	w.set1(func() { w.silent = true })
	n := w.hears(t, 2, "REQUEST for 10.0.2.15 from 10.0.2.15")
	w.set1(func() {
		w.silent = false
		first := w.answer
		w.answer = func(m *dhcpv4.DHCPv4) []dhcpv4.Modifier {
			return append(first(m), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(203, 0, 113, 1))),
				dhcpv4.WithDNS(net.IPv4(10, 0, 2, 54)))
		}
	})
	w.hears(t, n, "REQUEST for 10.0.2.15 from 255.255.255.255")
	w.resolvers(t, "10.0.2.54")
	if got := w.state(t); got != "10.0.2.15/24, 0.0.0.0/0 by 10.0.2.1 universe" {
		t.Errorf("got %q", got)
	}
	if slices.Contains(w.heard()[2:], "DISCOVER") {
		t.Errorf("the server heard %q: a lease that was rebound was asked for anew", w.heard())
	}
}
