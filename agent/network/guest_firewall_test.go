//go:build guest

package network

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"hardnode.dev/agent/network/nft"
	"hardnode.dev/internal/wire/firewall"
	"hardnode.dev/internal/wire/host"
)

// wall gives a container of a yard other rules, and published ports.
func (y *yard) wall(t *testing.T, c *cell, publish []host.Port, rules ...firewall.PacketRule) {
	t.Helper()
	if err := firewall.Validate(rules, firewall.MaxRules); err != nil {
		t.Fatal(err)
	}
	for i, e := range y.states[c.on].Endpoints {
		if e.CTID == c.CTID {
			y.states[c.on].Endpoints[i].Firewall, y.states[c.on].Endpoints[i].Publish = firewall.Sort(rules), publish
		}
	}
	y.apply(t)
}

// TestFirewall: a container's rules hold for both families, in their order, for what comes over the mesh, from beside it and by published
// ports; connections that are open end when a rule comes that denies them, and others go on.
func TestFirewall(t *testing.T) {
	y := newYard(t)
	web, client, eve, platform := y.cells["acme0"], y.cells["acme1"], y.cells["eve0"], y.cells["jelastic0"]
	world := &cell{Endpoint: Endpoint{IPv4: under[1][0], IPv6: under[1][1]}, ns: y.hosts[1].ns}
	in := func(name string, action firewall.Action, priority int, proto, peer string, ports ...firewall.Port) firewall.PacketRule {
		return firewall.PacketRule{Name: name, Direction: firewall.In, Action: action, Priority: priority, Protocol: proto, Peer: peer,
			Ports: ports}
	}
	out := in("mail", firewall.Deny, 10, firewall.UDP, "", "25")
	out.Direction = firewall.Out
	publish := []host.Port{{Proto: "udp", Host: 20053, Container: 53}, {Proto: "udp", Host: 20054, Container: 54},
		{Proto: "tcp", Host: 20080, Container: 80}}

	t.Run("rules", func(t *testing.T) {
		y.wall(t, web, publish, in("web", firewall.Allow, 10, firewall.TCP, "acme.internal", "80", "8000-8100"),
			in("but", firewall.Deny, 5, firewall.TCP, "acme.internal", "8042"),
			in("ping", firewall.Allow, 10, firewall.ICMP, client.IPv4.String()),
			in("dns", firewall.Allow, 10, firewall.UDP, "10.78.0.0/24", "53"),
			in("dns6", firewall.Allow, 10, firewall.UDP, "fd78::/64", "53"),
			in("eve", firewall.Allow, 10, "", "eve.internal"), in("eve4", firewall.Allow, 10, "", eve.IPv4.String()),
			in("rest", firewall.Deny, 1000, "", ""), out)
		var ps []probe
		for _, six := range []bool{false, true} {
			for _, p := range []struct {
				what     string
				from, to *cell
				proto    byte
				port     uint16
				want     bool
			}{
				{"an allowed port", client, web, nft.TCP, 80, true},
				{"in an allowed range", client, web, nft.TCP, 8100, true},
				{"a rule before it denies", client, web, nft.TCP, 8042, false},
				{"outside the range", client, web, nft.TCP, 8101, false},
				{"another protocol", client, web, nft.UDP, 80, false},
				{"ping of one family", client, web, protocols(web.of(six))[2], 0, !six},
				{"the platform", platform, web, nft.TCP, 9, true},
				{"another account, whatever rules say", eve, web, nft.TCP, 80, false},
				{"what may not leave", web, client, nft.UDP, 25, false},
				{"what may", web, client, nft.UDP, 26, true},
				{"a container without rules", platform, client, nft.UDP, 25, true},
			} {
				ps = append(ps, probe{p.what, p.from, p.from.of(six), p.to.of(six), p.proto, p.port, p.to.ear, p.want})
			}
			at := under[0][map[bool]int{true: 1}[six]]
			ps = append(ps, probe{"a published port", world, world.of(six), at, nft.UDP, 20053, web.ear, true},
				probe{"a published port that rules deny", world, world.of(six), at, nft.UDP, 20054, web.ear, false},
				probe{"likewise, TCP", world, world.of(six), at, nft.TCP, 20080, web.ear, false},
				probe{"the container itself, from a host", world, world.of(six), web.of(six), nft.UDP, 53, web.ear, false})
		}
		run(t, ps)
	})
	t.Run("no rules", func(t *testing.T) {
		y.wall(t, web, publish)
		var ps []probe
		for _, six := range []bool{false, true} {
			at := under[0][map[bool]int{true: 1}[six]]
			ps = append(ps, probe{"a published port", world, world.of(six), at, nft.TCP, 20080, web.ear, true},
				probe{"in the account", client, client.of(six), web.of(six), nft.UDP, 80, web.ear, true},
				probe{"another account", eve, eve.of(six), web.of(six), nft.UDP, 80, web.ear, false})
		}
		run(t, ps)
	})
	t.Run("rate", func(t *testing.T) {
		slow := in("slow", firewall.Allow, 10, firewall.UDP, "", "80")
		for _, six := range []bool{false, true} {
			slow.Rate = map[bool]int{false: 10, true: 11}[six] // another rule begins anew
			y.wall(t, web, nil, slow)
			arrived, began := 0, time.Now()
			for i := range 100 { // each a connection of its own
				p := packet(client.of(six), web.of(six), nft.UDP, 80, fmt.Sprintf("<rate %v %d>", six, i))
				p[map[bool]int{false: 21, true: 41}[six]] = byte(i) // the sender's port
				throw(t, client.ns, web.of(six), unsummed(p, six))
			}
			run(t, []probe{{"what is not limited", client, client.of(six), web.of(six), nft.TCP, 80, web.ear, true}})
			took := time.Since(began)
			for i := range 100 {
				if web.ear.has(fmt.Sprintf("<rate %v %d>", six, i)) {
					arrived++
				}
			}
			if most := slow.Rate + int(took.Seconds()*float64(slow.Rate)) + 2; arrived < 5 || arrived > most {
				t.Errorf("IPv6 %v: %d of 100 arrived in %s, want 5 to %d", six, arrived, took, most)
			}
			t.Logf("IPv6 %v: %d of 100 arrived in %s", six, arrived, took)
		}
	})
	t.Run("open connections", func(t *testing.T) {
		y.wall(t, web, publish)
		for _, port := range []string{":80", ":81"} {
			echo(t, web.ns, port)
		}
		open := map[string]net.Conn{}
		for _, six := range []bool{false, true} {
			for _, port := range []string{"80", "81"} {
				open[fmt.Sprint(port, six)] = dial(t, client, net.JoinHostPort(web.of(six).String(), port))
			}
		}
		open["published"] = dial(t, world, "10.78.0.2:20080")
		for name, c := range open {
			if err := asks(c); err != nil {
				t.Errorf("%s, before: %v", name, err)
			}
		}
		y.wall(t, web, publish, in("not", firewall.Deny, 10, firewall.TCP, "", "80"))
		for name, c := range open {
			if err := asks(c); (err == nil) != (name[:2] == "81") {
				t.Errorf("%s, once port 80 is denied: %v", name, err)
			}
		}
		y.wall(t, web, publish)
		peers := *y.states[0].Peers
		peers.Groups = nil
		for _, g := range y.states[0].Peers.Groups {
			if g.Name != "acme" {
				peers.Groups = append(peers.Groups, g)
			}
		}
		peers.Groups = append(peers.Groups, host.Group{Name: "acme", Addrs: []netip.Addr{web.IPv4, web.IPv6}})
		y.states[0].Peers, y.states[1].Peers = &peers, &peers
		y.apply(t)
		for name, c := range open {
			if err := asks(c); err == nil && name != "published" {
				t.Errorf("%s goes on when its container has left the group", name)
			}
		}
	})
}

// unsummed is a UDP packet without a checksum where that is allowed (RFC 768), with a right one else.
func unsummed(p []byte, six bool) []byte {
	if !six {
		p[26], p[27] = 0, 0
		return p
	}
	p[46], p[47] = 0, 0
	body := p[40:]
	sum := fold(append(append(append([]byte{}, p[8:40]...), 0, 0, 0, byte(len(body)), 0, 0, 0, nft.UDP), body...))
	p[46], p[47] = byte(sum>>8), byte(sum)
	return p
}

// echo answers what comes by TCP with itself.
func echo(t *testing.T, ns netns.NsHandle, addr string) {
	t.Helper()
	accept(t, ns, addr, func(c net.Conn) { io.Copy(c, c) })
}

func dial(t *testing.T, c *cell, addr string) (conn net.Conn) {
	t.Helper()
	must(t, in(t, c.ns, func() (err error) { conn, err = net.DialTimeout("tcp", addr, 10*time.Second); return err }))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// asks writes and reads a byte.
func asks(c net.Conn) error {
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}
