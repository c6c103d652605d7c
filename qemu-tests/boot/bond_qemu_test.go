//go:build qemu

package boot

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"hardnode.dev/qemu-tests/harness"
	"hardnode.dev/qemu-tests/harness/ask"
	"hardnode.dev/qemu-tests/harness/ether"
)

const bondConfig = `version: 1
name: host-1
role: user
network:
  links:
    - {name: up0, mac: "52:54:00:aa:00:01"}
    - {name: up1, mac: "52:54:00:aa:00:02"}
    - {name: bond0, bond: {mode: active-backup, links: [up0, up1], primary: up0}, mtu: 1600}
    - {name: lan, vlan: {id: 42, link: bond0}, addresses: [10.77.0.11/24, "2001:db8::11/64"], gateway: 10.77.0.1,
       routes: [{to: "2001:db8:1::/48", via: "2001:db8::1"}]}
`

// reads waits until a file of the host has the text.
func (h *host) reads(path, want string) {
	h.T.Helper()
	ctx, cancel := h.limit()
	defer cancel()
	for {
		a, err := h.VM.Ask(ctx, ask.Request{What: "read", Path: path})
		if err == nil && a.Err == "" && strings.Contains(a.Text, want) {
			return
		}
		select {
		case <-ctx.Done():
			h.T.Fatalf("%s: %q, %v, %s; want %q", path, a.Text, err, a.Err, want)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// answers asks for 10.77.0.11 by ARP (RFC 826) in VLAN 42, from a port of its own, until the host answers there.
func (h *host) answers(sw *ether.Switch) {
	h.T.Helper()
	near, far := net.Pipe()
	port := sw.Connect("neighbour", far)
	defer port.Close()
	ask := append([]byte{0, 0, 0, 46}, // the length, as the switch has it
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0xaa, 0, 9, // to all, from us
		0x81, 0, 0, 42, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, // a tag, then a request
		0x52, 0x54, 0, 0xaa, 0, 9, 10, 77, 0, 1, 0, 0, 0, 0, 0, 0, 10, 77, 0, 11)
	end := time.Now().Add(20 * time.Second * harness.Scale())
	near.SetDeadline(end)
	defer near.Close()
	go func() { // until near is closed
		for {
			if _, err := near.Write(ask); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	var head [4]byte
	for {
		if _, err := io.ReadFull(near, head[:]); err != nil {
			h.T.Fatalf("no answer in VLAN 42: %v", err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(near, frame); err != nil {
			h.T.Fatalf("no answer in VLAN 42: %v", err)
		}
		if len(frame) >= 46 && bytes.HasPrefix(frame[12:], []byte{0x81, 0, 0, 42, 8, 6}) && frame[25] == 2 &&
			bytes.Equal(frame[32:36], []byte{10, 77, 0, 11}) {
			return
		}
	}
}

// TestBond: a VLAN on a bond goes on answering when a card's line is cut; a bond made by a trial is gone after it, cards and all as before.
// The switch between the machines speaks no LACP, so of that mode only what the kernel was told is looked at.
func TestBond(t *testing.T) {
	if os.Getenv("HARDNODE_SOAK") == "" {
		t.Skip("HARDNODE_SOAK is not set: `make soak PKG=./qemu-tests/boot RUN=TestBond` runs this")
	}
	dir := harness.Dir(t)
	c := machine(t, dir, bondConfig+consolePassword(t))
	sw := ether.NewSwitch()
	for i := range c.NICs {
		c.NICs[i].Switch = sw
	}
	if err := harness.AddProbe(t.Context(), &c, dir); err != nil {
		t.Fatal(err)
	}
	h := start(t, c)
	h.up()
	const bonding, class = "/sys/class/net/bond0/bonding/", "/sys/class/net/"
	h.reads(bonding+"mode", "active-backup")
	h.reads(bonding+"miimon", "100")
	h.reads(bonding+"slaves", "up0 up1")
	h.reads(bonding+"active_slave", "up0")
	h.reads(class+"lan/mtu", "1600")
	h.reads("/proc/net/ipv6_route", "20010db8000100000000000000000000 30")
	h.answers(sw)
	if err := h.VM.Line(t.Context(), 0, false); err != nil {
		t.Fatal(err)
	}
	h.reads(bonding+"active_slave", "up1")
	h.answers(sw)
	if err := h.VM.Line(t.Context(), 0, true); err != nil {
		t.Fatal(err)
	}
	h.reads(bonding+"active_slave", "up0") // the primary

	h.wakes(t, "host          host-1")
	h.typed(t, "container restart 101\r"+knownPassword, 1) // gives the password
	h.typed(t, "network try bond0 bond=802.3ad:up0 mtu=1500 and up1 10.78.0.1/24 and lan vlan=43@bond0 10.79.0.1/24", 0)
	h.reads(bonding+"mode", "802.3ad")
	h.reads(bonding+"lacp_rate", "fast")
	h.reads(bonding+"xmit_hash_policy", "layer3+4")
	h.reads("/proc/net/vlan/lan", "VID: 43")
	h.typed(t, "network try up1 10.78.0.2/24 and wan bond=active-backup:up0 dhcp", 2)
	if out := strings.Join(h.typed(t, "network", 0), "\n"); !strings.Contains(out, "10.79.0.1/24") {
		t.Errorf("on trial:\n%s", out)
	}
	h.typed(t, "network revert", 0)
	h.reads(bonding+"mode", "active-backup")
	h.reads(bonding+"slaves", "up0 up1")
	h.reads("/proc/net/vlan/lan", "VID: 42")
	if out := strings.Join(h.typed(t, "network", 0), "\n"); !strings.Contains(out, "10.77.0.11/24") || strings.Contains(out, "10.78.0.1") ||
		!strings.Contains(out, "active-backup: up0 active, up1 up") {
		t.Errorf("reverted:\n%s", out)
	}
	h.typed(t, "exit", 0)
}
