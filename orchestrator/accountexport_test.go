package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"hardnode.dev/internal/wire/account"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
)

// TestAccountExported: owners export their account, also while it is closing; the values of secret variables are for them alone, and who
// runs the cluster is on the account's record.
func TestAccountExported(t *testing.T) {
	t.Parallel()
	s := shareable(t)
	export := func(token, of, query string) (status int, files map[string]string, problem string) {
		t.Helper()
		s.as(token, func() {
			resp, text := s.do(s.client, "GET", "/api/v1/accounts/"+of+"/export"+query, nil)
			if status = resp.StatusCode; status != http.StatusOK {
				problem = text
				return
			}
			if got := resp.Header.Get("Content-Disposition"); !strings.Contains(got, "account-"+of+".tar.gz") {
				t.Errorf("it is called %q", got)
			}
			unzipped, err := gzip.NewReader(strings.NewReader(text))
			must(t, err)
			files = map[string]string{}
			r := tar.NewReader(unzipped)
			for h, err := r.Next(); !errors.Is(err, io.EOF); h, err = r.Next() {
				must(t, err)
				raw, err := io.ReadAll(r)
				must(t, err)
				files[h.Name] = string(raw)
			}
			if _, err := io.Copy(io.Discard, unzipped); err != nil {
				t.Errorf("it has no end: %v", err)
			}
		})
		return status, files, problem
	}
	whole := func(who, token, query string, secrets bool) {
		t.Helper()
		status, files, problem := export(token, "acme", query)
		shop := files["environments/shop.yaml"]
		if status != http.StatusOK || files["environments/cellar.yaml"] == "" || !strings.Contains(shop, "PASSWORD") ||
			strings.Contains(shop, sharedSecret) != secrets || !strings.Contains(files["users.json"], "owner@acme.example") {
			t.Errorf("%s: %d %s, %d files, %s", who, status, problem, len(files), shop)
		}
	}
	dev := s.person("dev@acme.example", "acme", user.Developer)
	whole("an owner", s.ada, "", false)
	whole("an owner, with secrets", s.ada, "?secrets=true", true)
	whole("the admins", adminToken, "", false)
	whole("a token of the account", s.acme, "", false)
	for who, q := range map[string]struct {
		token, of, query string
		want             int
	}{"a developer": {dev, "acme", "", 403}, "a developer, with secrets": {dev, "acme", "?secrets=true", 403},
		"another account": {s.eve, "acme", "", 404}, "another account, with secrets": {s.eve, "acme", "?secrets=true", 404},
		"a token of the account, with secrets": {s.acme, "acme", "?secrets=true", 403},
		"the admins, with secrets":             {adminToken, "acme", "?secrets=true", 403}, "their own": {adminToken, "admin", "", 403},
		"nobody": {"", "acme", "", 401}} {
		if status, _, problem := export(q.token, q.of, q.query); status != q.want {
			t.Errorf("%s: %d %s, want %d", who, status, problem, q.want)
		}
	}
	s.as(s.ada, func() {
		var audits operator.List[operator.Audit]
		s.ok("GET", "/api/v1/audit?limit=1000", nil, &audits)
		own, theirs, values := 0, 0, 0
		for _, a := range audits.Items {
			if a.What != "account.export" || a.Result != "ok" {
				continue
			}
			switch a.Who {
			case "account admin":
				theirs++
			case "owner@acme.example":
				own++
			}
			if strings.Contains(a.Object, "with the values of secret variables") {
				values++
			}
		}
		if own != 2 || theirs != 1 || values != 1 {
			t.Errorf("the account's record has %d exports of its owner's, %d of the admins', %d with values", own, theirs, values)
		}
	})
	closing := account.Closing
	s.ok("PATCH", "/api/v1/accounts/acme", account.ChangeAccount{State: &closing, Reason: "they asked for it"}, nil)
	whole("an owner, while it is closing", s.ada, "?secrets=true", true)
}
