package names

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"hardnode.dev/internal/wire/host"
)

func peers() *host.Peers {
	return &host.Peers{Range4: netip.MustParsePrefix("10.96.0.0/12"), Range6: netip.MustParsePrefix("fd48:4e00::/44"),
		Hosts: []host.Peer{{Role: host.RoleInfra, Underlay: a("10.77.0.2")},
			{Role: host.RoleUser, Underlay: a("10.77.0.11"), Addrs: []netip.Addr{a("192.0.2.11")}}},
		Names: []host.Name{
			{Name: "node101.hello.internal", Addrs: []netip.Addr{a("10.96.1.10"), a("fd48:4e00:0:1::a")}},
			{Name: "node102.hello.internal", Addrs: []netip.Addr{a("10.96.1.11")}},
			{Name: "cp.hello.internal", Addrs: []netip.Addr{a("10.96.1.10"), a("fd48:4e00:0:1::a"), a("10.96.1.11")}},
			{Name: "deep.er.hello.internal", Addrs: []netip.Addr{a("10.96.1.11")}},
			{Name: "node201.acme.internal", Addrs: []netip.Addr{a("10.96.2.10")}},
			{Name: "resolver.jelastic.internal", Addrs: []netip.Addr{a("10.96.0.14")}},
		},
		Groups: []host.Group{{Name: "one", Addrs: []netip.Addr{a("10.96.1.10"), a("fd48:4e00:0:1::a"), a("10.96.1.11")}},
			{Name: "two", Addrs: []netip.Addr{a("10.96.2.10"), a("10.96.1.11")}}, // 10.96.1.11 is taken already
			{Name: "jelastic", Addrs: []netip.Addr{a("10.96.0.14")}}}}
}

func server(up ...string) *Server {
	s := &Server{Addr: "127.0.0.1:0", Self: a("169.254.1.1"), Upstream: func() []string { return up }}
	s.Set(peers())
	return s
}

// say asks s as caller does and reads the answer; nil: there was none.
func say(t *testing.T, s *Server, raw []byte, caller netip.Addr, tcp bool) *dns.Msg {
	t.Helper()
	s.limits.ask(caller, time.Now())
	out, later := s.begin(t.Context(), raw, caller, tcp)
	if later != nil {
		out = later()
	}
	if out == nil {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		t.Fatalf("the answer can't be read: %v", err)
	}
	if m.Id != binary.BigEndian.Uint16(raw) || !m.Response {
		t.Errorf("the answer has id %d, response %v; want %d, true", m.Id, m.Response, binary.BigEndian.Uint16(raw))
	}
	if !m.RecursionAvailable {
		t.Error("the answer says that there is no recursion")
	}
	return m
}

// render is an answer in one line: rcode, flags, answer, authority's kind, OPT.
func render(m *dns.Msg) string {
	if m == nil {
		return "nothing"
	}
	parts := []string{dns.RcodeToString[m.Rcode]}
	if m.Rcode == dns.RcodeBadVers {
		parts[0] = "BADVERS" // the number has two names
	}
	if m.Authoritative {
		parts = append(parts, "AA")
	}
	if m.Truncated {
		parts = append(parts, "TC")
	}
	for _, rr := range m.Answer {
		f := strings.Fields(rr.String())
		parts = append(parts, f[0]+" "+strings.Join(f[3:], " "))
	}
	for _, rr := range m.Ns {
		parts = append(parts, "/"+rr.Header().Name+" "+dns.TypeToString[rr.Header().Rrtype])
	}
	if o := m.IsEdns0(); o != nil {
		parts = append(parts, fmt.Sprintf("OPT%d do=%v options=%d", o.Version(), o.Do(), len(o.Option)))
	}
	return strings.Join(parts, "; ")
}

func question(name string, kind uint16, change ...func(*dns.Msg)) []byte {
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	for _, f := range change {
		f(m)
	}
	raw, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return raw
}

func edns(version uint8, size uint16, do bool) func(*dns.Msg) {
	return func(m *dns.Msg) {
		m.SetEdns0(size, do)
		m.IsEdns0().SetVersion(version)
	}
}

func class(c uint16) func(*dns.Msg) { return func(m *dns.Msg) { m.Question[0].Qclass = c } }
func opcode(n int) func(*dns.Msg)   { return func(m *dns.Msg) { m.Opcode = n } }

// upstream is another server, over UDP and TCP on one port.
func upstream(t *testing.T, h dns.HandlerFunc) string {
	t.Helper()
	for {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err != nil { // that TCP port is taken: another
			pc.Close()
			continue
		}
		u, c := &dns.Server{PacketConn: pc, Handler: h, UDPSize: 4096}, &dns.Server{Listener: l, Handler: h}
		go u.ActivateAndServe()
		go c.ActivateAndServe()
		t.Cleanup(func() { pc.Close(); l.Close() })
		return pc.LocalAddr().String()
	}
}

func rr(format string, args ...any) dns.RR {
	r, err := dns.NewRR(fmt.Sprintf(format, args...))
	if err != nil {
		panic(err)
	}
	return r
}
