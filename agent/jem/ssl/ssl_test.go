package ssl

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/jem/contract/contracttest"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// signed is a certificate with its key.
type signed struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (s signed) certPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw}))
}

func (s signed) keyPEM() string {
	b, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

func sign(t *testing.T, name string, by *signed, from, to time.Time) signed {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: to,
		IsCA: by == nil ||
			name == "middle", BasicConstraintsValid: true, DNSNames: []string{name}}
	parent, with := c, key
	if by != nil {
		parent, with = by.cert, by.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), with)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return signed{cert, key}
}

func TestInstall(t *testing.T) {
	day := 24 * time.Hour
	root := sign(t, "root", nil, now.Add(-day), now.Add(90*day))
	middle := sign(t, "middle", &root, now.Add(-day), now.Add(90*day))
	leaf := sign(t, "a.example.com", &middle, now.Add(-day), now.Add(90*day))
	other := sign(t, "b.example.com", &middle, now.Add(-day), now.Add(10*day))
	old := sign(t, "c.example.com", &middle, now.Add(-9*day), now.Add(-day))
	early := sign(t, "d.example.com", &middle, now.Add(day), now.Add(9*day))
	good := leaf.certPEM() + middle.certPEM() + leaf.keyPEM()
	dir := contracttest.Root(t, map[string]string{"usr/sbin/nginx": "#!/bin/sh\necho cannot load certificate >&2; exit 1\n", "proc/": ""})
	for _, c := range []struct{ argv, in, code, message string }{
		{"check", good, "ok", "certificate of a.example.com, signed by middle, for 90 days"},
		{"check", other.certPEM() + other.keyPEM(), "ok", "for 10 days; it ends soon; no certificate above it is given"},
		{"check", leaf.keyPEM() + leaf.certPEM(), "ok", "no certificate above"},
		{"check", root.certPEM() + root.keyPEM(), "ok", "certificate of root, signed by root, for 90 days"},
		{"check", leaf.certPEM() + other.keyPEM(), "invalid", "the key is not that of the first certificate"},
		{"check", leaf.certPEM(), "invalid", "there is no key in it"},
		{"check", leaf.keyPEM(), "invalid", "there is no certificate in it"},
		{"check", leaf.certPEM() + root.certPEM() + leaf.keyPEM(), "invalid", "certificate 2 (root) did not sign the one before it"},
		{"check", old.certPEM() + old.keyPEM(), "invalid", "certificate 1 (c.example.com) ended 2026-11-26T12:00:00Z"},
		{"check", early.certPEM() + early.keyPEM(), "invalid", "begins 2026-11-28"},
		{"check", good + "junk", "invalid", "more in it than PEM"},
		{"check", good + leaf.keyPEM(), "invalid", "more than one key"},
		{"check", "", "invalid", "nothing is sent along"},
		{"check", strings.Replace(good, "PRIVATE KEY", "PUBLIC KEY", 2), "invalid", `"PUBLIC KEY"`},
		{"install a.example.com", good, "ok", "a.example.com is in place: certificate of a.example.com"},
		{"install ../x", good, "invalid", "want a domain"},
		{"install a.example.com", leaf.certPEM(), "invalid", "there is no key"},
		{"install a.example.com --reload nginx", other.certPEM() + other.keyPEM(), "invalid",
			"nginx does not take its configuration: nginx ended with exit status 1: cannot load certificate; what was done is taken back"},
		{"install a.example.com --reload haproxy", good, "unavailable", "no haproxy"},
		{"install a.example.com --reload x", good, "invalid", "is not known"},
		{"list", "", "ok", "1 certificates"},
		{"remove b.example.com", "", "not_found", "there is no certificate b.example.com"},
	} {
		r := contracttest.Call(t, Module, dir, contracttest.Options{In: c.in, Now: now}, strings.Fields(c.argv)...)
		if r.Code != c.code || !strings.Contains(r.Message, c.message) || strings.Contains(r.Message, "PRIVATE KEY-") {
			t.Errorf("%s: %s %q, want %q", c.argv, r.Code, r.Message, c.message)
		}
	}
	if got := contracttest.Text(dir, "etc/jem/ssl/a.example.com/fullchain.pem"); got != leaf.certPEM()+middle.certPEM() {
		t.Error("the chain is not the one that was put in place")
	}
	st, err := os.Stat(filepath.Join(dir, "etc/jem/ssl/a.example.com/key.pem"))
	if err != nil || st.Mode().Perm() != 0o600 || contracttest.Text(dir, "etc/jem/ssl/a.example.com/key.pem") != leaf.keyPEM() {
		t.Errorf("the key: %v %v", st, err)
	}
	if r := contracttest.Call(t, Module, dir, contracttest.Options{}, "remove", "a.example.com"); r.Code != "ok" {
		t.Error(r.Message)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := parse(raw, now); err == nil && (len(p.chain) == 0 || bytes.Equal(p.chainPEM, nil)) {
			t.Error("nothing was taken for a certificate")
		}
	})
}
