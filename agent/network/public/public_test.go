package public

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
)

var (
	a = netip.MustParseAddr
	p = netip.MustParsePrefix
)

// TestPlace: an address is on the link of its network, or on that which leads everywhere; what is somebody else's is refused.
func TestPlace(t *testing.T) {
	h := Host{Links: []Link{
		{Index: 2, Name: "up0", Addrs: []netip.Prefix{p("10.77.0.11/24"), p("fe80::5/64"), p("2001:db8:1::11/64")}},
		{Index: 3, Name: "wan0", Addrs: []netip.Prefix{p("192.0.2.11/28"), p("198.51.100.1/31")}},
	}, Gateways: []netip.Addr{a("192.0.2.1"), a("fe80::1")}, Default4: 3}
	for _, c := range []struct{ addr, link, why string }{
		{"10.77.0.50", "up0", ""},
		{"2001:db8:1::50", "up0", ""},
		{"192.0.2.5", "wan0", ""},
		{"198.51.100.0", "wan0", ""}, // RFC 3021: a network of two
		{"203.0.113.9", "wan0", ""},  // routed to the host
		{"10.77.0.11", "", "host's own address, on up0"},
		{"2001:db8:1::11", "", "host's own address, on up0"},
		{"192.0.2.1", "", "gateway of the host's network"},
		{"192.0.2.15", "", "of the network 192.0.2.0/28 itself, or of all"},
		{"192.0.2.0", "", "of the network 192.0.2.0/28 itself, or of all"},
		{"2001:db8:2::1", "", "no default route of its family"},
	} {
		l, err := h.Place(a(c.addr))
		if l.Name != c.link || (c.why == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: on %q, %v; want %q, %q", c.addr, l.Name, err, c.link, c.why)
		}
	}
}

// TestAnnouncements are the frames of RFC 5227 and RFC 4861, byte by byte.
func TestAnnouncements(t *testing.T) {
	l := Link{Index: 2, MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Addrs: []netip.Prefix{p("10.77.0.11/24"), p("fe80::5/64")}}
	if got := hex.EncodeToString(gratuitous(a("192.0.2.5"), l.MAC)); got != "ffffffffffff"+"020000000001"+"0806"+
		"0001080006040001"+"020000000001"+"c0000205"+"000000000000"+"c0000205" {
		t.Errorf("ARP: %s", got)
	}
	frame := unsolicited(a("2001:db8::5"), l)
	if got := hex.EncodeToString(frame); !strings.HasPrefix(got, "333300000001"+"020000000001"+"86dd"+"60000000"+"0020"+"3aff"+
		"fe800000000000000000000000000005"+"ff020000000000000000000000000001"+"8800") ||
		!strings.HasSuffix(got, "a0000000"+"20010db8000000000000000000000005"+"0201"+"020000000001") {
		t.Errorf("NA: %s", got)
	}
	checked(t, frame)
}

// checked looks at the checksum of a message between neighbours.
func checked(t *testing.T, frame []byte) {
	t.Helper()
	body := frame[14+40:]
	pseudo := append(append([]byte{}, frame[14+8:14+40]...), 0, 0, 0, byte(len(body)), 0, 0, 0, 58)
	if got := sum(append(pseudo, body...)); got != 0 {
		t.Errorf("the checksum is off by %#x", got)
	}
}
