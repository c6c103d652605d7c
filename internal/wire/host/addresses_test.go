package host

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseAddresses(t *testing.T) {
	a, err := ParseAddresses("10.77.0.100-10.77.0.150/23")
	if err != nil || a.Count() != 51 || a.String() != "10.77.0.100-10.77.0.150/23" || a.Broadcast().String() != "10.77.1.255" {
		t.Errorf("%+v of %d, %v", a, a.Count(), err)
	}
	for addr, want := range map[string]bool{"10.77.0.99": false, "10.77.0.100": true, "10.77.0.150": true, "10.77.0.151": false,
		"::1": false} {
		if got := a.Has(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if none, err := ParseAddresses(""); err != nil || none.Count() != 0 || none.Has(netip.MustParseAddr("10.77.0.1")) ||
		none.String() != "" {
		t.Errorf("none: %+v, %v", none, err)
	}
	for text, want := range map[string]string{
		"10.77.0.100":                      "want the first, the last",
		"10.77.0.100-10.77.0.150":          "want the first, the last",
		"10.77.0.100-10.77.0.150/33":       "want the first, the last",
		"fd00::1-fd00::9/64":               "only IPv4",
		"10.77.0.100-10.77.0.102/31":       "too small",
		"10.78.0.100-10.77.0.150/24":       "10.78.0.100 is not in 10.77.0.0/24",
		"10.77.0.150-10.77.0.100/24":       "comes before",
		"10.77.0.1-10.77.255.1/16":         "at most 4096",
		"10.77.0.0-10.77.0.9/24":           "no machine's",
		"10.77.0.9-10.77.0.255/24":         "no machine's",
		"10.77.0.100-10.77.0.150/24 or so": "want the first, the last",
	} {
		if _, err := ParseAddresses(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestParseGiven(t *testing.T) {
	const of = "10.77.0.100-10.77.0.150/24"
	g, err := ParseGiven(of, "10.77.0.1", []string{"10.77.0.53", "9.9.9.9"})
	if err != nil || g.Count() != 51 || g.Router.String() != "10.77.0.1" || len(g.DNS) != 2 || g.DNS[1].String() != "9.9.9.9" {
		t.Errorf("%+v, %v", g, err)
	}
	if bare, err := ParseGiven(of, "", nil); err != nil || bare.Router.IsValid() || bare.DNS != nil || bare.Same(g) || !bare.Same(bare) {
		t.Errorf("without: %+v, %v", bare, err)
	}
	for _, c := range []struct {
		of, router string
		dns        []string
		want       string
	}{
		{"10.77.0.100", "", nil, "want the first, the last"},
		{"", "10.77.0.1", nil, "none is given out"},
		{"", "", []string{"9.9.9.9"}, "none is given out"},
		{of, "10.78.0.1", nil, "10.78.0.1 is not in 10.77.0.0/24"},
		{of, "10.77.0.101", nil, "router 10.77.0.101 is among"},
		{of, "fd00::1", nil, `router "fd00::1": want an IPv4`},
		{of, "here", nil, `router "here": want an IPv4`},
		{of, "", []string{"10.77.0.150"}, "resolver 10.77.0.150 is among"},
		{of, "", []string{""}, `resolver "": want an IPv4`},
		{of, "", []string{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"}, "4 resolvers, at most 3"},
	} {
		if _, err := ParseGiven(c.of, c.router, c.dns); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
