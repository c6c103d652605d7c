package zone

import (
	"net/netip"
	"strings"
	"testing"
)

func addresses(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// TestSettings: what settings become, and which field is named of what is wrong.
func TestSettings(t *testing.T) {
	resolvers := addresses("198.51.100.4", "2001:db8::4", "198.51.100.5")
	z, field, err := SetDnsSettings{Records: []string{"@ TXT hello", `www caa 128 issue "ca.example"`}}.Zone("paas.example", resolvers)
	if err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	got := strings.Join(z.Delegation(), "\n")
	const want = "paas.example. 3600 IN NS ns1.paas.example.\npaas.example. 3600 IN NS ns2.paas.example.\n" +
		"ns1.paas.example. 3600 IN A 198.51.100.4\nns1.paas.example. 3600 IN AAAA 2001:db8::4\n" +
		"ns2.paas.example. 3600 IN A 198.51.100.5\nns2.paas.example. 3600 IN AAAA 2001:db8::4"
	if got != want || z.Mail != "hostmaster@paas.example" || z.Records[1].Type != "CAA" {
		t.Errorf("the usual ones: %+v with\n%s\nwant\n%s", z, got, want)
	}
	z, _, err = SetDnsSettings{Servers: []DnsServer{{Name: "NS.Provider.example."}, {Name: "a"}}}.Zone("paas.example", resolvers[:1])
	if err != nil || z.Servers[0].Name != "ns.provider.example" || len(z.Servers[0].Addresses) != 0 ||
		z.Servers[1].Name != "a.paas.example" || len(z.Servers[1].Addresses) != 1 {
		t.Errorf("named ones: %+v, %v", z, err)
	}
	for _, c := range []struct {
		field, words string
		s            SetDnsSettings
	}{
		{"mail", "want an address", SetDnsSettings{Mail: `"a b"@x.example`}},
		{"addresses", "no address of a server", SetDnsSettings{Addresses: addresses("0.0.0.0")}},
		{"addresses", "there twice", SetDnsSettings{Addresses: addresses("198.51.100.4", "198.51.100.4")}},
		{"addresses", "at most 16", SetDnsSettings{Addresses: make([]netip.Addr, 17)}},
		{"servers", "each once", SetDnsSettings{Servers: []DnsServer{{Name: "a"}, {Name: "A"}}}},
		{"servers", "want a name", SetDnsSettings{Servers: []DnsServer{{Name: ""}}}},
		{"servers", "want a name", SetDnsSettings{Servers: []DnsServer{{Name: "a b"}}}},
		{"servers", "other than the domain", SetDnsSettings{Servers: []DnsServer{{Name: "paas.example"}}}},
		{"servers", "one label below", SetDnsSettings{Servers: []DnsServer{{Name: "a.b.paas.example"}}}},
		{"servers", "in another zone", SetDnsSettings{Servers: []DnsServer{{Name: "ns.x.example", Addresses: addresses("192.0.2.1")}}}},
		{"servers", "want 1 to 8", SetDnsSettings{Servers: make([]DnsServer, 9)}},
		{"records", "a name, a type and a value", SetDnsSettings{Records: []string{"@ TXT"}}},
		{"records", "want A, AAAA, TXT or CAA", SetDnsSettings{Records: []string{"www CNAME other.example."}}},
		{"records", "no such address", SetDnsSettings{Records: []string{"www A 2001:db8::1"}}},
		{"records", "has the resolvers' addresses", SetDnsSettings{Records: []string{"@ A 198.51.100.4"}}},
		{"records", "is a name server", SetDnsSettings{Records: []string{"ns1 A 198.51.100.4"}}},
		{"records", "want a name in", SetDnsSettings{Records: []string{"a..b TXT x"}}},
		{"records", "want a name in", SetDnsSettings{Records: []string{"* TXT x"}}},
		{"records", "ASCII", SetDnsSettings{Records: []string{"a TXT ä"}}},
		{"records", "at most 1024", SetDnsSettings{Records: []string{"a TXT " + strings.Repeat("x", 1025)}}},
		{"records", "want a flag", SetDnsSettings{Records: []string{"@ CAA 1 issue x"}}},
		{"records", "want a flag", SetDnsSettings{Records: []string{"@ CAA 0 issue"}}},
		{"records", "at most 128", SetDnsSettings{Records: make([]string, 129)}},
	} {
		if _, field, err := c.s.Zone("paas.example", resolvers); err == nil || field != c.field || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: got %q, %v; want %q with %q", c.s, field, err, c.field, c.words)
		}
	}
	if _, field, err := (SetDnsSettings{}).Zone("paas.example", nil); err == nil || field != "addresses" {
		t.Errorf("without any address: %q, %v", field, err)
	}
}

// TestZone: a zone without a domain has nothing in it; none at all is none.
func TestZone(t *testing.T) {
	var none *Zone
	if err := none.Validate(); err != nil {
		t.Error(err)
	}
	if err := (&Zone{}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (&Zone{Addresses: addresses("192.0.2.1")}).Validate(); err == nil {
		t.Error("a zone without a domain has addresses")
	}
}

// FuzzParseRecord: what is taken is a record of the domain, and is taken as it is written.
func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{"@ TXT v=spf1 -all", `www CAA 0 issue "x"`, "a A 192.0.2.1", "a AAAA 2001:db8::1", "* TXT x", "a TXT \"\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecord(text, "paas.example")
		if err != nil {
			return
		}
		if r.Name != "paas.example" && !strings.HasSuffix(r.Name, ".paas.example") {
			t.Errorf("%q is %+v", text, r)
		}
		name := strings.TrimSuffix(strings.TrimSuffix(r.Name, "paas.example"), ".")
		if name == "" {
			name = "@"
		}
		value := r.Value
		if r.Type == "TXT" {
			value = `"` + value + `"`
		}
		if again, err := ParseRecord(name+" "+r.Type+" "+value, "paas.example"); err != nil || again != r {
			t.Errorf("%q is %+v, written again %+v, %v", text, r, again, err)
		}
	})
}
