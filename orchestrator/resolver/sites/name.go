package sites

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
)

// Name is a host name that a site is served under.
type Name struct {
	Site     *Site
	Redirect bool             // what comes over plain HTTP is sent to HTTPS
	HSTS     string           // the header's value, or ""
	cert     *tls.Certificate // of its own; nil: it has none

	challenge *challenge // nil: no CA asks for one
}

// Bad is a certificate of a document that can't be used: its names are served without it.
type Bad struct {
	Name string // "": the cluster's own
	Err  error
}

// certificates are those of a table, ready for use.
type certificates struct {
	made    map[[32]byte]*tls.Certificate // by what they were made of: parsing a key takes milliseconds
	cluster *tls.Certificate              // nil: none came yet
	names   map[string]bool               // that cluster names; "*.x" is any label before x
	bad     []Bad
}

// take makes a certificate, or finds it in old, where it was made before.
func (c *certificates) take(name string, w *host.Certificate, old *certificates) *tls.Certificate {
	if w == nil {
		return nil
	}
	h := sha256.New()
	for _, der := range append(w.Chain, w.Key) {
		fmt.Fprintf(h, "%d:", len(der))
		h.Write(der)
	}
	key := [32]byte(h.Sum(nil))
	cert := c.made[key]
	if cert == nil && old != nil {
		cert = old.made[key]
	}
	if cert == nil {
		made, err := certificate(w)
		if err != nil {
			c.bad = append(c.bad, Bad{name, err})
			return nil
		}
		cert = made
	}
	c.made[key] = cert
	return cert
}

// certificate makes one of its wire form. Whether its time has come or is over is nobody's matter here: a clock may be wrong, and a browser
// that asks its user is more than none.
func certificate(w *host.Certificate) (*tls.Certificate, error) {
	leaf, err := x509.ParseCertificate(w.Chain[0])
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(w.Key.Reveal())
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("its key is a %T, which can't sign", key)
	}
	if p, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(signer.Public()) {
		return nil, errors.New("its key belongs to another certificate")
	}
	return &tls.Certificate{Certificate: w.Chain, PrivateKey: key, Leaf: leaf}, nil
}

// setCluster takes the certificate of the cluster's own domain.
func (c *certificates) setCluster(w *host.Certificate, old *certificates) {
	if c.cluster = c.take("", w, old); c.cluster == nil {
		return
	}
	c.names = make(map[string]bool, len(c.cluster.Leaf.DNSNames))
	for _, n := range c.cluster.Leaf.DNSNames {
		c.names[strings.ToLower(n)] = true
	}
}

// named tells whether the cluster's certificate names a host (RFC 6125, section 6.4.3: "*" is one whole label).
func (c *certificates) named(name string) bool {
	_, parent, _ := strings.Cut(name, ".")
	return c.names[name] || c.names["*."+parent]
}

// Name is the entry of a Host header, or nil.
func (t *Table) Name(hostHeader string) *Name {
	name, ok := Normalize(hostHeader)
	if !ok {
		return nil
	}
	return t.names[name]
}

// Certificate is what is shown to a client that asks for a host (RFC 6066, section 3); "" is one that names none, which is shown the
// cluster's. Nil: there is none that names it.
func (t *Table) Certificate(serverName string) *tls.Certificate {
	if serverName == "" {
		return t.certs.cluster
	}
	name, ok := Normalize(serverName)
	if !ok {
		return nil
	}
	if n := t.names[name]; n != nil && n.cert != nil {
		return n.cert
	}
	if t.certs.named(name) {
		return t.certs.cluster
	}
	return nil
}

// Bad are the certificates of the document that can't be used.
func (t *Table) Bad() []Bad { return t.certs.bad }

// nameSite enters all names of a site.
func (t *Table) nameSite(site *Site, s host.Site, old *certificates) {
	t.names[s.Domain] = &Name{Site: site}
	for _, n := range s.Names {
		t.names[n.Name] = &Name{Site: site, Redirect: n.Redirect, HSTS: hsts(n.Scheme), cert: t.certs.take(n.Name, n.Certificate, old),
			challenge: newChallenge(n.Name, n.Challenge)}
	}
}

// hsts is the value of Strict-Transport-Security (RFC 6797, section 6.1).
func hsts(s front.Scheme) string {
	if s.HSTS == 0 {
		return ""
	}
	return "max-age=" + strconv.FormatInt(s.HSTS, 10)
}
