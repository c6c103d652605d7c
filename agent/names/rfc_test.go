package names

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestRFC is what the server says by itself, each case named by the section it follows. No other server is there: what would be forwarded
// is SERVFAIL.
func TestRFC(t *testing.T) {
	long := strings.Repeat(strings.Repeat("a", 63)+".", 3) // 192 of 255 octets
	const (
		soaHello = "; /hello.internal. SOA"
		node101  = "node101.hello.internal."
	)
	tests := []struct {
		name string
		raw  []byte
		want string
	}{
		{"1035 3.4.1: A", question(node101, dns.TypeA), "NOERROR; AA; node101.hello.internal. A 10.96.1.10"},
		{"3596 2.2: AAAA", question(node101, dns.TypeAAAA), "NOERROR; AA; node101.hello.internal. AAAA fd48:4e00:0:1::a"},
		{"1035 2.3.3: case is kept and ignored", question("nOde101.HELLO.Internal.", dns.TypeA),
			"NOERROR; AA; nOde101.HELLO.Internal. A 10.96.1.10"},
		{"2308 2.2: a name without that type", question(node101, dns.TypeMX), "NOERROR; AA" + soaHello},
		{"2308 2.2: AAAA of a name with A only", question("node102.hello.internal.", dns.TypeAAAA), "NOERROR; AA" + soaHello},
		{"2308 2.1: no such name", question("node103.hello.internal.", dns.TypeA), "NXDOMAIN; AA" + soaHello},
		{"2308 2.1: whatever the type", question("node103.hello.internal.", dns.TypeTXT), "NXDOMAIN; AA" + soaHello},
		{"8020 2: nothing is below a name that has none", question("x.node101.hello.internal.", dns.TypeA), "NXDOMAIN; AA" + soaHello},
		{"4592 2.2.2: an empty non-terminal exists", question("er.hello.internal.", dns.TypeA), "NOERROR; AA" + soaHello},
		{"4592 2.2.2: below it", question("other.er.hello.internal.", dns.TypeA), "NXDOMAIN; AA" + soaHello},
		{"1034 4.2: the zone's own name", question("hello.internal.", dns.TypeA), "NOERROR; AA" + soaHello},
		{"1034 4.2.1: its SOA", question("hello.internal.", dns.TypeSOA),
			"NOERROR; AA; hello.internal. SOA hello.internal. nobody.invalid. 1 3600 1200 604800 1"},
		{"1034 4.2.1: its NS", question("hello.internal.", dns.TypeNS), "NOERROR; AA; hello.internal. NS hello.internal."},
		{"4035 3.1.4.1: no DS here", question("hello.internal.", dns.TypeDS), "NOERROR; AA" + soaHello},
		{"8482 4.1: ANY gets one kind", question(node101, dns.TypeANY), "NOERROR; AA; node101.hello.internal. A 10.96.1.10"},
		{"8482 4.1: ANY of the zone's own name", question("hello.internal.", dns.TypeANY),
			"NOERROR; AA; hello.internal. SOA hello.internal. nobody.invalid. 1 3600 1200 604800 1"},
		{"3597 5: a type nobody knows", question(node101, 65280), "NOERROR; AA" + soaHello},
		{"9460 2.4.2: HTTPS is a type like others", question(node101, dns.TypeHTTPS), "NOERROR; AA" + soaHello},

		{"1035 3.5: PTR", question("10.1.96.10.in-addr.arpa.", dns.TypePTR),
			"NOERROR; AA; 10.1.96.10.in-addr.arpa. PTR node101.hello.internal."},
		{"3596 2.5: PTR of IPv6", question(arpa("fd48:4e00:0:1::a"), dns.TypePTR),
			"NOERROR; AA; " + arpa("fd48:4e00:0:1::a") + " PTR node101.hello.internal."},
		{"1035 3.5: an address nobody has", question("99.1.96.10.in-addr.arpa.", dns.TypePTR), "NXDOMAIN; AA; /96.10.in-addr.arpa. SOA"},
		{"1035 3.5: an address of another's", question("10.2.96.10.in-addr.arpa.", dns.TypePTR), "NXDOMAIN; AA; /96.10.in-addr.arpa. SOA"},
		{"4592 2.2.2: part of an address", question("1.96.10.in-addr.arpa.", dns.TypePTR), "NOERROR; AA; /96.10.in-addr.arpa. SOA"},
		{"4592 2.2.2: part of no address", question("7.96.10.in-addr.arpa.", dns.TypePTR), "NXDOMAIN; AA; /96.10.in-addr.arpa. SOA"},
		{"1034 4.2.1: the reverse zone's SOA", question("111.10.in-addr.arpa.", dns.TypeSOA),
			"NOERROR; AA; 111.10.in-addr.arpa. SOA 111.10.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 1"},
		{"2308 2.2: a PTR is not an A", question("10.1.96.10.in-addr.arpa.", dns.TypeA), "NOERROR; AA; /96.10.in-addr.arpa. SOA"},
		{"8020 2: below an address", question("x.10.1.96.10.in-addr.arpa.", dns.TypePTR), "NXDOMAIN; AA; /96.10.in-addr.arpa. SOA"},
		{"1035 3.5: not how a number is written", question("010.1.96.10.in-addr.arpa.", dns.TypePTR),
			"NXDOMAIN; AA; /96.10.in-addr.arpa. SOA"},
		{"2317 4: a delegation's label", question("0/25.1.96.10.in-addr.arpa.", dns.TypeNS), "NXDOMAIN; AA; /96.10.in-addr.arpa. SOA"},
		{"6303 2: private addresses beside ours are the site's", question("1.0.112.10.in-addr.arpa.", dns.TypePTR), "SERVFAIL"},

		{"6761 6.3: localhost", question("localhost.", dns.TypeA), "NOERROR; AA; localhost. A 127.0.0.1"},
		{"6761 6.3: below localhost", question("app.LocalHost.", dns.TypeAAAA), "NOERROR; AA; app.LocalHost. AAAA ::1"},
		{"6761 6.3: no other data", question("localhost.", dns.TypeMX), "NOERROR; AA; /localhost. SOA"},
		{"6761 6.4: invalid", question("x.invalid.", dns.TypeA), "NXDOMAIN; AA; /invalid. SOA"},
		{"7686 2: onion", question("abc.onion.", dns.TypeA), "NXDOMAIN; AA; /onion. SOA"},
		{"9462 6.4: resolver.arpa", question("_dns.resolver.arpa.", dns.TypeSVCB), "NXDOMAIN; AA; /resolver.arpa. SOA"},
		{"6303 4.2: loopback", question("1.0.0.127.in-addr.arpa.", dns.TypePTR), "NOERROR; AA; 1.0.0.127.in-addr.arpa. PTR localhost."},
		{"6303 4.2: link-local", question("1.1.254.169.in-addr.arpa.", dns.TypePTR), "NXDOMAIN; AA; /254.169.in-addr.arpa. SOA"},
		{"6303 4.3: IPv6 loopback", question(arpa("::1"), dns.TypePTR), "NOERROR; AA; " + arpa("::1") + " PTR localhost."},
		{"6303 4.5: IPv6 link-local", question(arpa("fe91::1"), dns.TypePTR), "NXDOMAIN; AA; /9.e.f.ip6.arpa. SOA"},

		{"DESIGN 5: nobody's, and of the cluster's form", question("metadata.google.internal.", dns.TypeA), "NXDOMAIN; AA; /internal. SOA"},
		{"DESIGN 5: a site's", question("ip-10-0-0-1.eu-west-1.compute.internal.", dns.TypeA), "SERVFAIL"},
		{"DESIGN 5: the top", question("internal.", dns.TypeSOA),
			"NOERROR; AA; internal. SOA internal. nobody.invalid. 1 3600 1200 604800 1"},
		{"DESIGN 5: the top has no address", question("internal.", dns.TypeA), "NOERROR; AA; /internal. SOA"},
		{"DESIGN 5: an environment one can't reach", question("node201.acme.internal.", dns.TypeA), "NXDOMAIN; AA; /internal. SOA"},
		{"DESIGN 5: the platform's is always ours", question("resolver.jelastic.internal.", dns.TypeA),
			"NXDOMAIN; AA; /jelastic.internal. SOA"},
		{"DESIGN 5: no part of a label", question("notinternal.", dns.TypeA), "SERVFAIL"},
		{"DESIGN 5: a dot in a label is no end of it", question(`node101\.hello.internal.`, dns.TypeA), "NXDOMAIN; AA; /internal. SOA"},

		{"6891 6.1.1: an OPT is answered by one", question(node101, dns.TypeA, edns(0, 1232, false)),
			"NOERROR; AA; node101.hello.internal. A 10.96.1.10; OPT0 do=false options=0"},
		{"3225 3: DO comes back", question(node101, dns.TypeA, edns(0, 1232, true)),
			"NOERROR; AA; node101.hello.internal. A 10.96.1.10; OPT0 do=true options=0"},
		{"6891 6.1.2: unknown options and flags are not repeated", question(node101, dns.TypeA, edns(0, 1232, false), func(m *dns.Msg) {
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")},
				&dns.EDNS0_COOKIE{Cookie: "0102030405060708"}}
			m.IsEdns0().SetZ(0x4000)
		}), "NOERROR; AA; node101.hello.internal. A 10.96.1.10; OPT0 do=false options=0"},
		{"6891 6.1.3: another version", question(node101, dns.TypeA, edns(1, 1232, false)), "BADVERS; OPT0 do=false options=0"},
		{"6891 6.1.3: for other servers' names too", question("example.com.", dns.TypeA, edns(100, 1232, true)),
			"BADVERS; OPT0 do=true options=0"},
		{"6891 6.1.1: two OPTs", question(node101, dns.TypeA, edns(0, 1232, false), edns(0, 512, false)), "FORMERR"},
		{"6891 6.1.1: an OPT that is no root's",
			question(node101, dns.TypeA, edns(0, 1232, false), func(m *dns.Msg) { m.IsEdns0().Hdr.Name = "x." }), "FORMERR"},
		{"6891 6.1.1: an OPT beside the answer",
			question(node101, dns.TypeA, edns(0, 1232, false), func(m *dns.Msg) { m.Answer, m.Extra = m.Extra, nil }), "FORMERR"},
		{"6895 3.1: OPT is no question", question(node101, dns.TypeOPT), "FORMERR"},
		{"6895 3.1: nor is type 0", question(node101, 0), "FORMERR"},
		{"6895 3.2: nor class NONE", question(node101, dns.TypeA, class(dns.ClassNONE)), "FORMERR"},
		{"6895 3.1: meta types", question(node101, dns.TypeTKEY), "NOTIMP"},
		{"1035 3.2.3: MAILA", question("example.com.", dns.TypeMAILA), "NOTIMP"},
		{"5936 2.2.1: AXFR", question("hello.internal.", dns.TypeAXFR), "REFUSED"},
		{"1995 2: IXFR", question("hello.internal.", dns.TypeIXFR, func(m *dns.Msg) {
			m.Ns = []dns.RR{rr("hello.internal. 1 IN SOA a. b. 1 1 1 1 1")}
		}), "REFUSED"},
		{"4892 3: version.bind", question("version.bind.", dns.TypeTXT, class(dns.ClassCHAOS)), "REFUSED"},
		{"1035 3.2.5: class ANY", question(node101, dns.TypeA, class(dns.ClassANY)), "REFUSED"},
		{"1035 4.1.1: another opcode", question(node101, dns.TypeSOA, opcode(dns.OpcodeStatus)), "NOTIMP"},
		{"1996 3.2: NOTIFY", question(node101, dns.TypeSOA, opcode(dns.OpcodeNotify)), "NOTIMP"},
		{"2136 3.1: UPDATE, with EDNS", question("hello.internal.", dns.TypeSOA, opcode(dns.OpcodeUpdate), edns(0, 512, false)),
			"NOTIMP; OPT0 do=false options=0"},
		{"8490 5.1: DSO", []byte{1, 2, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "NOTIMP"},
		{"9619 3: two questions", question(node101, dns.TypeA, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }),
			"FORMERR"},
		{"9619 3: no question", question(node101, dns.TypeA, func(m *dns.Msg) { m.Question = nil }), "FORMERR"},
		{"1035 4.1.1: a response is no query", question(node101, dns.TypeA, func(m *dns.Msg) { m.Response = true }), "nothing"},
		{"1035 4.1.1: less than a header", []byte{1, 2, 1, 0, 0}, "nothing"},
		{"1035 4.1: a header and nothing else", []byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, "FORMERR"},
		{"1035 4.1: cut off", question(node101, dns.TypeA)[:20], "FORMERR"},
		{"1035 4.1.4: a pointer to itself", append([]byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 0xc0, 12, 0, 1, 0, 1), "FORMERR"},
		{"1035 2.3.4: a label of 64", append([]byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 64), "FORMERR"},
		{"1035 2.3.4: the longest name", question(long+strings.Repeat("b", 44)+".hello.internal.", dns.TypeA), "NXDOMAIN; AA" + soaHello},
		{"1035 2.3.4: a name too long", tooLong(), "FORMERR"},
		{"2181 11: any byte is a name's", question(`\000\255 \..hello.internal.`, dns.TypeA), "NXDOMAIN; AA" + soaHello},
		{"1035 4.1.1: RD off changes nothing here", question(node101, dns.TypeA, func(m *dns.Msg) { m.RecursionDesired = false }),
			"NOERROR; AA; node101.hello.internal. A 10.96.1.10"},
	}
	s := server()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, tcp := range []bool{false, true} {
				if got := render(say(t, s, tt.raw, hello, tcp)); got != tt.want {
					t.Errorf("tcp %v: got\n %q, want\n %q", tcp, got, tt.want)
				}
			}
		})
	}
}

