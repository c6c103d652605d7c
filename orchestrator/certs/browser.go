package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
)

// browserLife is what browsers accept at most (398 days), rounded down; it is renewed a month before its end.
const browserLife = 390 * 24 * time.Hour

// Browser is the panel's certificate for browsers: none of them takes an Ed25519 key or a chain signed by one. It is self-signed over an
// ECDSA P-256 key that stays the same, so that an exception made for it, or its import as trusted, lasts.
type Browser struct {
	Path  string   // where key and certificate are kept
	Names []string // host names and addresses
	Log   *slog.Logger

	mu struct {
		sync.Mutex
		cert *tls.Certificate
	}
}

type browserFile struct {
	Key  secret.Bytes `json:"key"`  // PKCS #8
	Cert []byte       `json:"cert"` // DER
}

// Open reads the certificate, or makes it.
func (b *Browser) Open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open(time.Now())
}

func (b *Browser) open(now time.Time) error {
	doc := keep.Doc[browserFile]{Path: b.Path, Version: 1}
	f, found, err := doc.Load()
	if err != nil {
		return err
	}
	var key *ecdsa.PrivateKey
	if found {
		parsed, err := x509.ParsePKCS8PrivateKey(f.Key.Reveal())
		if err != nil {
			return fmt.Errorf("read key %q: %v", b.Path, err)
		}
		var ok bool
		if key, ok = parsed.(*ecdsa.PrivateKey); !ok {
			return fmt.Errorf("read key %q: it is no ECDSA key", b.Path)
		}
		leaf, err := x509.ParseCertificate(f.Cert)
		if err == nil && now.Before(leaf.NotAfter.Add(-30*24*time.Hour)) && b.covers(leaf) {
			b.mu.cert = &tls.Certificate{Certificate: [][]byte{f.Cert}, PrivateKey: key, Leaf: leaf}
			return nil
		}
	} else if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return fmt.Errorf("make key: %v", err)
	}
	leaf, err := b.sign(key, now)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %v", err)
	}
	if err := doc.Save(browserFile{Key: der, Cert: leaf.Raw}); err != nil {
		return err
	}
	b.mu.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	logging.Or(b.Log).Info("browsers see the certificate", "sha256", fmt.Sprintf("%X", sha256.Sum256(leaf.Raw)), "until", leaf.NotAfter)
	return nil
}

// covers tells whether the certificate names all the names.
func (b *Browser) covers(leaf *x509.Certificate) bool {
	return !slices.ContainsFunc(b.Names, func(n string) bool { return leaf.VerifyHostname(n) != nil })
}

func (b *Browser) sign(key *ecdsa.PrivateKey, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %v", err)
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Hardnode panel"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(browserLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, n := range b.Names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the browsers' certificate: %v", err)
	}
	return x509.ParseCertificate(der)
}

// Certificate is the one in force; one that comes to its end is replaced.
func (b *Browser) Certificate() (*tls.Certificate, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.mu.cert == nil || now.After(b.mu.cert.Leaf.NotAfter.Add(-30*24*time.Hour)) {
		if err := b.open(now); err != nil {
			return nil, err
		}
	}
	return b.mu.cert, nil
}

// For picks the certificate for a caller: the cluster's own for all who understand Ed25519 (hnctl, curl, Go), else the browsers'.
func (b *Browser) For(k *Keeper) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if slices.Contains(hello.SignatureSchemes, tls.Ed25519) {
			return k.Holder.Get().TLS(), nil
		}
		return b.Certificate()
	}
}
