//go:build guest

package network

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// TestFigures prints what TCP from a container to a container of another host gets through the mesh, beside plain WireGuard between the
// same two VMs: one of them runs this as side 0, which sends, the other one as side 1. Plain WireGuard has a card, and a network namespace
// without any rule, of its own.
func TestFigures(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv("HARDNODE_BENCH"))
	if err != nil {
		t.Skip("HARDNODE_BENCH, the number of runs, is not set")
	}
	side, err := strconv.Atoi(os.Getenv("SIDE"))
	must(t, err)
	other := 1 - side
	plain := newNS(t)
	card, err := netlink.LinkByName("eth1")
	must(t, err)
	must(t, netlink.LinkSetNsFd(card, int(plain)))
	up(t, "eth0", fmt.Sprintf("10.77.0.%d/24", 11+side))
	must(t, in(t, plain, func() error { up(t, "eth1", fmt.Sprintf("10.78.0.%d/24", 11+side)); return nil }))

	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	self := machine{must1(netns.Get())(t), New(nil, log)}
	peers := &host.Peers{Version: 1, Range4: p("10.96.0.0/12"), Range6: p("fd48:4e00::/48"),
		Groups: []host.Group{{Name: "acme", Addrs: []netip.Addr{a("10.96.0.10"), a("10.96.1.10")}}}}
	for i := range 2 {
		peers.Hosts = append(peers.Hosts, host.Peer{ID: wire.HostID(fmt.Sprintf("h-00000000000%d", i)), Name: fmt.Sprintf("host-%d", i),
			Underlay: a(fmt.Sprintf("10.77.0.%d", 11+i)), Blocks: []netip.Prefix{p(fmt.Sprintf("10.96.%d.0/24", i))}})
	}
	end := Endpoint{CTID: wire.CTID(100 + side), IPv4: a(fmt.Sprintf("10.96.%d.10", side))}
	state := State{Role: host.RoleUser, Self: peers.Hosts[side].ID, Addrs: []netip.Addr{peers.Hosts[side].Underlay}, Peers: peers,
		Endpoints: []Endpoint{end}}
	self.apply(t, state)

	key := must1(wgtypes.GeneratePrivateKey())(t)
	mine := keys{self.net.MeshKey(), key.PublicKey().String()}
	theirs := swap(t, plain, side, mine)
	peers.Hosts[side].MeshKey, peers.Hosts[other].MeshKey = mine.Mesh, theirs.Mesh
	self.apply(t, state)
	box := self.attach(t, end)
	must(t, in(t, plain, func() error { return wireGuard(t, key, theirs.Plain, side) }))

	ways := []struct {
		name, to string
		ns       netns.NsHandle
	}{{"plain", "10.79.0.12:7000", plain}, {"mesh", "10.96.1.10:7000", box}}
	if side == 1 {
		ends := make(chan struct{})
		for _, w := range ways {
			accept(t, w.ns, ":7000", func(c net.Conn) {
				n, _ := io.Copy(io.Discard, c)
				fmt.Fprintln(c, n)
			})
		}
		accept(t, plain, ":7001", func(net.Conn) { close(ends) })
		<-ends
		return
	}
	rates := map[string][]float64{}
	for n := range runs + 1 {
		for _, w := range ways {
			if r := send(t, w.ns, w.to, 2*time.Second); n > 0 { // the first turn warms up
				rates[w.name] = append(rates[w.name], r)
			}
		}
	}
	_, err = call(t, plain, "", "10.78.0.12:7001", 10*time.Second)
	must(t, err)
	for _, r := range rates {
		slices.Sort(r)
	}
	m, pl := rates["mesh"], rates["plain"]
	fmt.Printf("FIGURE TCP between two hosts, one stream, median of %d: containers through the mesh %.0f Mbit/s (%.0f to %.0f), "+
		"plain WireGuard %.0f (%.0f to %.0f): %.2f × (bar %.2f)\n", runs, m[runs/2], m[0], m[runs-1],
		pl[runs/2], pl[0], pl[runs-1], m[runs/2]/pl[runs/2], meshBar)
	if got := m[runs/2] / pl[runs/2]; got < meshBar {
		t.Errorf("TCP through the mesh has %.2f × what plain WireGuard has, want %.2f at least", got, meshBar)
	}
}

// meshBar is the part of plain WireGuard's throughput that containers on two hosts have through the mesh, at least.
const meshBar = 0.95

// keys are the public keys of a side.
type keys struct{ Mesh, Plain string }

// swap tells the other side the keys and learns its own.
func swap(t *testing.T, ns netns.NsHandle, side int, mine keys) (theirs keys) {
	t.Helper()
	talk := func(c net.Conn) error {
		defer c.Close()
		if err := json.NewEncoder(c).Encode(mine); err != nil {
			return err
		}
		return json.NewDecoder(c).Decode(&theirs)
	}
	must(t, in(t, ns, func() error {
		if side == 1 {
			l, err := net.Listen("tcp", "10.78.0.12:7002")
			if err != nil {
				return err
			}
			defer l.Close()
			c, err := l.Accept()
			if err != nil {
				return err
			}
			return talk(c)
		}
		for began := time.Now(); ; time.Sleep(100 * time.Millisecond) { // until the other VM listens
			c, err := net.DialTimeout("tcp", "10.78.0.12:7002", time.Second)
			if err == nil {
				return talk(c)
			}
			if time.Since(began) > time.Minute {
				return err
			}
		}
	}))
	return theirs
}

// wireGuard makes plain WireGuard to the other side, in this namespace: 10.79.0.11 and .12.
func wireGuard(t *testing.T, key wgtypes.Key, peer string, side int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "plain", 1420 // as the mesh's
	if err := netlink.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs}); err != nil {
		return err
	}
	c, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer c.Close()
	pub, err := wgtypes.ParseKey(peer)
	if err != nil {
		return err
	}
	port := 51900
	err = c.ConfigureDevice("plain", wgtypes.Config{PrivateKey: &key, ListenPort: &port, Peers: []wgtypes.PeerConfig{{PublicKey: pub,
		Endpoint:   &net.UDPAddr{IP: a(fmt.Sprintf("10.78.0.%d", 12-side)).AsSlice(), Port: port},
		AllowedIPs: []net.IPNet{toNet(p("10.79.0.0/24"))}}}})
	if err == nil {
		up(t, "plain", fmt.Sprintf("10.79.0.%d/24", 11+side))
	}
	return err
}

// send sends for so long, and says how many Mbit/s the other side got.
func send(t *testing.T, ns netns.NsHandle, to string, lasts time.Duration) (rate float64) {
	t.Helper()
	must(t, in(t, ns, func() error {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", to)
		if err != nil {
			return err
		}
		c := nc.(*net.TCPConn)
		defer c.Close()
		began := time.Now()
		c.SetDeadline(began.Add(lasts + 30*time.Second))
		for b := make([]byte, 1<<17); time.Since(began) < lasts; {
			if _, err := c.Write(b); err != nil {
				return err
			}
		}
		c.CloseWrite()
		var got int64
		if _, err := fmt.Fscan(c, &got); err != nil {
			return err
		}
		rate = float64(got) * 8 / 1e6 / time.Since(began).Seconds()
		return nil
	}))
	return rate
}

// must1 is must for what gives a value too.
func must1[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T { t.Helper(); must(t, err); return v }
}
