package mesh

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"hardnode.dev/internal/wire/host"
)

func TestChange(t *testing.T) {
	a, p := netip.MustParseAddr, netip.MustParsePrefix
	key := func(n byte) string { k := wgtypes.Key{n}; return k.String() }
	want := peers("h-000000000001", &host.Peers{Hosts: []host.Peer{
		{ID: "h-000000000000", Underlay: a("10.77.0.2"), MeshKey: key(1), Blocks: []netip.Prefix{p("10.96.0.0/24")}},
		{ID: "h-000000000001", Underlay: a("10.77.0.11"), MeshKey: key(2), Blocks: []netip.Prefix{p("10.96.1.0/24")}},
		{ID: "h-000000000002", Underlay: a("10.77.0.12"), MeshKey: key(3), Blocks: []netip.Prefix{p("10.96.2.0/24")},
			Moved: []netip.Prefix{p("10.96.1.77/32")}},
		{ID: "h-000000000003", Blocks: []netip.Prefix{p("10.96.3.0/24")}},
	}})
	render := func(cs []wgtypes.PeerConfig) string {
		var out []string
		for _, c := range cs {
			if c.Remove {
				out = append(out, fmt.Sprintf("remove %d", c.PublicKey[0]))
				continue
			}
			out = append(out, fmt.Sprintf("set %d %s %v", c.PublicKey[0], c.Endpoint, c.AllowedIPs))
		}
		return strings.Join(out, "; ")
	}
	have := func(cs []wgtypes.PeerConfig) (ps []wgtypes.Peer) {
		for _, c := range cs {
			ps = append(ps, wgtypes.Peer{PublicKey: c.PublicKey, Endpoint: c.Endpoint, AllowedIPs: c.AllowedIPs})
		}
		return ps
	}
	first := change(nil, want)
	if got := render(first); got != "set 1 10.77.0.2:7441 [{10.96.0.0 ffffff00}]; set 3 10.77.0.12:7441 [{10.96.1.77 ffffffff} "+
		"{10.96.2.0 ffffff00}]" {
		t.Errorf("from nothing: got %s", got)
	}
	if got := change(have(first), want); len(got) != 0 {
		t.Errorf("nothing changed: got %s", render(got))
	}
	old := have(first)
	old[1].PublicKey = wgtypes.Key{9} // host-2 rebooted: another key
	if got := render(change(old, want)); got != "remove 9; set 3 10.77.0.12:7441 [{10.96.1.77 ffffffff} {10.96.2.0 ffffff00}]" {
		t.Errorf("a peer with a new key: got %s", got)
	}
	old = have(first)
	old[0].Endpoint = &net.UDPAddr{IP: net.IPv4(10, 77, 0, 99), Port: 7441}
	if got := render(change(old, want)); got != "set 1 10.77.0.2:7441 [{10.96.0.0 ffffff00}]" {
		t.Errorf("a peer with another address: got %s", got)
	}
}

// TestThreaded: a host with many peers does without threads, which take memory.
func TestThreaded(t *testing.T) {
	for n, want := range map[int]bool{1: true, mostThreads: true, mostThreads + 1: false} {
		if got := Threaded(n); got != want {
			t.Errorf("%d peers: threads %v, want %v", n, got, want)
		}
	}
}
