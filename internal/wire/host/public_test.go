package host

import (
	"net/netip"
	"strings"
	"testing"

	"hardnode.dev/internal/wire"
)

// TestPublicAddresses: of users' containers alone, each of one.
func TestPublicAddresses(t *testing.T) {
	work := func(change func(a, b *Container)) error {
		c := Container{CTID: 100, Env: "hello", Layer: "cp", Hostname: "node100", Generation: 1, Profile: ProfileApp,
			Image:   Image{Name: "nginx", Digest: wire.Digest("sha256:" + strings.Repeat("a", 64))},
			Process: Process{Argv: []string{"nginx"}},
			IPv4:    netip.MustParseAddr("10.96.1.10"), Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.10")}}
		d := c
		d.CTID, d.IPv4, d.Addresses = 101, netip.MustParseAddr("10.96.1.11"), []netip.Addr{netip.MustParseAddr("2001:db8::10")}
		change(&c, &d)
		w := Work{Version: WorkVersion, Revision: 1, Containers: []Container{c, d}}
		return w.Validate()
	}
	for want, change := range map[string]func(a, b *Container){
		"":                           func(*Container, *Container) {},
		"belongs to container 100":   func(a, b *Container) { b.Addresses = a.Addresses },
		"of jelastic have no public": func(a, _ *Container) { a.CTID, a.Env = 3, "jelastic" },
		"multicast":                  func(_, b *Container) { b.Addresses[0] = netip.MustParseAddr("ff02::1") },
	} {
		if err := work(change); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
