package zone

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	wire "hardnode.dev/internal/wire/zone"
)

// example is a zone of two resolvers with one of each record.
func example(t testing.TB) *Zone {
	t.Helper()
	a := netip.MustParseAddr
	w := &wire.Zone{Domain: "paas.example", Serial: 7, Mail: "host.master@example.com",
		Servers: []wire.DnsServer{{Name: "ns1.paas.example", Addresses: []netip.Addr{a("198.51.100.1"), a("2001:db8::1")}},
			{Name: "ns.other.example"}},
		Addresses: []netip.Addr{a("198.51.100.4"), a("2001:db8::4")}}
	for _, text := range []string{"@ TXT v=spf1 -all", `@ CAA 0 issue "ca.example"`, "_dmarc TXT v=DMARC1; p=reject", "mail A 198.51.100.9",
		`proof.shop TXT "back\slash"`, "shown TXT " + strings.Repeat("x", 300)} {
		r, err := wire.ParseRecord(text, w.Domain)
		if err != nil {
			t.Fatal(err)
		}
		w.Records = append(w.Records, r)
	}
	for _, value := range []string{"one", "two"} {
		w.Records = append(w.Records, wire.Record{Name: "_acme-challenge.paas.example", Type: "TXT", Value: value, Brief: true})
	}
	if err := w.Validate(); err != nil {
		t.Fatal(err)
	}
	return New(w)
}