func arpa(addr string) string {
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		panic(err)
	}
	return name
}

// tooLong is a question whose name has 256 octets.
func tooLong() []byte {
	raw := []byte{1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for range 4 {
		raw = append(append(raw, 63), bytes.Repeat([]byte("a"), 63)...)
	}
	return append(raw, 0, 0, 1, 0, 1)
}

// TestEcho: flags and question come back as RFC 1035 4.1.1 and RFC 4035 3.2 have it.
func TestEcho(t *testing.T) {
	m := say(t, server(),
		question("CP.hello.INTERNAL.", dns.TypeA, func(m *dns.Msg) { m.RecursionDesired, m.CheckingDisabled = false, true }), hello, false)
	if m.RecursionDesired || !m.CheckingDisabled || m.AuthenticatedData || m.Question[0].Name != "CP.hello.INTERNAL." {
		t.Errorf("got %v", m)
	}
}

// TestSeenByThoseWhoMayReach: names, layers' addresses, reverse names and whole environments, by caller.
func TestSeenByThoseWhoMayReach(t *testing.T) {
	tests := []struct {
		caller     netip.Addr
		name       string
		kind       uint16
		want, note string
	}{
		{acme, "node201.acme.internal.", dns.TypeA, "NOERROR; AA; node201.acme.internal. A 10.96.2.10", "its own"},
		{acme, "node101.hello.internal.", dns.TypeA, "NXDOMAIN; AA; /internal. SOA", "another's: as if there were none"},
		{acme, "nothing.hello.internal.", dns.TypeA, "NXDOMAIN; AA; /internal. SOA",
			"nor does the answer tell that there is such an environment"},
		{resolver, "node101.hello.internal.", dns.TypeA, "NOERROR; AA; node101.hello.internal. A 10.96.1.10", "the platform reaches all"},
		{resolver, "resolver.jelastic.internal.", dns.TypeA, "NOERROR; AA; resolver.jelastic.internal. A 10.96.0.14", "and itself"},
		{self, "node201.acme.internal.", dns.TypeA, "NOERROR; AA; node201.acme.internal. A 10.96.2.10", "the host itself sees all"},
		{lost, "node101.hello.internal.", dns.TypeA, "NXDOMAIN; AA; /internal. SOA", "a container in no group reaches nobody"},
		{acme, "10.1.96.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN; AA; /96.10.in-addr.arpa. SOA", "nor by address"},
		{resolver, "10.1.96.10.in-addr.arpa.", dns.TypePTR, "NOERROR; AA; 10.1.96.10.in-addr.arpa. PTR node101.hello.internal.", ""},
	}
	s := server()
	for _, tt := range tests {
		if got := render(say(t, s, question(tt.name, tt.kind), tt.caller, false)); got != tt.want {
			t.Errorf("%s asks for %s (%s): got %q, want %q", tt.caller, tt.name, tt.note, got, tt.want)
		}
	}
	before := &Server{Self: a("169.254.1.1")}
	for name, want := range map[string]string{"node101.hello.internal.": "SERVFAIL", "localhost.": "NOERROR; AA; localhost. A 127.0.0.1",
		"x.invalid.": "NXDOMAIN; AA; /invalid. SOA"} {
		if got := render(say(t, before, question(name, dns.TypeA), hello, false)); got != want {
			t.Errorf("before the first peers, %s: got %q, want %q", name, got, want)
		}
	}
}

// TestCutToSize: an answer fits what the client takes, and says when there is more (RFC 1035 4.2.1, RFC 6891 6.2.3 to 6.2.5).
func TestCutToSize(t *testing.T) {
	p := peers()
	var many []netip.Addr
	for i := range 200 {
		many = append(many, netip.AddrFrom4([4]byte{10, 96, 1, byte(i)}))
	}
	p.Names = append(p.Names, hostName("many.hello.internal", many))
	p.Groups[0].Addrs = append(p.Groups[0].Addrs, many...)
	s := server()
	s.Set(p)
	for _, tt := range []struct {
		name      string
		change    []func(*dns.Msg)
		tcp       bool
		size      int
		truncated bool
	}{
		{"no EDNS", nil, false, 512, true},
		{"EDNS, less than 512", []func(*dns.Msg){edns(0, 100, false)}, false, 512, true},
		{"EDNS, 1232", []func(*dns.Msg){edns(0, 1232, false)}, false, 1232, true},
		{"EDNS, 4096", []func(*dns.Msg){edns(0, 4096, false)}, false, 4096, false},
		{"EDNS, 65535", []func(*dns.Msg){edns(0, 65535, false)}, false, 4096, false},
		{"TCP", nil, true, 65535, false},
		{"TCP, a size for UDP", []func(*dns.Msg){edns(0, 512, false)}, true, 65535, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := question("many.hello.internal.", dns.TypeA, tt.change...)
			out, _ := s.begin(t.Context(), raw, hello, tt.tcp)
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil {
				t.Fatal(err)
			}
			if len(out) > tt.size || m.Truncated != tt.truncated || !tt.truncated && len(m.Answer) != 200 || tt.truncated &&
				len(out) < tt.size-32 {
				t.Errorf("got %d bytes, TC %v, %d records; want at most %d (and use them), TC %v", len(out), m.Truncated, len(m.Answer),
					tt.size, tt.truncated)
			}
			if (m.IsEdns0() != nil) != (len(tt.change) > 0) {
				t.Errorf("OPT in the answer: %v", m.IsEdns0())
			}
		})
	}
}

