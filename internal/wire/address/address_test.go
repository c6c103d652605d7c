package address

import (
	"net/netip"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for want, list := range map[string][]string{
		"":                     {"203.0.113.10", "10.77.0.50", "2001:db8::10", "fd78::10"},
		"leave out what comes": {"fd78::1%eth0"},
		"write 192.0.2.1":      {"::ffff:192.0.2.1"},
		"no machine's":         {"0.0.0.0", "0.1.2.3", "::"},
		"loopback":             {"127.0.0.1", "::1"},
		"multicast":            {"224.0.0.1", "239.255.0.1", "ff02::1"},
		"link-local":           {"169.254.1.1", "fe80::1"},
		"broadcast":            {"255.255.255.255", "240.0.0.1"},
	} {
		for _, text := range list {
			err := Check(netip.MustParseAddr(text))
			if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", text, err, want)
			}
		}
	}
	if err := Check(netip.Addr{}); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("none: %v", err)
	}
}

func TestValidate(t *testing.T) {
	var list []netip.Addr
	for a := netip.MustParseAddr("203.0.113.10"); len(list) < Max; a = a.Next() {
		list = append(list, a)
	}
	if err := Validate(list); err != nil {
		t.Error(err)
	}
	if err := Validate(append(list, netip.MustParseAddr("2001:db8::1"))); err == nil || !strings.Contains(err.Error(), "at most 8") {
		t.Errorf("too many: %v", err)
	}
	if err := Validate([]netip.Addr{list[0], list[1], list[0]}); err == nil || !strings.Contains(err.Error(), "10 is there twice") {
		t.Errorf("twice: %v", err)
	}
	if err := Validate([]netip.Addr{list[0], netip.MustParseAddr("::1")}); err == nil {
		t.Error("loopback is taken")
	}
}