// text is an answer on one line.
func text(a Answer) string {
	var out []string
	for _, part := range []struct {
		name string
		set  []dns.RR
	}{{"", a.Answer}, {"authority: ", a.Authority}, {"additional: ", a.Additional}} {
		for _, rr := range part.set {
			out = append(out, part.name+strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	s := dns.RcodeToString[a.Rcode]
	if a.Authoritative {
		s += " aa"
	}
	return strings.Join(append([]string{s}, out...), "\n")
}

// TestAnswer is what each kind of question is answered.
func TestAnswer(t *testing.T) {
	const none = "authority: paas.example. 30 IN SOA ns1.paas.example. host\\.master.example.com. 7 3600 600 1209600 30"
	soa := strings.Replace(none, "authority: paas.example. 30", "paas.example. 3600", 1)
	wild := func(name string) string {
		return "NOERROR aa\n" + name + " 300 IN A 198.51.100.4"
	}
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"paas.example.", dns.TypeSOA, "NOERROR aa\n" + soa},
		{"paas.example.", dns.TypeNS, "NOERROR aa\npaas.example. 3600 IN NS ns1.paas.example.\n" +
			"paas.example. 3600 IN NS ns.other.example.\n" +
			"additional: ns1.paas.example. 300 IN A 198.51.100.1\nadditional: ns1.paas.example. 300 IN AAAA 2001:db8::1"},
		{"paas.example.", dns.TypeA, wild("paas.example.")},
		{"paas.example.", dns.TypeAAAA, "NOERROR aa\npaas.example. 300 IN AAAA 2001:db8::4"},
		{"paas.example.", dns.TypeTXT, "NOERROR aa\npaas.example. 300 IN TXT \"v=spf1 -all\""},
		{"paas.example.", dns.TypeCAA, "NOERROR aa\npaas.example. 300 IN CAA 0 issue \"ca.example\""},
		{"paas.example.", dns.TypeMX, "NOERROR aa\n" + none},
		{"paas.example.", dns.TypeDS, "NOERROR aa\n" + none},
		// every name leads to the resolvers, in the capitals it was asked for, however deep; there is nothing else of it
		{"hello.paas.example.", dns.TypeA, wild("hello.paas.example.")},
		{"HeLLo.PAAS.example.", dns.TypeA, wild("HeLLo.PAAS.example.")},
		{"a.b.hello.paas.example.", dns.TypeA, wild("a.b.hello.paas.example.")},
		{"*.paas.example.", dns.TypeA, wild("*.paas.example.")},
		{"hello.paas.example.", dns.TypeTXT, "NOERROR aa\n" + none},
		{"hello.paas.example.", dns.TypeSOA, "NOERROR aa\n" + none},
		{"hello.paas.example.", dns.TypeNS, "NOERROR aa\n" + none},
		{"hello.paas.example.", dns.TypeCNAME, "NOERROR aa\n" + none},
		// also beside and below names that are there for another reason
		{"shop.paas.example.", dns.TypeA, wild("shop.paas.example.")},
		{"www.shop.paas.example.", dns.TypeA, wild("www.shop.paas.example.")},
		{"proof.shop.paas.example.", dns.TypeA, wild("proof.shop.paas.example.")},
		{"proof.shop.paas.example.", dns.TypeTXT, `NOERROR aa` + "\n" + `proof.shop.paas.example. 300 IN TXT "back\\slash"`},
		{"shown.paas.example.", dns.TypeTXT, "NOERROR aa\nshown.paas.example. 300 IN TXT \"" + strings.Repeat("x", 255) + "\" \"" +
			strings.Repeat("x", 45) + "\""},
		// servers, and what has addresses of its own
		{"ns1.paas.example.", dns.TypeA, "NOERROR aa\nns1.paas.example. 300 IN A 198.51.100.1"},
		{"ns1.paas.example.", dns.TypeTXT, "NOERROR aa\n" + none},
		{"x.ns1.paas.example.", dns.TypeA, "NXDOMAIN aa\n" + none},
		{"mail.paas.example.", dns.TypeA, "NOERROR aa\nmail.paas.example. 300 IN A 198.51.100.9"},
		{"mail.paas.example.", dns.TypeAAAA, "NOERROR aa\n" + none},
		{"x.mail.paas.example.", dns.TypeA, "NXDOMAIN aa\n" + none},
		{"x.mail.paas.example.", dns.TypeANY, "NXDOMAIN aa\n" + none},
		// texts that are no host's
		{"_dmarc.paas.example.", dns.TypeTXT, "NOERROR aa\n_dmarc.paas.example. 300 IN TXT \"v=DMARC1; p=reject\""},
		{"_dmarc.paas.example.", dns.TypeA, "NOERROR aa\n" + none},
		{"x._dmarc.paas.example.", dns.TypeTXT, "NXDOMAIN aa\n" + none},
		{"_acme-challenge.paas.example.", dns.TypeTXT, "NOERROR aa\n_acme-challenge.paas.example. 1 IN TXT \"one\"\n" +
			"_acme-challenge.paas.example. 1 IN TXT \"two\""},
		{"_acme-challenge.hello.paas.example.", dns.TypeTXT, "NOERROR aa\n" + none},
		// ANY says nothing, of what is there
		{"paas.example.", dns.TypeANY, "NOERROR aa\npaas.example. 3600 IN HINFO \"RFC8482\" \"\""},
		{"hello.paas.example.", dns.TypeANY, "NOERROR aa\nhello.paas.example. 3600 IN HINFO \"RFC8482\" \"\""},
		// other zones
		{"example.", dns.TypeSOA, "REFUSED"},
		{".", dns.TypeNS, "REFUSED"},
		{"xpaas.example.", dns.TypeA, "REFUSED"},
		{`hello\.paas.example.`, dns.TypeA, "REFUSED"},
		{"paas.example.com.", dns.TypeA, "REFUSED"},
		// a dot in a label is no border between two
		{`x\.ns1.paas.example.`, dns.TypeA, wild(`x\.ns1.paas.example.`)},
	} {
		got := text(example(t).Answer(dns.Question{Name: c.name, Qtype: c.kind, Qclass: dns.ClassINET}))
		if got != c.want {
			t.Errorf("%s %s: got\n%s\nwant\n%s", c.name, dns.TypeToString[c.kind], got, c.want)
		}
	}
	var off *Zone
	if a := off.Answer(dns.Question{Name: "paas.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET}); text(a) != "REFUSED" {
		t.Errorf("without a zone: %s", text(a))
	}
	if New(&wire.Zone{}) != nil || New(nil) != nil {
		t.Error("a zone without a domain is one")
	}
}

// TestNothingIsEnumerated: names that environments may have are answered alike, whatever records there are.
func TestNothingIsEnumerated(t *testing.T) {
	z := example(t)
	for i := range 50 {
		name := fmt.Sprintf("env%d.paas.example.", i)
		for _, q := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeNS, dns.TypeANY} {
			got := text(z.Answer(dns.Question{Name: name, Qtype: q, Qclass: dns.ClassINET}))
			want := strings.ReplaceAll(text(z.Answer(dns.Question{Name: "other.paas.example.", Qtype: q, Qclass: dns.ClassINET})),
				"other.paas.example.", name)
			if got != want {
				t.Errorf("%s is answered\n%s\nwant\n%s", name, got, want)
			}
		}
	}
}

// TestAnswersAreTheirOwn: what is changed in an answer is not changed in the zone.
func TestAnswersAreTheirOwn(t *testing.T) {
	z, q := example(t), dns.Question{Name: "hello.paas.example.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	a := z.Answer(q)
	a.Answer[0].Header().Name = "x."
	a.Answer[0].(*dns.A).A[0] = 9
	if got := text(z.Answer(q)); got != "NOERROR aa\nhello.paas.example. 300 IN A 198.51.100.4" {
		t.Errorf("got %s", got)
	}
}
