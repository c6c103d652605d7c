package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The limits of what is uploaded. A long RSA key would cost the resolver, which all share, a long time at each handshake.
const (
	MaxChain = 64 << 10 // bytes of PEM
	MaxKey   = 16 << 10
	maxCerts = 8
	minRSA   = 2048 // bits
	maxRSA   = 4096
)

// Fault is why a certificate can't be used: of which part, why, and what to do.
type Fault struct{ Part, Reason, Next string }

func (f *Fault) Error() string { return f.Part + ": " + f.Reason + "; " + f.Next }

// Pair is a certificate that was uploaded, with its key.
type Pair struct {
	Chain [][]byte // DER, the site's own first, without a root
	Key   []byte   // PKCS #8
	Leaf  *x509.Certificate
}

// ReadPair reads a chain and its key, both PEM, for a host name. What it gives back can be shown to clients at the moment now. Errors are
// Faults.
func ReadPair(chainPEM, keyPEM []byte, name string, now time.Time) (Pair, error) {
	chain, err := readChain(chainPEM)
	if err != nil {
		return Pair{}, err
	}
	key, err := readKey(keyPEM)
	if err != nil {
		return Pair{}, err
	}
	for i, c := range chain {
		if !equal(c.PublicKey, key.Public()) {
			continue
		}
		if i > 0 {
			return Pair{}, &Fault{"chain", fmt.Sprintf("the key belongs to certificate %d (%s), not to the first (%s)", i+1, title(c),
				title(chain[0])),
				"put the site's own certificate first, then who signed it, and so on"}
		}
		return checked(chain, key, name, now)
	}
	return Pair{}, &Fault{"key", fmt.Sprintf("it does not belong to the certificate (%s)", title(chain[0])),
		"send the key that the certificate was requested with"}
}

func checked(chain []*x509.Certificate, key crypto.Signer, name string, now time.Time) (p Pair, err error) {
	for i := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(chain[i+1]); err != nil {
			return p, &Fault{"chain", fmt.Sprintf("certificate %d (%s) is not signed by certificate %d (%s): %v", i+1, title(chain[i]), i+2,
				title(chain[i+1]), err), "order it so that each is signed by the next"}
		}
	}
	leaf := chain[0]
	if err := leaf.VerifyHostname(name); err != nil {
		return p, &Fault{"chain", fmt.Sprintf("it is for %s, which does not name %s", names(leaf), name),
			"request one with the name among its alternative names"}
	}
	for i, c := range chain {
		switch {
		case now.After(c.NotAfter):
			return p, &Fault{"chain", fmt.Sprintf("certificate %d (%s) ended at %s", i+1, title(c), stamp(c.NotAfter)), "renew it"}
		case now.Before(c.NotBefore):
			return p, &Fault{"chain", fmt.Sprintf("certificate %d (%s) begins at %s, and it is %s here", i+1, title(c), stamp(c.NotBefore),
				stamp(now)), "send it then, or look at the clock of the cluster"}
		}
	}
	if !forServers(leaf) {
		return p, &Fault{"chain", "the certificate is not for servers (its extended key usage leaves that out)",
			"request one for TLS servers"}
	}
	switch leaf.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1, x509.DSAWithSHA256,
		x509.UnknownSignatureAlgorithm:
		return p, &Fault{"chain", fmt.Sprintf("it is signed with %s, which no browser takes", leaf.SignatureAlgorithm),
			"request one that is signed with SHA-256"}
	}
	if n := len(chain); n > 1 && bytes.Equal(chain[n-1].RawIssuer, chain[n-1].RawSubject) {
		chain = chain[:n-1] // a client has its roots, or does not believe this one
	}
	for _, c := range chain {
		p.Chain = append(p.Chain, c.Raw)
	}
	p.Leaf = leaf
	p.Key, err = x509.MarshalPKCS8PrivateKey(key)
	return p, err
}

