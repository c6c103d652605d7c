package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

var moment = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// TestWebCA: whoever believes the CA believes it of the cluster's names only, for as long as certificates last.
func TestWebCA(t *testing.T) {
	ca, err := NewWebCA("demo.test", moment)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue("demo.test", moment)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	believed := func(c *x509.Certificate, name string, at time.Time) bool {
		_, err := c.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at})
		return err == nil
	}
	if !believed(leaf.Cert, "hello.demo.test", moment) || !believed(leaf.Cert, "demo.test", moment.Add(89*24*time.Hour)) ||
		believed(leaf.Cert, "hello.demo.test", moment.Add(91*24*time.Hour)) || believed(leaf.Cert, "a.b.demo.test", moment) {
		t.Error("the certificate is believed of other names or at other times than it should be")
	}
	if evil, err := ca.Issue("bank.example", moment); err != nil || believed(evil.Cert, "www.bank.example", moment) {
		t.Errorf("a certificate for another's name is believed: %v", err)
	}
	for after, due := range map[time.Duration]bool{0: false, 59 * 24 * time.Hour: false, 61 * 24 * time.Hour: true,
		-2 * webSkew: true, 1000 * 24 * time.Hour: true} {
		if got := WebLeafDue(leaf.Cert, ca.Cert, "demo.test", moment.Add(after)); got != due {
			t.Errorf("after %s: due is %v", after, got)
		}
	}
	other, _ := NewWebCA("demo.test", moment)
	if !WebLeafDue(leaf.Cert, ca.Cert, "other.test", moment) || !WebLeafDue(leaf.Cert, other.Cert, "demo.test", moment) {
		t.Error("one of another domain or CA is kept")
	}
	if WebCAEnds(ca.Cert, moment.AddDate(-30, 0, 0)) || WebCAEnds(ca.Cert, moment.AddDate(9, 0, 0)) ||
		!WebCAEnds(ca.Cert, moment.AddDate(9, 8, 0)) {
		t.Error("the CA is replaced at another time than half a year before its end")
	}
}

// signed makes a certificate of a key, signed by parent's (nil: its own).
func signed(t *testing.T, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer,
	f func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: moment.Add(-time.Hour), NotAfter: moment.Add(100 * time.Hour),
		DNSNames: []string{"shop.example", "*.shop.example"}, Subject: pkix.Name{CommonName: "x"}, BasicConstraintsValid: true}
	f(c)
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func blocks(kind string, ders ...[]byte) (out []byte) {
	for _, d := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: d})...)
	}
	return out
}

