//go:build guest

package network

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"hardnode.dev/agent/network/rate"
	"hardnode.dev/internal/wire/host"
)

// stream sends from one namespace to an address of another for as long as the test runs, and counts what comes.
func stream(t *testing.T, from, to netns.NsHandle, addr string) *atomic.Int64 {
	t.Helper()
	var count atomic.Int64
	accept(t, to, addr, func(s net.Conn) {
		for b := make([]byte, 64<<10); ; {
			n, err := s.Read(b)
			count.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	var c net.Conn
	must(t, in(t, from, func() (err error) { c, err = net.DialTimeout("tcp", addr, 20*time.Second); return err }))
	t.Cleanup(func() { c.Close() })
	go io.Copy(c, zeros{})
	return &count
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestRates: what a container sends and receives in a second follows its limits while connections go on.
func TestRates(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/agent` does it")
	}
	m := machine{newNS(t), New(nil, slog.New(slog.NewTextHandler(t.Output(), nil)))}
	peers := &host.Peers{Version: 1, Range4: p("10.96.0.0/12"), Range6: p("fd48:4e00::/48"),
		Hosts: []host.Peer{{ID: "h-000000000001", Name: "host-1", Underlay: a("10.77.0.11"),
			Blocks: []netip.Prefix{p("10.96.1.0/24"), p("fd48:4e00:0:1::/64")}}},
		Groups: []host.Group{{Name: "acme", Addrs: []netip.Addr{a("10.96.1.10"), a("10.96.1.11"), a("fd48:4e00:0:1::a"),
			a("fd48:4e00:0:1::b")}}}}
	x := Endpoint{CTID: 110, IPv4: a("10.96.1.10"), IPv6: a("fd48:4e00:0:1::a")}
	y := Endpoint{CTID: 111, IPv4: a("10.96.1.11"), IPv6: a("fd48:4e00:0:1::b")}
	state := func(x, y rate.Rate) State {
		s := State{Role: host.RoleUser, Self: "h-000000000001", Addrs: []netip.Addr{a("10.77.0.11")}, Peers: peers,
			Endpoints: []Endpoint{{CTID: 110, IPv4: a("10.96.1.10"), IPv6: a("fd48:4e00:0:1::a"), Rate: x},
				{CTID: 111, IPv4: a("10.96.1.11"), IPv6: a("fd48:4e00:0:1::b"), Rate: y}}}
		return s
	}
	m.apply(t, state(rate.Rate{}, rate.Rate{}))
	nsX, nsY := m.attach(t, x), m.attach(t, y)
	got := stream(t, nsX, nsY, "10.96.1.11:5001")
	got6 := stream(t, nsX, nsY, "[fd48:4e00:0:1::b]:5002")
	measure := func() float64 { // bits a second
		wait := time.NewTimer(3 * time.Second)
		before, began := got.Load()+got6.Load(), time.Now()
		<-wait.C
		return 8 * float64(got.Load()+got6.Load()-before) / time.Since(began).Seconds()
	}
	free := measure()
	const limit = 16_000_000
	for _, c := range []struct {
		what string
		x, y rate.Rate
	}{{"what the receiver may receive", rate.Rate{}, rate.Rate{In: limit}},
		{"what the sender may send", rate.Rate{Out: limit}, rate.Rate{}},
		{"likewise, changed", rate.Rate{Out: limit / 2}, rate.Rate{}},
		{"both of both", rate.Rate{In: limit, Out: limit}, rate.Rate{In: limit, Out: limit}}} {
		began := time.Now()
		m.apply(t, state(c.x, c.y))
		took := time.Since(began)
		<-time.After(time.Second) // what was on its way, and TCP's learning
		bits, most := measure(), float64(limit)
		if c.x.Out == limit/2 {
			most /= 2
		}
		t.Logf("%s: %.1f Mbit/s of %.0f, set in %s; without a limit %.0f Mbit/s", c.what, bits/1e6, most/1e6,
			took.Round(time.Millisecond/10), free/1e6)
		if bits > 1.2*most || bits < 0.3*most || took > 3*time.Second {
			t.Errorf("%s: %.1f Mbit/s, set in %s", c.what, bits/1e6, took)
		}
		m.apply(t, state(c.x, c.y)) // nothing changes: nothing is set
	}
	m.apply(t, state(rate.Rate{}, rate.Rate{}))
	<-time.After(time.Second)
	if again := measure(); again < 3*limit && again < free/4 {
		t.Errorf("without limits again: %.1f Mbit/s, before %.1f", again/1e6, free/1e6)
	}
}