func readChain(raw []byte) (chain []*x509.Certificate, err error) {
	if len(raw) > MaxChain {
		return nil, &Fault{"chain", fmt.Sprintf("it has %d bytes, at most %d are read", len(raw), MaxChain),
			"send the certificate and who signed it, no roots"}
	}
	for block, rest := pem.Decode(raw); ; block, rest = pem.Decode(rest) {
		if block == nil {
			if left := strings.TrimSpace(string(rest)); strings.Contains(left, "-----BEGIN") || len(chain) == 0 {
				return nil, &Fault{"chain", fmt.Sprintf("what follows %d certificates is no PEM", len(chain)),
					"send blocks of -----BEGIN CERTIFICATE-----; for DER: openssl x509 -inform der"}
			}
			return chain, nil
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return nil, &Fault{"chain", "it has a private key in it", "send the key by itself, as the key"}
		}
		if block.Type != "CERTIFICATE" {
			return nil, &Fault{"chain", fmt.Sprintf("it has a block %q, which is no certificate", block.Type), "send certificates alone"}
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &Fault{"chain", fmt.Sprintf("certificate %d can't be read: %v", len(chain)+1, err),
				"look at it: openssl x509 -text"}
		}
		if chain = append(chain, c); len(chain) > maxCerts {
			return nil, &Fault{"chain", fmt.Sprintf("it has more than %d certificates", maxCerts), "send the site's own and who signed it"}
		}
	}
}

func readKey(raw []byte) (crypto.Signer, error) {
	if len(raw) > MaxKey {
		return nil, &Fault{"key", fmt.Sprintf("it has %d bytes, at most %d are read", len(raw), MaxKey), "send one key"}
	}
	block, rest := pem.Decode(raw)
	if block != nil && block.Type == "EC PARAMETERS" { // openssl ecparam writes them before the key
		block, rest = pem.Decode(rest)
	}
	switch {
	case block == nil:
		return nil, &Fault{"key", "it is no PEM", "send a block of -----BEGIN PRIVATE KEY-----"}
	case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return nil, &Fault{"key", "it is encrypted with a passphrase", "take that off: openssl pkey -in FILE"}
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, &Fault{"key", "something follows the key", "send one key and nothing else"}
	}
	key, err := parseKey(block)
	if err != nil {
		return nil, &Fault{"key", fmt.Sprintf("it can't be read: %v", err),
			"send a private key in PKCS #8, PKCS #1 or SEC 1: openssl pkey -in FILE"}
	}
	kind := ""
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			kind = fmt.Sprintf("RSA of %d bits", bits)
		}
	case *ecdsa.PrivateKey:
		if c := k.Params().Name; c != "P-256" && c != "P-384" {
			kind = "ECDSA " + c
		}
	case ed25519.PrivateKey:
		kind = "Ed25519, which browsers don't take"
	default:
		kind = fmt.Sprintf("a %T", key)
	}
	if kind != "" {
		return nil, &Fault{"key", "it is " + kind,
			fmt.Sprintf("request a certificate for an ECDSA key (P-256, P-384) or RSA of %d to %d bits", minRSA, maxRSA)}
	}
	return key.(crypto.Signer), nil
}

func parseKey(b *pem.Block) (any, error) {
	switch b.Type {
	case "PRIVATE KEY":
		return x509.ParsePKCS8PrivateKey(b.Bytes)
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(b.Bytes)
	}
	return nil, errors.New("its block is " + b.Type)
}

func equal(a, b crypto.PublicKey) bool {
	e, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && e.Equal(b)
}

func forServers(c *x509.Certificate) bool {
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0
}

// title is what people know a certificate by.
func title(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 && !c.IsCA {
		return c.DNSNames[0]
	}
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return "serial number " + c.SerialNumber.String()
}

func names(c *x509.Certificate) string {
	switch n := len(c.DNSNames); {
	case n == 0:
		return "no host names"
	case n > 5:
		return strings.Join(c.DNSNames[:5], ", ") + fmt.Sprintf(" and %d more", n-5)
	}
	return strings.Join(c.DNSNames, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
