package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"hardnode.dev/internal/wire"
)

// Lifetimes. A leaf is renewed at half life; the issuing CA warns from 60 days before its end.
const (
	RootLife    = 10 * 365 * 24 * time.Hour
	IssuingLife = 365 * 24 * time.Hour
	LeafLife    = 24 * time.Hour
	// skew is how far a certificate reaches back, for clocks that are a little behind.
	skew = 10 * time.Minute
)

// CA is a certificate that signs others, with its key.
type CA struct {
	Cert *x509.Certificate
	Key  ed25519.PrivateKey
}

// NewRoot makes a cluster's root CA. Its key signs issuing CAs only and stays with the admin.
func NewRoot(cluster wire.ClusterID, now time.Time) (CA, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return CA{}, fmt.Errorf("make root key: %v", err)
	}
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Hardnode root " + string(cluster)},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(RootLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            1,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := sign(t, t, key.Public().(ed25519.PublicKey), key)
	return CA{cert, key}, err
}

// Issue makes the year's issuing CA, which signs leaves only.
func (root CA) Issue(cluster wire.ClusterID, now time.Time) (CA, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return CA{}, fmt.Errorf("make issuing key: %v", err)
	}
	cert, err := sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "Hardnode issuing " + string(cluster)},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(IssuingLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, root.Cert, pub, root.Key)
	return CA{cert, key}, err
}

// Authority signs leaves for one cluster.
type Authority struct {
	Root    *x509.Certificate
	Issuing CA
	Cluster wire.ClusterID
}

// OpenAuthority puts an authority together from DER parts (boot.OrchestratorSeed) and checks that they fit.
func OpenAuthority(cluster wire.ClusterID, rootDER, issuingDER, keyPKCS8 []byte) (*Authority, error) {
	root, err := x509.ParseCertificate(rootDER)
	if err != nil {
		return nil, fmt.Errorf("read root CA: %v", err)
	}
	issuing, err := x509.ParseCertificate(issuingDER)
	if err != nil {
		return nil, fmt.Errorf("read issuing CA: %v", err)
	}
	if err := issuing.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("check issuing CA: it is not signed by the root CA: %v", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyPKCS8)
	if err != nil {
		return nil, fmt.Errorf("read issuing key: %v", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok || !key.Public().(ed25519.PublicKey).Equal(issuing.PublicKey) {
		return nil, errors.New("check issuing key: it does not belong to the issuing CA")
	}
	return &Authority{Root: root, Issuing: CA{issuing, key}, Cluster: cluster}, nil
}

// Secret is a key of 32 bytes for a purpose, which only orchestrators of this cluster can know, and all of them do: HKDF-SHA256 of the
// issuing key (RFC 5869). Another issuing key makes another one.
func (a *Authority) Secret(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, a.Issuing.Key.Seed(), nil, "hardnode "+purpose, 32)
	if err != nil {
		panic("BUG: make the key of " + purpose + ": " + err.Error())
	}
	return key
}

// Sign makes a leaf for the CSR's key that says its holder is p (p.Key and p.Cluster are filled in). names are host names and IP
// addresses for browsers; Hardnode's own programs look at the identity only. The chain is leaf, issuing CA, root CA, in DER.
// The CSR gives nothing but its key, and must be signed by it.
func (a *Authority) Sign(csrDER []byte, p Peer, names []string, now time.Time) ([][]byte, error) {
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return nil, fmt.Errorf("read certificate request: %v", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("check certificate request: %v", err)
	}
	key, ok := csr.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("check certificate request: its key is no Ed25519 key")
	}
	p.Cluster, p.Key = a.Cluster, key
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("sign certificate: %v", err)
	}
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: p.String()},
		NotBefore:   now.Add(-skew),
		NotAfter:    now.Add(LeafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{p.uri()},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	leaf, err := sign(t, a.Issuing.Cert, key, a.Issuing.Key)
	if err != nil {
		return nil, err
	}
	return [][]byte{leaf.Raw, a.Issuing.Cert.Raw, a.Root.Raw}, nil
}

func sign(t, parent *x509.Certificate, pub ed25519.PublicKey, key ed25519.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %v", err)
	}
	t.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %q: %v", t.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// Verify checks a chain (DER, leaf first) against the pinned root: the chain must carry a root with that pin, and the leaf must lead
// to it at the given time. A clock that is behind counts as if it stood where the chain begins: who signed it under the root had a clock
// too, and a host without a battery must be able to join. It returns the leaf and who it belongs to; a chain that has ended is an
// *ExpiredError.
func Verify(chain [][]byte, pin string, now time.Time) (*x509.Certificate, Peer, error) {
	certs := make([]*x509.Certificate, 0, len(chain))
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, Peer{}, fmt.Errorf("read certificate: %v", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, Peer{}, errors.New("check certificate: none was sent")
	}
	at := now
	for _, c := range certs {
		if c.NotBefore.After(at) {
			at = c.NotBefore
		}
	}
	roots, inter := x509.NewCertPool(), x509.NewCertPool()
	found := ""
	for _, c := range certs[1:] {
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			if found = Pin(c); found == pin {
				roots.AddCert(c)
				continue
			}
		}
		inter.AddCert(c)
	}
	if roots.Equal(x509.NewCertPool()) {
		return nil, Peer{}, &PinError{Want: pin, Got: found}
	}
	if _, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: inter, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			return nil, Peer{}, &ExpiredError{Name: certs[0].Subject.CommonName, Ended: invalid.Cert.NotAfter, Now: at}
		}
		return nil, Peer{}, fmt.Errorf("check certificate of %q: %v", certs[0].Subject.CommonName, err)
	}
	p, err := PeerOf(certs[0])
	return certs[0], p, err
}

// ExpiredError says that a certificate of the other side's chain has ended, or that the clock here is ahead.
type ExpiredError struct {
	Name       string // whose chain it is
	Ended, Now time.Time
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("certificate of %q has expired: it ended at %s, the clock here says %s", e.Name, e.Ended.UTC().Format(time.RFC3339),
		e.Now.UTC().Format(time.RFC3339))
}

// PinError says that the other side belongs to another cluster than the one pinned in the configuration.
type PinError struct{ Want, Got string }

func (e *PinError) Error() string {
	if e.Got == "" {
		e.Got = "none"
	}
	return fmt.Sprintf("check CA pin: want root CA %s, the other side has %s; compare join.caPin with `hnctl cluster status` and the "+
		"address it was sent to", e.Want, e.Got)
}
