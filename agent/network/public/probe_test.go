package public

import (
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"testing"
)

// TestProbes are the frames of RFC 5227 and RFC 4862, byte by byte: neither names an address of the host's.
func TestProbes(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	if got := hex.EncodeToString(probe(a("192.0.2.5"), mac)); got != "ffffffffffff"+"020000000001"+"0806"+
		"0001080006040001"+"020000000001"+"00000000"+"000000000000"+"c0000205" {
		t.Errorf("ARP: %s", got)
	}
	frame := solicitation(a("2001:db8::a1:b2c3"), mac)
	if got := hex.EncodeToString(frame); !strings.HasPrefix(got, "3333ffa1b2c3"+"020000000001"+"86dd"+"60000000"+"0018"+"3aff"+
		"00000000000000000000000000000000"+"ff0200000000000000000001ffa1b2c3"+"8700") ||
		!strings.HasSuffix(got, "00000000"+"20010db8000000000000000000a1b2c3") {
		t.Errorf("NS: %s", got)
	}
	checked(t, frame)
}

// TestAnswers: what says who has an address; who answers for another's, asks, or sends something else says nothing.
func TestAnswers(t *testing.T) {
	mac, other := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	request := gratuitous(a("192.0.2.5"), other)
	reply := slices.Clone(request)
	reply[21] = 2
	advert := unsolicited(a("2001:db8::5"), Link{MAC: other})
	proxy := slices.Clone(advert)
	proxy[icmp+4] &^= override
	far := slices.Clone(advert)
	far[nextHeader+1] = 254
	for _, c := range []struct {
		name  string
		frame []byte
		addr  string
	}{
		{"an ARP reply", reply, "192.0.2.5"},
		{"an ARP request", request, ""},
		{"an advertisement", advert, "2001:db8::5"},
		{"of one who answers for it", proxy, ""},
		{"from beyond a router", far, ""},
		{"a solicitation", solicitation(a("2001:db8::5"), mac), ""},
	} {
		got, by, ok := answer(c.frame)
		if ok != (c.addr != "") || ok && (got != a(c.addr) || by.String() != other.String()) {
			t.Errorf("%s: %s of %s, %v", c.name, by, got, ok)
		}
		for n := range c.frame { // cut short, as by a hostile neighbour
			answer(c.frame[:n])
		}
	}
}