// FuzzQuery: whatever a container sends, the server does not fall, answers within the size it may, and answers no answers.
func FuzzQuery(f *testing.F) {
	f.Add(question("node101.hello.internal.", dns.TypeA, edns(0, 1232, true)), true)
	f.Add(question("er.hello.internal.", dns.TypeANY), false)
	f.Add(question("10.1.96.10.in-addr.arpa.", dns.TypePTR), false)
	f.Add(question(arpa("fd48:4e00:0:1::a"), dns.TypePTR), false)
	f.Add(question("a.b.localhost.", dns.TypeANY, edns(3, 0, false)), false)
	f.Add(tooLong(), false)
	s := server()
	f.Fuzz(func(t *testing.T, raw []byte, tcp bool) {
		defer func() {
			if why := recover(); why != nil {
				t.Fatal(why)
			}
		}()
		q, out := read(raw, tcp)
		if q != nil {
			l, ok := s.now().local(q.question(), hello)
			if !ok {
				return
			}
			if out = q.pack(q.local(l)); len(out) > q.size {
				t.Errorf("%d bytes, the client takes %d", len(out), q.size)
			}
		}
		if out == nil {
			return
		}
		m := new(dns.Msg)
		if err := m.Unpack(out); err != nil || !m.Response || m.Id != binary.BigEndian.Uint16(raw) || raw[2]&0x80 != 0 {
			t.Errorf("answer %v, %v", m, err)
		}
	})
}

