package nameserver

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/testkit/ports"
	wire "hardnode.dev/internal/wire/zone"
)

// served is a server of a zone, which the test may change.
func served(t *testing.T, w *wire.Zone) (addr string, now *atomic.Pointer[wire.Zone]) {
	t.Helper()
	now = &atomic.Pointer[wire.Zone]{}
	now.Store(w)
	at, err := Listen(ports.Own(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&Server{Zone: now.Load}).Serve(ctx, at) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
	return at.TCP.Addr().String(), now
}

// TestServed: the library's client asks over UDP, over TCP, and over TCP after a short answer; another zone is in force at once.
func TestServed(t *testing.T) {
	addr, now := served(t, told(3000))
	ask := func(network string, m *dns.Msg) *dns.Msg {
		t.Helper()
		got, _, err := (&dns.Client{Net: network, Timeout: time.Minute}).Exchange(m, addr)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := summary(ask(network, question("hello.paas.example.", dns.TypeA))); got != "NOERROR aa 1" {
			t.Errorf("over %s: %s", network, got)
		}
	}
	long := question("long.paas.example.", dns.TypeTXT)
	if got := summary(ask("udp", long)); got != "NOERROR aa tc 0" {
		t.Errorf("a long answer over UDP: %s", got)
	}
	if got := summary(ask("tcp", long)); got != "NOERROR aa 30" {
		t.Errorf("a long answer over TCP: %s", got)
	}
	now.Store(nil)
	if got := summary(ask("udp", question("hello.paas.example.", dns.TypeA))); got != "REFUSED 0" {
		t.Errorf("without a zone: %s", got)
	}
	other := told(0)
	other.Domain = "other.example"
	other.Servers[0].Name = "ns1.other.example"
	now.Store(other)
	if got := summary(ask("tcp", question("hello.other.example.", dns.TypeA))); got != "NOERROR aa 1" {
		t.Errorf("of another zone: %s", got)
	}
}

// TestConnections: one client has so many connections, and another is let in beside it; what is no query ends a connection.
func TestConnections(t *testing.T) {
	addr, _ := served(t, told(0))
	open := func(from string) net.Conn {
		t.Helper()
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	answers := func(c net.Conn) bool {
		raw := packed(t, question("hello.paas.example.", dns.TypeA))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)); err != nil {
			return false
		}
		c.SetReadDeadline(time.Now().Add(time.Minute))
		_, err := (&dns.Conn{Conn: c}).ReadMsg()
		return err == nil
	}
	var first net.Conn
	for i := range MaxEach {
		c := open("127.0.0.1")
		if !answers(c) {
			t.Fatalf("connection %d is not answered", i+1)
		}
		if first == nil {
			first = c
		}
	}
	if c, err := net.Dial("tcp", addr); err == nil { // it may be closed before it is known to be open
		if answers(c) {
			t.Error("one more is answered")
		}
		c.Close()
	}
	if !answers(open("127.0.0.2")) {
		t.Error("another client is not answered")
	}
	if !answers(first) {
		t.Error("a connection is not answered a second time")
	}
	bad := open("127.0.0.3")
	if _, err := bad.Write([]byte{0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	bad.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := bad.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("what is no query is answered")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("what is no query does not end the connection")
	}
}

// TestRates: of one network so much is answered, then one in two is told to ask over TCP; others are answered meanwhile; it is answered
// again later; all together have a bound.
func TestRates(t *testing.T) {
	var r rates
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	count := func(from string, n int) (got [3]int) {
		for range n {
			got[r.judge(netip.MustParseAddr(from), now)]++
		}
		return got
	}
	if got := count("198.51.100.7", burst); got != [3]int{burst, 0, 0} {
		t.Errorf("at first: %v", got)
	}
	if got := count("198.51.100.8", 100); got != [3]int{0, 50, 50} {
		t.Errorf("of the same network: %v", got)
	}
	if got := count("2001:db8:1:2::1", 10); got != [3]int{10, 0, 0} {
		t.Errorf("of another network: %v", got)
	}
	now = now.Add(time.Second)
	if got := count("198.51.100.9", burst); got[answered] != perSecond {
		t.Errorf("a second later: %v", got)
	}
	if got := count("::ffff:198.51.100.9", 2); got[answered] != 0 {
		t.Errorf("written as IPv6: %v", got)
	}
	now = now.Add(-time.Hour)
	if got := count("198.51.100.9", 2); got[answered] != 0 {
		t.Errorf("after the clock went back: %v", got)
	}
	var all rates
	for i := range allSecond {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		all.judge(a, now)
	}
	if got := all.judge(netip.MustParseAddr("192.0.2.1"), now); got != dropped {
		t.Errorf("when all have asked for too much: %v", got)
	}
}

// TestCut: the answer to who asks too much says that there is one over TCP, and is no longer than the question.
func TestCut(t *testing.T) {
	for _, m := range []*dns.Msg{question("long.paas.example.", dns.TypeTXT),
		changed(question("hello.paas.example.", dns.TypeA), func(m *dns.Msg) { m.SetEdns0(4096, true) })} {
		raw := packed(t, m)
		var got dns.Msg
		out := cut(raw)
		if err := got.Unpack(out); err != nil || !got.Truncated || !got.Response || len(got.Answer) != 0 || len(out) > len(raw) ||
			got.Id != m.Id {
			t.Errorf("got %v, %v", &got, err)
		}
	}
	if cut([]byte("no packet of the DNS")) != nil {
		t.Error("what can't be read is answered")
	}
}
