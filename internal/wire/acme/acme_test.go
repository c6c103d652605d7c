package acme

import (
	"net/netip"
	"strings"
	"testing"
)

// TestSettings: what names a CA, and which field is named of what does not.
func TestSettings(t *testing.T) {
	good := SetAcmeSettings{Directory: "https://ca.example/directory", Mail: "ada@example.com",
		Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.4")}}
	if field, err := good.Validate(); err != nil {
		t.Errorf("a good one: %s: %v", field, err)
	}
	for want, change := range map[string]func(*SetAcmeSettings){
		"directory":  func(s *SetAcmeSettings) { s.Directory = "http://ca.example/directory" },
		"directory ": func(s *SetAcmeSettings) { s.Directory = "https://who:secret@ca.example/directory" },
		"mail":       func(s *SetAcmeSettings) { s.Mail = "ada" },
		"ca":         func(s *SetAcmeSettings) { s.CA = "x" },
		"addresses":  func(s *SetAcmeSettings) { s.Addresses = []netip.Addr{netip.IPv4Unspecified()} },
		"addresses ": func(s *SetAcmeSettings) { s.Addresses = make([]netip.Addr, MaxAddresses+1) },
	} {
		bad := good
		change(&bad)
		if field, err := bad.Validate(); err == nil || field != strings.TrimSpace(want) {
			t.Errorf("%s: got field %q, %v", want, field, err)
		}
	}
}
