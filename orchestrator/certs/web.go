package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Lifetimes of what the cluster signs for its own domain. A leaf is renewed when a third of it is left.
const (
	webCALife   = 10 * 365 * 24 * time.Hour
	WebLeafLife = 90 * 24 * time.Hour
	webSkew     = 24 * time.Hour // how far both reach back, for clocks that are behind
	webCALast   = 200 * 24 * time.Hour
)

// Web is a certificate with its key.
type Web struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// NewWebCA makes a CA for the names of one domain and nothing else (RFC 5280, section 4.2.1.10): a browser that is told to believe it
// believes whoever has its key of no other site. It is ECDSA P-256, since browsers know no Ed25519; the cluster's own CA has nothing to do
// with it, and no program of the cluster believes it.
func NewWebCA(domain string, now time.Time) (Web, error) {
	_, v4, _ := net.ParseCIDR("0.0.0.0/0")
	_, v6, _ := net.ParseCIDR("::/0")
	return webSign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: "Hardnode web CA of " + domain},
		NotBefore: now.Add(-webSkew), NotAfter: now.Add(webCALife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{domain}, ExcludedIPRanges: []*net.IPNet{v4, v6},
	}, nil)
}

// Issue makes a certificate for a domain and all names one label below it.
func (ca Web) Issue(domain string, now time.Time) (Web, error) {
	end := now.Add(WebLeafLife)
	if end.After(ca.Cert.NotAfter) {
		end = ca.Cert.NotAfter
	}
	return webSign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "*." + domain}, DNSNames: []string{"*." + domain, domain}, NotBefore: now.Add(-webSkew),
		NotAfter: end, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, &ca)
}

// webSign makes a key and its certificate, signed by ca or, if that is nil, by itself.
func webSign(t *x509.Certificate, ca *Web) (Web, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Web{}, fmt.Errorf("make key of %q: %v", t.Subject.CommonName, err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return Web{}, fmt.Errorf("make serial number: %v", err)
	}
	parent, signer := t, key
	if ca != nil {
		parent, signer = ca.Cert, ca.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return Web{}, fmt.Errorf("sign %q: %v", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	return Web{cert, key}, err
}

// WebCAEnds tells whether a CA is to be replaced. A clock that is behind it is no reason: people have told their browsers to believe it.
func WebCAEnds(ca *x509.Certificate, now time.Time) bool {
	return now.After(ca.NotAfter.Add(-webCALast))
}

// WebLeafDue tells whether a certificate of the cluster's domain is to be issued anew: a third of its life is left, or the clock
// is before it.
func WebLeafDue(leaf, ca *x509.Certificate, domain string, now time.Time) bool {
	return now.After(leaf.NotAfter.Add(-WebLeafLife/3)) || now.Before(leaf.NotBefore) || leaf.VerifyHostname("x."+domain) != nil ||
		leaf.CheckSignatureFrom(ca) != nil
}
