package oidc

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[OidcSettings](t, "settings")
	golden.Wire[SetOidcSettings](t, "set")
	golden.Wire[SignInWays](t, "ways")
	golden.Wire[OidcSignIn](t, "signin")
}

func TestNormal(t *testing.T) {
	s := SetOidcSettings{Issuer: "https://login.example.com/realms/x", Client: "hardnode", Panel: "https://paas.example.com/",
		Domains: []string{" @Example.com ", "example.com", "a.example.org"}}.Normal()
	if s.Name != "login.example.com" || s.Counts != First || s.Panel != "https://paas.example.com" || len(s.Domains) != 2 ||
		s.Domains[1] != "example.com" {
		t.Errorf("got %+v", s)
	}
	if field, err := s.Validate(); err != nil {
		t.Errorf("%s: %v", field, err)
	}
}

func TestBelieved(t *testing.T) {
	for mail, want := range map[string]bool{"ada@example.com": true, "Ada@EXAMPLE.com": true, "ada@x.example.com": false,
		"example.com": false,
		"":            false, "ada@example.com.evil.org": false} {
		if got := Believed([]string{"example.com"}, mail); got != want {
			t.Errorf("%q: %v", mail, got)
		}
	}
}
