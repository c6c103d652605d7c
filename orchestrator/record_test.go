package main

import (
	"strings"
	"testing"

	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// TestRecordOfAccount: what those who run the cluster do to an account's people, services and tokens is on the account's own record, which
// names them as an account; who tries it from another account leaves nothing there.
func TestRecordOfAccount(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	service := user.NewService{Name: "ci", Account: "acme", Role: user.Developer}
	var made user.Service
	read := operator.NewToken{Name: "one", Scopes: []string{"read"}}
	s.ok("POST", "/api/v1/services", service, &made)
	if made.By != "those who run the cluster" {
		t.Errorf("the service is made by %q", made.By)
	}
	s.ok("POST", "/api/v1/services/"+made.ID+"/tokens", read, nil)
	s.ok("DELETE", "/api/v1/services/"+made.ID, nil, nil)
	s.ok("POST", "/api/v1/accounts/acme/tokens", read, nil)
	someone := user.NewUser{Mail: "new@acme.example", Password: "correct horse", Account: "acme", Role: user.Viewer}
	s.ok("POST", "/api/v1/users", someone, nil)
	s.ok("PUT", "/api/v1/accounts/acme/users/new@acme.example", user.SetMember{Role: user.Developer}, nil)
	s.ok("DELETE", "/api/v1/accounts/acme/users/new@acme.example", nil, nil)
	title := "Acme"
	s.ok("PATCH", "/api/v1/accounts/acme", account.ChangeAccount{Title: &title}, nil)
	s.as(s.eve, func() {
		s.call("PUT", "/api/v1/accounts/acme/users/viewer@eve.example", user.SetMember{Role: user.Owner}, nil)
		s.call("POST", "/api/v1/services", user.NewService{Name: "mole", Account: "acme", Role: user.Owner}, nil)
	})
	s.as(s.ada, func() {
		var audits operator.List[operator.Audit]
		s.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
		got := map[string]bool{}
		for _, a := range audits.Items {
			if strings.Contains(a.Who, "eve") || strings.Contains(a.Object, "mole") || a.Who == "admin" {
				t.Errorf("it reads %+v", a)
			}
			if a.Who == "account admin" && strings.HasPrefix(a.Result, "ok") {
				got[a.What+" "+a.Object] = true
			}
		}
		for _, want := range []string{"service.add accounts/acme/services/ci (developer)",
			"token.create accounts/acme/services/ci/tokens/one",
			"service.remove accounts/acme/services/ci", "token.create accounts/acme/tokens/one",
			"user.create users/new@acme.example (viewer of acme)", "user.role accounts/acme/users/new@acme.example (developer)",
			"user.remove accounts/acme/users/new@acme.example", "account.change accounts/acme"} {
			if !got[want] {
				t.Errorf("its record lacks %q: %v", want, got)
			}
		}
		ends := 0
		for did := range got {
			if strings.HasPrefix(did, "token.end tokens/") {
				ends++
			}
		}
		if ends != 1 {
			t.Errorf("its record has %d ends of tokens", ends)
		}
	})
}
