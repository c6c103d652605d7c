package license_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
)

var update = flag.Bool("update", false, "write the golden tokens anew")

// Fixed keys: golden tokens must not change (Ed25519 signatures are deterministic, RFC 8032).
func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
}

func pub(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var (
	root    = key('r')
	signing = key('s')
	day0    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	year    = 365 * 24 * time.Hour
	bought  = license.License{ID: "lic-0123456789abcdef", Customer: "Demo", Hosts: 3, Issued: day0, Expires: day0.Add(year)}
	leased  = license.Lease{ID: "lease-0123456789abcdef", License: bought.ID, Installation: "in-0123456789abcdef",
		Key: license.KeyID(pub(key('i'))), Issued: day0, Expires: day0.Add(license.LeaseFor)}
)

func signer(t *testing.T, root, signing ed25519.PrivateKey) issue.Signer {
	t.Helper()
	cert, err := issue.Certify(root, pub(signing), day0.Add(-24*time.Hour), day0.Add(year))
	if err != nil {
		t.Fatal(err)
	}
	return issue.Signer{Key: signing, Cert: cert}
}

func token(t *testing.T, s issue.Signer, l license.License) string {
	t.Helper()
	tok, err := s.License(l)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

type golden struct{ Cert, License, Lease string }

func TestGoldenTokens(t *testing.T) {
	const file = "testdata/tokens.json"
	s := signer(t, root, signing)
	lease, err := s.Lease(leased)
	if err != nil {
		t.Fatal(err)
	}
	got := golden{s.Cert, token(t, s, bought), lease}
	if *update {
		raw, _ := json.MarshalIndent(got, "", "  ")
		if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want golden
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("tokens changed: licences in the field would no longer verify\n got %+v\nwant %+v\n"+
			"(a new format needs new assertions; go test -update)", got, want)
	}
	l, err := license.Verify(want.License, pub(root), day0)
	if err != nil {
		t.Fatal(err)
	}
	if l.ID != bought.ID || l.Customer != bought.Customer || l.Hosts != bought.Hosts || !l.Expires.Equal(bought.Expires) {
		t.Errorf("got %+v, want %+v", l, bought)
	}
	if _, err := license.VerifyLease(want.Lease, pub(root), leased.Installation, pub(key('i')), day0); err != nil {
		t.Error(err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	good := signer(t, root, signing)
	tok := token(t, good, bought)
	lease, err := good.Lease(leased)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(s string, i int) string {
		b := []byte(s)
		if b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
		return string(b)
	}
	stolen := issue.Signer{Key: key('x'), Cert: good.Cert} // a key the root never spoke of
	late := bought
	late.Issued, late.Expires = day0.Add(year), day0.Add(2*year) // after the signing key's end
	noHosts := bought
	noHosts.Hosts = 0
	for _, c := range []struct {
		name  string
		token string
		now   time.Time
		want  error
	}{
		{"good", tok, day0, nil},
		{"last second", tok, day0.Add(year - time.Second), nil},
		{"expired", tok, day0.Add(year), license.ErrExpired},
		{"issued in the future, within drift", tok, day0.Add(-license.MaxClockDrift), nil},
		{"issued in the future", tok, day0.Add(-license.MaxClockDrift - time.Second), license.ErrNotYet},
		{"other root", token(t, signer(t, key('o'), signing), bought), day0, license.ErrWrongKey},
		{"unknown signing key", token(t, stolen, bought), day0, license.ErrSignature},
		{"signing key out of its year", token(t, good, late), day0.Add(year + time.Hour), license.ErrSignature},
		{"changed payload", flip(tok, len("v4.public.")+10), day0, license.ErrSignature},
		{"a lease is no licence", lease, day0, license.ErrSignature},
		{"no hosts", token(t, good, noHosts), day0, license.ErrMalformed},
		{"empty", "", day0, license.ErrMalformed},
		{"other protocol", "v4.local." + tok[len("v4.public."):], day0, license.ErrMalformed},
		{"no footer", tok[:strings.LastIndex(tok, ".")], day0, license.ErrMalformed},
		{"too long", tok + strings.Repeat("A", license.MaxToken), day0, license.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := license.Verify(c.token, pub(root), c.now)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if timely := errors.Is(err, license.ErrExpired) || errors.Is(err, license.ErrNotYet); timely && l.ID != bought.ID {
				t.Errorf("a genuine licence must come with %v", err)
			} else if err != nil && !timely && l.ID != "" {
				t.Errorf("an unverified licence came out: %+v", l)
			}
		})
	}
}

// Every single changed character of a token must be refused.
func TestEveryCharacterCounts(t *testing.T) {
	tok := token(t, signer(t, root, signing), bought)
	for i := range tok {
		b := []byte(tok)
		b[i] ^= 1
		if l, err := license.Verify(string(b), pub(root), day0); err == nil {
			t.Fatalf("changed character %d (%q→%q) still verifies: %+v", i, tok[i], b[i], l)
		}
	}
}

func TestLeaseIsBound(t *testing.T) {
	tok, err := signer(t, root, signing).Lease(leased)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := license.VerifyLease(tok, pub(root), "in-ffffffffffffffff", pub(key('i')), day0); !errors.Is(err, license.ErrOther) {
		t.Errorf("other installation: got %v", err)
	}
	if _, err := license.VerifyLease(tok, pub(root), leased.Installation, pub(key('j')), day0); !errors.Is(err, license.ErrOther) {
		t.Errorf("other key: got %v", err)
	}
	if l, err := license.VerifyLease(tok, pub(root), leased.Installation, pub(key('i')),
		day0.Add(license.LeaseFor)); !errors.Is(err, license.ErrExpired) || l.ID != leased.ID {
		t.Errorf("ended: got %v, %v", l, err)
	}
}

func FuzzVerify(f *testing.F) {
	raw, err := os.ReadFile("testdata/tokens.json")
	if err != nil {
		f.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		f.Fatal(err)
	}
	f.Add(g.License)
	f.Add(g.Lease)
	f.Add(g.Cert)
	f.Add("v4.public..e30")
	f.Fuzz(func(t *testing.T, tok string) {
		if l, err := license.Verify(tok, pub(root), day0); err == nil && tok != g.License {
			t.Fatalf("a token nobody signed verifies: %q: %+v", tok, l)
		}
	})
}