// TestReadPair: what may be uploaded for shop.example, and what is said of the rest.
func TestReadPair(t *testing.T) {
	newKey := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	pkcs8 := func(k any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return blocks("PRIVATE KEY", der)
	}
	rootKey, midKey, key := newKey(elliptic.P256()), newKey(elliptic.P256()), newKey(elliptic.P256())
	isCA := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.IsCA, c.DNSNames, c.Subject.CommonName, c.KeyUsage = true, nil, name, x509.KeyUsageCertSign
		}
	}
	root := signed(t, rootKey, nil, nil, isCA("root"))
	mid := signed(t, midKey, root, rootKey, isCA("middle"))
	plain := func(*x509.Certificate) {}
	leaf := signed(t, key, mid, midKey, plain)
	old := signed(t, key, mid, midKey, func(c *x509.Certificate) { c.NotAfter = moment.Add(-time.Minute) })
	early := signed(t, key, mid, midKey, func(c *x509.Certificate) { c.NotBefore = moment.Add(time.Minute) })
	mail := signed(t, key, mid, midKey, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} })
	other := signed(t, key, mid, midKey, func(c *x509.Certificate) { c.DNSNames = []string{"other.example"} })
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	ecDER, _ := x509.MarshalECPrivateKey(key)
	good := blocks("CERTIFICATE", leaf.Raw, mid.Raw)
	for _, c := range []struct {
		name       string
		chain, key []byte
		want       string
		sent       int
	}{
		{"good", good, pkcs8(key), "", 2},
		{"with its root, which is left out", blocks("CERTIFICATE", leaf.Raw, mid.Raw, root.Raw), pkcs8(key), "", 2},
		{"SEC 1 behind parameters", good, append(blocks("EC PARAMETERS", []byte{1}), blocks("EC PRIVATE KEY", ecDER)...), "", 2},
		{"signed by itself", blocks("CERTIFICATE", signed(t, key, nil, nil, plain).Raw), pkcs8(key), "", 1},
		{"another's key", good, pkcs8(newKey(elliptic.P256())), "key: it does not belong to the certificate (shop.example)", 0},
		{"upside down", blocks("CERTIFICATE", mid.Raw, leaf.Raw), pkcs8(key),
			"belongs to certificate 2 (shop.example), not to the first (middle)", 0},
		{"a gap", blocks("CERTIFICATE", leaf.Raw, root.Raw), pkcs8(key),
			"certificate 1 (shop.example) is not signed by certificate 2 (root)", 0},
		{"ended", blocks("CERTIFICATE", old.Raw, mid.Raw), pkcs8(key), "ended at 2026-11-28T11:59:00Z", 0},
		{"not yet", blocks("CERTIFICATE", early.Raw, mid.Raw), pkcs8(key),
			"begins at 2026-11-28T12:01:00Z, and it is 2026-11-28T12:00:00Z", 0},
		{"another name", blocks("CERTIFICATE", other.Raw, mid.Raw), pkcs8(key),
			"it is for other.example, which does not name shop.example", 0},
		{"for mail", blocks("CERTIFICATE", mail.Raw, mid.Raw), pkcs8(key), "not for servers", 0},
		{"nothing", nil, pkcs8(key), "what follows 0 certificates is no PEM", 0},
		{"DER", leaf.Raw, pkcs8(key), "is no PEM", 0},
		{"rest", append(bytes.Clone(good), "-----BEGIN CERTIFICATE-----\nxx"...), pkcs8(key), "what follows 2 certificates", 0},
		{"the key in the chain", append(bytes.Clone(good), pkcs8(key)...), pkcs8(key), "chain: it has a private key in it", 0},
		{"a request", blocks("CERTIFICATE REQUEST", []byte{1}), pkcs8(key), `a block "CERTIFICATE REQUEST"`, 0},
		{"rubbish", blocks("CERTIFICATE", []byte{1}), pkcs8(key), "certificate 1 can't be read", 0},
		{"nine", bytes.Repeat(blocks("CERTIFICATE", leaf.Raw), 9), pkcs8(key), "more than 8", 0},
		{"long", bytes.Repeat([]byte{'x'}, MaxChain+1), pkcs8(key), "65537 bytes", 0},
		{"no key", good, []byte("x"), "key: it is no PEM", 0},
		{"encrypted", good, blocks("ENCRYPTED PRIVATE KEY", []byte{1}), "encrypted with a passphrase", 0},
		{"two keys", good, append(pkcs8(key), pkcs8(key)...), "something follows", 0},
		{"a public key", good, blocks("PUBLIC KEY", []byte{1}), "its block is PUBLIC KEY", 0},
		{"short RSA", good, pkcs8(small), "RSA of 1024 bits", 0},
		{"P-521", good, pkcs8(newKey(elliptic.P521())), "ECDSA P-521", 0},
		{"Ed25519", good, pkcs8(ed), "Ed25519", 0},
		{"long key", good, bytes.Repeat([]byte{'x'}, MaxKey+1), "key: it has 16385 bytes", 0},
	} {
		p, err := ReadPair(c.chain, c.key, "shop.example", moment)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || len(p.Chain) != c.sent {
			t.Errorf("%s: got %d certificates, %v; want %d, %q", c.name, len(p.Chain), err, c.sent, c.want)
		}
		if f := (*Fault)(nil); err != nil && (!errors.As(err, &f) || f.Next == "") {
			t.Errorf("%s: %v says no next step", c.name, err)
		}
	}
}

// TestSealer: what is sealed opens with its key and for its name only.
func TestSealer(t *testing.T) {
	s := Sealer(bytes.Repeat([]byte("k"), 32))
	sealed, err := s.Seal("a", []byte("secret"))
	if err != nil || bytes.Contains(sealed, []byte("secret")) {
		t.Fatalf("got %q, %v", sealed, err)
	}
	if plain, err := s.Open("a", sealed); err != nil || string(plain.Reveal()) != "secret" {
		t.Errorf("got %v", err)
	}
	_, other := s.Open("b", sealed)
	_, foreign := Sealer(bytes.Repeat([]byte("l"), 32)).Open("a", sealed)
	_, short := s.Open("a", sealed[:5])
	if other == nil || foreign == nil || short == nil {
		t.Errorf("it opens for another name (%v), with another key (%v), cut off (%v)", other, foreign, short)
	}
}
