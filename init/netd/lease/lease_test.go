package lease

import (
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func adr(s string) netip.Addr   { return netip.MustParseAddr(s) }

func ack(t testing.TB, ip net.IP, options map[dhcpv4.OptionCode][]byte) *dhcpv4.DHCPv4 {
	t.Helper()
	m, err := dhcpv4.New(dhcpv4.WithYourIP(ip), dhcpv4.WithMessageType(dhcpv4.MessageTypeAck))
	if err != nil {
		t.Fatal(err)
	}
	for code, raw := range options {
		m.UpdateOption(dhcpv4.OptGeneric(code, raw))
	}
	out, err := dhcpv4.FromBytes(m.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type options = map[dhcpv4.OptionCode][]byte

// The options of the tests.
const (
	mask    = dhcpv4.OptionSubnetMask
	router  = dhcpv4.OptionRouter
	static  = dhcpv4.OptionClasslessStaticRoute
	takes   = dhcpv4.OptionIPAddressLeaseTime
	renews  = dhcpv4.OptionRenewTimeValue
	rebinds = dhcpv4.OptionRebindingTimeValue
	servers = dhcpv4.OptionDomainNameServer
)

func TestFromACK(t *testing.T) {
	all := ack(t, net.IPv4(10, 0, 2, 15),
		options{mask: {255, 255, 255, 0}, router: {10, 0, 2, 2}, servers: {10, 0, 2, 3, 0, 0, 0, 0, 10, 0, 2, 3, 224, 0, 0, 1},
			takes: {0, 1, 0x51, 0x80}, dhcpv4.OptionInterfaceMTU: {5, 0xdc}, dhcpv4.OptionServerIdentifier: {10, 0, 2, 1}})
	got, err := FromACK(all)
	want := Lease{Address: pfx("10.0.2.15/24"), Server: adr("10.0.2.1"), Routes: []Route{{pfx("0.0.0.0/0"), adr("10.0.2.2")}},
		DNS: []netip.Addr{adr("10.0.2.3")}, MTU: 1500,
		Time: 24 * time.Hour, T1: 12 * time.Hour, T2: 21 * time.Hour}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for name, c := range map[string]struct {
		ip   net.IP
		with options
		want string
	}{
		"no address":        {net.IPv4zero, nil, "0.0.0.0 is no address for a host"},
		"broadcast":         {net.IPv4bcast, nil, "255.255.255.255 is no address for a host"},
		"multicast":         {net.IPv4(224, 0, 0, 5), nil, "224.0.0.5 is no address for a host"},
		"loopback":          {net.IPv4(127, 0, 0, 5), nil, "127.0.0.5 is no address for a host"},
		"a mask with holes": {net.IPv4(10, 0, 2, 15), options{mask: {255, 0, 255, 0}}, "is no subnet mask"},
		"a mask of nothing": {net.IPv4(10, 0, 2, 15), options{mask: {0, 0, 0, 0}}, "is no subnet mask"},
		"a mask too short":  {net.IPv4(10, 0, 2, 15), options{mask: {255, 255}}, "is no subnet mask"},
		"a lease of 0 s":    {net.IPv4(10, 0, 2, 15), options{takes: {0, 0, 0, 0}}, "gives it for 0 s"},
	} {
		if l, err := FromACK(ack(t, c.ip, c.with)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v; want %q", name, l, err, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		name string
		with options
		want [3]time.Duration // T1, T2, end
	}{
		{"not said", nil, [3]time.Duration{30 * time.Minute, 52*time.Minute + 30*time.Second, time.Hour}},
		{"said", options{takes: {0, 0, 0, 200}, renews: {0, 0, 0, 50}, rebinds: {0, 0, 0, 60}},
			[3]time.Duration{50 * time.Second, time.Minute, 200 * time.Second}},
		{"T1 after T2", options{takes: {0, 0, 0, 200}, renews: {0, 0, 0, 60}, rebinds: {0, 0, 0, 50}},
			[3]time.Duration{100 * time.Second, 175 * time.Second, 200 * time.Second}},
		{"T2 after the end", options{takes: {0, 0, 0, 200}, renews: {0, 0, 0, 60}, rebinds: {0, 0, 1, 50}},
			[3]time.Duration{100 * time.Second, 175 * time.Second, 200 * time.Second}},
		{"T1 of 0", options{takes: {0, 0, 0, 200}, renews: {0, 0, 0, 0}},
			[3]time.Duration{100 * time.Second, 175 * time.Second, 200 * time.Second}},
		{"only T1, after the usual T2", options{takes: {0, 0, 0, 200}, renews: {0, 0, 0, 190}},
			[3]time.Duration{100 * time.Second, 175 * time.Second, 200 * time.Second}},
		{"only T2", options{takes: {0, 0, 0, 200}, rebinds: {0, 0, 0, 120}},
			[3]time.Duration{100 * time.Second, 120 * time.Second, 200 * time.Second}},
		{"a time of three bytes", options{takes: {0, 0, 9}},
			[3]time.Duration{30 * time.Minute, 52*time.Minute + 30*time.Second, time.Hour}},
		{"1 s", options{takes: {0, 0, 0, 1}}, [3]time.Duration{10 * time.Second, 17500 * time.Millisecond, 20 * time.Second}},
		{"for ever", options{takes: {255, 255, 255, 255}}, [3]time.Duration{Forever / 2, Forever / 8 * 7, Forever}},
	} {
		l, err := FromACK(ack(t, net.IPv4(10, 0, 2, 15), c.with))
		if got := [3]time.Duration{l.T1, l.T2, l.Time}; err != nil || got != c.want {
			t.Errorf("%s: got %v, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestRoutes(t *testing.T) {
	all := pfx("0.0.0.0/0")
	gw := []Route{{all, adr("10.0.2.2")}}
	for _, c := range []struct {
		name string
		with options
		want []Route
	}{
		{"a router", options{router: {10, 0, 2, 2}}, gw},
		{"two routers: the first", options{router: {10, 0, 2, 2, 10, 0, 2, 9}}, gw},
		{"no router", nil, nil},
		{"a router of 0.0.0.0, then one", options{router: {0, 0, 0, 0, 10, 0, 2, 2}}, gw},
		{"itself as router", options{router: {10, 0, 2, 15}}, nil},
		{"routers of five bytes", options{router: {10, 0, 2, 2, 1}}, nil},
		{"121 before 3", options{router: {10, 0, 2, 9}, static: {0, 10, 0, 2, 2}}, gw},
		{"121 without a default: there is none", options{router: {10, 0, 2, 9}, static: {8, 10, 10, 0, 2, 2}},
			[]Route{{pfx("10.0.0.0/8"), adr("10.0.2.2")}}},
		{"the lengths of RFC 3442",
			options{static: slices.Concat([]byte{24, 10, 0, 0, 10, 0, 2, 2}, []byte{26, 10, 17, 0, 192, 10, 0, 2, 2},
				[]byte{32, 192, 0, 2, 1, 0, 0, 0, 0})},
			[]Route{{pfx("10.0.0.0/24"), adr("10.0.2.2")}, {pfx("10.17.0.192/26"), adr("10.0.2.2")}, {To: pfx("192.0.2.1/32")}}},
		{"bits behind the mask", options{static: {20, 10, 1, 255, 10, 0, 2, 2}}, []Route{{pfx("10.1.240.0/20"), adr("10.0.2.2")}}},
		{"twice: the first", options{static: {0, 10, 0, 2, 2, 0, 10, 0, 2, 3}}, gw},
		{"121 empty: as if not there", options{router: {10, 0, 2, 2}, static: {}}, gw},
		{"121 cut off", options{router: {10, 0, 2, 2}, static: {8, 10, 10, 0, 2}}, gw},
		{"121 with a length of 33", options{router: {10, 0, 2, 2}, static: {33, 10, 0, 0, 0, 0, 10, 0, 2, 9}}, gw},
		{"121 with rest", options{router: {10, 0, 2, 2}, static: {0, 10, 0, 2, 9, 1}}, gw},
		{"121 to a group, to loopback, by a group, by itself",
			options{static: slices.Concat([]byte{4, 224, 10, 0, 2, 2}, []byte{8, 127, 10, 0, 2, 2}, []byte{8, 11, 224, 0, 0, 1},
				[]byte{8, 12, 10, 0, 2, 15}, []byte{0, 10, 0, 2, 2})}, gw},
	} {
		l, err := FromACK(ack(t, net.IPv4(10, 0, 2, 15), c.with))
		if err != nil || !slices.Equal(l.Routes, c.want) {
			t.Errorf("%s: got %v, %v; want %v", c.name, l.Routes, err, c.want)
		}
	}
	many := options{static: {}}
	for i := range 200 {
		many[static] = append(many[static], 24, 10, byte(i), 1, 10, 0, 2, 2)
	}
	if l, err := FromACK(ack(t, net.IPv4(10, 0, 2, 15), many)); err != nil || len(l.Routes) != maxRoutes {
		t.Errorf("200 routes: got %d, %v; want %d", len(l.Routes), err, maxRoutes)
	}
}

func TestDue(t *testing.T) {
	hour := Lease{Time: time.Hour, T1: 30 * time.Minute, T2: 52*time.Minute + 30*time.Second}
	short := Lease{Time: 20 * time.Second, T1: 10 * time.Second, T2: 17 * time.Second}
	for _, c := range []struct {
		name     string
		l        Lease
		last, at time.Duration
		do       how
	}{
		{"first at T1", hour, 0, 30 * time.Minute, renew},
		{"then half of what is left until T2", hour, 30 * time.Minute, 41*time.Minute + 15*time.Second, renew},
		{"a minute at least", hour, 51 * time.Minute, 52 * time.Minute, renew},
		{"at T2 of all", hour, 52 * time.Minute, 52*time.Minute + 30*time.Second, rebind},
		{"then half of what is left", hour, 52*time.Minute + 30*time.Second, 56*time.Minute + 15*time.Second, rebind},
		{"a minute at least", hour, 58*time.Minute + 30*time.Second, 59*time.Minute + 30*time.Second, rebind},
		{"the end", hour, 59*time.Minute + 30*time.Second, time.Hour, giveUp},
		{"late: past the end", hour, 2 * time.Hour, time.Hour, giveUp},
		{"short: T1", short, 0, 10 * time.Second, renew},
		{"short: T2", short, 10 * time.Second, 17 * time.Second, rebind},
		{"short: the end", short, 17 * time.Second, 20 * time.Second, giveUp},
		{"for ever: once a day", Lease{Time: Forever}, 24 * time.Hour, 48 * time.Hour, renew},
	} {
		if at, do := c.l.due(c.last); at != c.at || do != c.do {
			t.Errorf("%s: asked after %v: got %v at %v, want %v at %v", c.name, c.last, do, at, c.do, c.at)
		}
	}
}

func TestLate(t *testing.T) {
	l := Lease{Time: time.Hour, T1: 30 * time.Minute, T2: 50 * time.Minute}
	for _, c := range []struct {
		do    how
		since time.Duration
		want  how
	}{
		{renew, 30 * time.Minute, renew}, {renew, 50 * time.Minute, rebind}, {renew, time.Hour, giveUp}, {rebind, 51 * time.Minute, rebind},
		{rebind, 2 * time.Hour, giveUp},
	} {
		if got := l.late(c.do, c.since); got != c.want {
			t.Errorf("%v, done after %v: got %v, want %v", c.do, c.since, got, c.want)
		}
	}
	if got := (Lease{Time: Forever}).late(renew, Forever+1); got != renew {
		t.Errorf("a lease without an end: got %v", got)
	}
}

func FuzzFromACK(f *testing.F) {
	f.Add(ack(f, net.IPv4(10, 0, 2, 15), options{router: {10, 0, 2, 2}}).ToBytes())
	f.Add(ack(f, net.IPv4(10, 0, 2, 15), options{static: {24, 10, 0, 0, 10, 0, 2, 2, 0, 0, 0, 0, 0}, takes: {0, 0, 0, 90},
		renews: {0, 0, 0, 80}}).ToBytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := dhcpv4.FromBytes(raw)
		if err != nil {
			return // no case of this test
		}
		l, err := FromACK(p)
		if err != nil {
			return
		}
		if !l.Address.IsValid() || l.T1 < soonest || l.T1 >= l.T2 || l.T2 >= l.Time || l.Time < briefest || len(l.Routes) > maxRoutes {
			t.Errorf("got %+v", l)
		}
		for _, r := range l.Routes {
			if !r.To.IsValid() || r.To != r.To.Masked() || r.Via.IsValid() && !unicast(r.Via) {
				t.Errorf("got route %+v", r)
			}
		}
	})
}