// FuzzPass: whatever another server sends, nothing in it names an address of the cluster afterwards.
func FuzzPass(f *testing.F) {
	m := new(dns.Msg).SetQuestion("x.example.", dns.TypeA)
	m.Answer = []dns.RR{rr("x.example. 1 IN CNAME y.example."), rr("y.example. 1 IN A 10.96.1.10"),
		rr("y.example. 1 IN HTTPS 1 . ipv4hint=10.96.1.10")}
	raw, _ := m.Pack()
	f.Add(raw, uint16(512))
	s := server()
	f.Fuzz(func(t *testing.T, raw []byte, size uint16) {
		r := new(dns.Msg)
		if r.Unpack(raw) != nil {
			return
		}
		q := &query{msg: new(dns.Msg).SetQuestion("x.example.", dns.TypeA), size: max(dns.MinMsgSize, int(size)), edns: size%2 == 0}
		out := q.pack(s.now().pass(q, r))
		if out == nil {
			return
		}
		got := new(dns.Msg)
		if err := got.Unpack(out); err != nil || len(out) > q.size {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
		for _, rr := range slices.Concat(got.Answer, got.Ns, got.Extra) {
			if slices.ContainsFunc(told(rr), s.now().barred) {
				t.Errorf("passed on: %s", rr)
			}
		}
	})
}
