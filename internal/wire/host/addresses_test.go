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
