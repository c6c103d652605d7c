package lease

import (
	"net"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func TestFromACK(t *testing.T) {
	ack, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 15)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(10, 0, 2, 2)),
		dhcpv4.WithDNS(net.IPv4(10, 0, 2, 3)), dhcpv4.WithLeaseTime(86400), dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x05, 0xdc})))
	if err != nil {
		t.Fatal(err)
	}
	got, err := FromACK(ack)
	want := Lease{Address: netip.MustParsePrefix("10.0.2.15/24"), Router: netip.MustParseAddr("10.0.2.2"), DNS: []netip.Addr{netip.MustParseAddr("10.0.2.3")}, MTU: 1500, Time: 24 * time.Hour}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	empty, err := dhcpv4.New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FromACK(empty); err == nil {
		t.Error("an answer without an address was taken")
	}
}

func TestRenewIn(t *testing.T) {
	for _, c := range []struct{ lease, since, want time.Duration }{
		{time.Hour, 0, 30 * time.Minute},
		{time.Hour, 30 * time.Minute, 15 * time.Minute},
		{time.Hour, 59*time.Minute + 59*time.Second, 30 * time.Second},
		{20 * time.Second, 0, 10 * time.Second},
		{unlimited * time.Second, 0, 24 * time.Hour},
	} {
		if got := renewIn(c.lease, c.since); got != c.want {
			t.Errorf("renewIn(%v, %v) = %v, want %v", c.lease, c.since, got, c.want)
		}
	}
}

func FuzzFromACK(f *testing.F) {
	ack, err := dhcpv4.New(dhcpv4.WithYourIP(net.IPv4(10, 0, 2, 15)), dhcpv4.WithRouter(net.IPv4(10, 0, 2, 2)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ack.ToBytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := dhcpv4.FromBytes(raw)
		if err != nil {
			return // no case of this test
		}
		if l, err := FromACK(p); err == nil && !l.Address.IsValid() {
			t.Errorf("got %+v", l)
		}
	})
}
