package nameserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	wire "hardnode.dev/internal/wire/zone"
	"hardnode.dev/orchestrator/resolver/zone"
)

// told is a zone with a text of about this many bytes at "long".
func told(long int) *wire.Zone {
	a := netip.MustParseAddr("198.51.100.4")
	w := &wire.Zone{Domain: "paas.example", Serial: 7, Mail: "hostmaster@paas.example", Addresses: []netip.Addr{a},
		Servers: []wire.DnsServer{{Name: "ns1.paas.example", Addresses: []netip.Addr{a}}}}
	for i := 0; i < long; i += 100 {
		w.Records = append(w.Records, wire.Record{Name: "long.paas.example", Type: "TXT",
			Value: fmt.Sprintf("%04d%s", i, strings.Repeat("x", 84))})
	}
	return w
}

func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func question(name string, kind uint16) *dns.Msg {
	return &dns.Msg{MsgHdr: dns.MsgHdr{Id: 4711}, Question: []dns.Question{{Name: name, Qtype: kind, Qclass: dns.ClassINET}}}
}

func changed(m *dns.Msg, f func(*dns.Msg)) *dns.Msg {
	f(m)
	return m
}

// TestRespond is what becomes of packets: code, flags, how much, and whether there is an OPT.
func TestRespond(t *testing.T) {
	z := zone.New(told(3000))
	with := changed
	edns := func(size uint16) func(*dns.Msg) { return func(m *dns.Msg) { m.SetEdns0(size, false) } }
	const hello, long = "hello.paas.example.", "long.paas.example."
	for _, c := range []struct {
		what string
		m    *dns.Msg
		tcp  bool
		want string
	}{
		{"a query", question(hello, dns.TypeA), false, "NOERROR aa 1"},
		{"that wants recursion", with(question(hello, dns.TypeA), func(m *dns.Msg) { m.RecursionDesired = true }), false,
			"NOERROR aa rd 1"},
		{"with EDNS", with(question(hello, dns.TypeA), edns(4096)), false, "NOERROR aa 1 opt 1232"},
		{"that wants DNSSEC", with(question(hello, dns.TypeA), func(m *dns.Msg) { m.SetEdns0(4096, true) }), false,
			"NOERROR aa 1 opt 1232 do"},
		{"of another version", with(question(hello, dns.TypeA), func(m *dns.Msg) { m.SetEdns0(1232, false).IsEdns0().SetVersion(1) }),
			false, "BADVERS 0 opt 1232"},
		{"with two OPTs", with(question(hello, dns.TypeA), func(m *dns.Msg) { edns(512)(m); edns(512)(m) }), false, "FORMERR 0"},
		{"for another zone", question("example.com.", dns.TypeA), false, "REFUSED 0"},
		{"for a zone as a whole", question("paas.example.", dns.TypeAXFR), true, "REFUSED 0"},
		{"for its changes", with(question("paas.example.", dns.TypeIXFR), func(m *dns.Msg) {
			h := dns.RR_Header{Name: "paas.example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}
			m.Ns = []dns.RR{&dns.SOA{Hdr: h, Ns: ".", Mbox: "."}}
		}), true, "REFUSED 0"},
		{"for the version", with(question("version.bind.", dns.TypeTXT), func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
			false, "REFUSED 0"},
		{"for all", question("paas.example.", dns.TypeANY), false, "NOERROR aa 1"},
		{"for a key", question(hello, dns.TypeTKEY), false, "NOTIMP 0"},
		{"for an OPT", question(hello, dns.TypeOPT), false, "FORMERR 0"},
		{"two questions", with(question(hello, dns.TypeA), func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), false,
			"FORMERR 0"},
		{"none", &dns.Msg{MsgHdr: dns.MsgHdr{Id: 4711}}, false, "FORMERR 0"},
		{"an update", with(question("paas.example.", dns.TypeSOA), func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), false, "NOTIMP 0"},
		{"a notification", with(question("paas.example.", dns.TypeSOA), func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }), false,
			"NOTIMP 0"},
		{"for more than fits", question(long, dns.TypeTXT), false, "NOERROR aa tc 0"},
		{"likewise with EDNS", with(question(long, dns.TypeTXT), edns(65535)), false, "NOERROR aa tc 0 opt 1232"},
		{"likewise over TCP", question(long, dns.TypeTXT), true, "NOERROR aa 30"},
	} {
		raw := respond(z, packed(t, c.m), c.tcp)
		var got dns.Msg
		if err := got.Unpack(raw); err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if got.Id != 4711 || !got.Response || got.Opcode != c.m.Opcode || got.RecursionAvailable {
			t.Errorf("%s: the header is %+v", c.what, got.MsgHdr)
		}
		if !c.tcp && len(raw) > mostUDP {
			t.Errorf("%s: %d bytes over UDP", c.what, len(raw))
		}
		if s := summary(&got); s != c.want {
			t.Errorf("%s: got %s, want %s", c.what, s, c.want)
		}
	}
	answer := packed(t, changed(question(hello, dns.TypeA), func(m *dns.Msg) { m.Response = true }))
	for what, raw := range map[string][]byte{"an answer": answer, "half a header": answer[:8], "nothing": nil,
		"a very long one": make([]byte, mostQuery+1)} {
		if got := respond(z, raw, false); got != nil {
			t.Errorf("%s is answered: %x", what, got)
		}
	}
	broken := packed(t, question(hello, dns.TypeA))
	binary.BigEndian.PutUint16(broken[4:], 9)
	if got := respond(z, broken, false); len(got) < headerSize || got[3]&0xf != dns.RcodeFormatError {
		t.Errorf("questions that are missing: %x", got)
	}
}

func summary(m *dns.Msg) string {
	out := []string{dns.RcodeToString[m.Rcode]}
	for _, f := range []struct {
		is   bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionDesired, "rd"}} {
		if f.is {
			out = append(out, f.name)
		}
	}
	out = append(out, fmt.Sprint(len(m.Answer)))
	if o := m.IsEdns0(); o != nil {
		if o.ExtendedRcode() != 0 {
			out[0] = "BADVERS"
		}
		if out = append(out, fmt.Sprint("opt ", o.UDPSize())); o.Do() {
			out = append(out, "do")
		}
	}
	return strings.Join(out, " ")
}

// FuzzRespond: whatever a stranger sends, nothing breaks; what is answered is an answer to it, fits, and over UDP is no more than a bounded
// number of bytes.
func FuzzRespond(f *testing.F) {
	z := zone.New(told(3000))
	for _, m := range []*dns.Msg{question("hello.paas.example.", dns.TypeA), question("long.paas.example.", dns.TypeTXT),
		question("paas.example.", dns.TypeNS), changed(question("x.", dns.TypeANY), func(m *dns.Msg) { m.SetEdns0(1232, true) })} {
		f.Add(packed(f, m), false)
		f.Add(packed(f, m), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, tcp bool) {
		got := respond(z, raw, tcp)
		if got == nil {
			return
		}
		var m dns.Msg
		if err := m.Unpack(got); err != nil {
			t.Fatalf("the answer can't be read: %v", err)
		}
		if m.Id != binary.BigEndian.Uint16(raw) || !m.Response || m.RecursionAvailable {
			t.Fatalf("it answers something else: %+v", m.MsgHdr)
		}
		if !tcp && len(got) > mostUDP {
			t.Fatalf("%d bytes over UDP", len(got))
		}
		if short := cut(raw); short != nil && len(short) > len(raw) {
			t.Fatalf("the short answer is longer than what it answers")
		}
	})
}
