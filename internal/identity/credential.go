package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire"
)

// Credential is a key with its certificate chain (DER: leaf, issuing CA, root CA). It does not change; renewing makes a new one.
type Credential struct {
	Key   ed25519.PrivateKey
	Chain [][]byte
	leaf  *x509.Certificate
	peer  Peer
}

// NewCredential checks that key and chain belong together.
func NewCredential(key ed25519.PrivateKey, chain [][]byte) (*Credential, error) {
	if len(chain) == 0 {
		return nil, errors.New("certificate chain: is empty")
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("read certificate: %v", err)
	}
	if !key.Public().(ed25519.PublicKey).Equal(leaf.PublicKey) {
		return nil, errors.New("certificate chain: it was made for another key")
	}
	p, err := PeerOf(leaf)
	if err != nil {
		return nil, err
	}
	return &Credential{Key: key, Chain: chain, leaf: leaf, peer: p}, nil
}

// Peer is who the credential says its holder is.
func (c *Credential) Peer() Peer { return c.peer }

// Expires is the end of the leaf.
func (c *Credential) Expires() time.Time { return c.leaf.NotAfter }

// RenewAt is the leaf's half life.
func (c *Credential) RenewAt() time.Time {
	return c.leaf.NotBefore.Add(c.leaf.NotAfter.Sub(c.leaf.NotBefore) / 2)
}

// TLS is the credential for crypto/tls.
func (c *Credential) TLS() *tls.Certificate {
	return &tls.Certificate{Certificate: c.Chain, PrivateKey: c.Key, Leaf: c.leaf}
}

// Holder holds the credential in force; all methods may be called at once. Its zero value holds none.
type Holder struct{ p atomic.Pointer[Credential] }

// Get is the credential in force, or nil.
func (h *Holder) Get() *Credential { return h.p.Load() }

// Set replaces it; connections made from now on use the new one.
func (h *Holder) Set(c *Credential) { h.p.Store(c) }

// NewKey makes a key.
func NewKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %v", err)
	}
	return key, nil
}

// CSR is a certificate request (PKCS #10, DER) for the key; it carries nothing but the key.
func CSR(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{}}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %v", err)
	}
	return der, nil
}

// LoadKey reads the key at path (PKCS #8 DER), or makes it there, durably and readable by root only.
func LoadKey(path string) (ed25519.PrivateKey, error) {
	der, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := NewKey()
		if err != nil {
			return nil, err
		}
		if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return nil, fmt.Errorf("encode key: %v", err)
		}
		return key, keep.WriteFile(path, der, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("read key %q: %v", path, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read key %q: %v", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read key %q: it is no Ed25519 key", path)
	}
	return key, nil
}

// RenewalText is what a host signs to renew an expired leaf (host.RenewRequest.Proof).
func RenewalText(id wire.HostID, at time.Time, csrDigest [32]byte) []byte {
	return fmt.Appendf(nil, "hardnode renew v1\n%s\n%s\n%x", id, at.UTC().Format(time.RFC3339), csrDigest)
}
