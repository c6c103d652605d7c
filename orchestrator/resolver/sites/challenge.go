package sites

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/wire/host"
)

// ProveProtocol is the only protocol of a CA's connection that asks for a name's proof (RFC 8737, section 6.2).
const ProveProtocol = "acme-tls/1"

// acmeIdentifier is the extension with the digest of the answer (RFC 8737, section 6.1).
var acmeIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// challenge is what a CA asks for at a name.
type challenge struct {
	path, answer string
	proof        func() *tls.Certificate // made when it is asked for first
}

func newChallenge(name string, c *host.Challenge) *challenge {
	if c == nil {
		return nil
	}
	return &challenge{host.ChallengePath + c.Token, c.Answer, sync.OnceValue(func() *tls.Certificate { return proof(name, c.Answer) })}
}

// proof is a certificate that says that whoever serves a name has the answer (RFC 8737, section 3); nil if none can be made.
func proof(name, answer string) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil
	}
	sum := sha256.Sum256([]byte(answer))
	value, err := asn1.Marshal(sum[:])
	if err != nil {
		return nil
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proof of a name"}, DNSNames: []string{name},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: acmeIdentifier, Critical: true, Value: value}}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Answer is what a CA is answered that asks for a path under the name; "": it is no CA's path, or none that anything was asked for.
func (n *Name) Answer(path string) string {
	if n.challenge == nil || !strings.HasPrefix(path, host.ChallengePath) || path != n.challenge.path {
		return ""
	}
	return n.challenge.answer
}

// Proof is what a CA is shown that asks for the proof of a name; nil: no CA was asked for it.
func (t *Table) Proof(serverName string) *tls.Certificate {
	name, ok := Normalize(serverName)
	if !ok {
		return nil
	}
	if n := t.names[name]; n != nil && n.challenge != nil {
		return n.challenge.proof()
	}
	return nil
}
