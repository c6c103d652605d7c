// Package keys is the JLS owner's directory of keys: made once, offline.
//
// Owns: the layout of the directory, and how each key comes into being.
// In: a directory; the time.
// Out: the server's Config, licences signed offline, a fresh signing key each year.
// Never: replaces a key that is there, or writes the licence root's private key anywhere but below offline/.
package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/jls"
)

// Names in the directory.
const (
	RootKeyFile    = "offline/licence-root.key" // private; PEM PKCS #8: take it away and keep it safe
	RootPublicFile = "licence-root.pub"         // hex; goes into `hnctl cluster init --licence-root-key`
	ConfigFile     = "jls.json"                 // jls.Config; goes into `jls serve --config`
	PinFile        = "pin"                      // goes into `hnctl cluster init --jls-pin`
	TokenFile      = "admin-token"              // the administrator's, for hnctl jls
)

// SigningFor is how long a signing key may sign.
const SigningFor = 400 * 24 * time.Hour

// Made says what Init made.
type Made struct {
	Pin    string
	RootID string
	Until  time.Time // end of the signing key
}

// Init makes all keys in dir, which must be empty or absent. When it fails it leaves nothing behind.
func Init(dir string, now time.Time) (made Made, err error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return made, fmt.Errorf("make keys in %q: it is not empty; keys are never replaced, choose another directory", dir)
	}
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(filepath.Join(dir, "offline"), 0o700); err != nil {
		return made, fmt.Errorf("make keys in %q: %v", dir, err)
	}
	defer func() {
		if err != nil {
			for _, f := range []string{"offline", RootPublicFile, ConfigFile, PinFile, TokenFile} {
				os.RemoveAll(filepath.Join(dir, f))
			}
			if errors.Is(statErr, fs.ErrNotExist) {
				os.Remove(dir)
			}
		}
	}()
	root, err := identity.NewKey()
	if err != nil {
		return made, err
	}
	server, err := identity.NewKey()
	if err != nil {
		return made, err
	}
	token := secret.Text("jls1." + rand.Text())
	cfg := jls.Config{Version: 1, Root: public(root), TLSKey: server.Seed(), AdminToken: "sha256:" + identity.HashToken(token)}
	until, err := freshSigningKey(&cfg, root, now)
	if err != nil {
		return made, err
	}
	cert, err := Certificate(cfg, now)
	if err != nil {
		return made, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(root)
	if err != nil {
		return made, fmt.Errorf("encode root key: %v", err)
	}
	raw, err := encode(cfg)
	if err != nil {
		return made, err
	}
	made = Made{Pin: identity.Pin(cert.Leaf), RootID: license.KeyID(public(root)), Until: until}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{RootKeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})},
		{RootPublicFile, []byte(hex.EncodeToString(public(root)) + "\n")},
		{ConfigFile, raw},
		{PinFile, []byte(made.Pin + "\n")},
		{TokenFile, []byte(token.Reveal() + "\n")},
	} {
		if err := keep.WriteFile(filepath.Join(dir, f.name), f.data, 0o600); err != nil {
			return made, err
		}
	}
	return made, nil
}

// Load reads the server's configuration from the directory.
func Load(dir string) (jls.Config, error) { return LoadConfig(filepath.Join(dir, ConfigFile)) }

// LoadConfig reads and checks a server's configuration.
func LoadConfig(path string) (jls.Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return jls.Config{}, fmt.Errorf("read %q: %v; `jls init` makes it", path, err)
	}
	cfg, err := jls.DecodeConfig(raw)
	if err != nil {
		return jls.Config{}, fmt.Errorf("read %q: %v", path, err)
	}
	return cfg, nil
}

// Renew makes the next yearly signing key with the offline root key and puts it into the server's configuration.
func Renew(dir string, now time.Time) (until time.Time, err error) {
	cfg, err := Load(dir)
	if err != nil {
		return until, err
	}
	path := filepath.Join(dir, RootKeyFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return until, fmt.Errorf("read licence root key %q: %v; bring it back from where it is kept", path, err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return until, fmt.Errorf("read licence root key %q: it is no PEM file", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return until, fmt.Errorf("read licence root key %q: %v", path, err)
	}
	root, ok := key.(ed25519.PrivateKey)
	if !ok || !public(root).Equal(ed25519.PublicKey(cfg.Root)) {
		return until, fmt.Errorf("read licence root key %q: it is not the root of %s", path, ConfigFile)
	}
	if until, err = freshSigningKey(&cfg, root, now); err != nil {
		return until, err
	}
	if raw, err = encode(cfg); err != nil {
		return until, err
	}
	return until, keep.WriteFile(filepath.Join(dir, ConfigFile), raw, 0o600)
}

// Signer signs with the configuration's yearly key. It fails when root and key don't fit or the key's time is over.
func Signer(cfg jls.Config, now time.Time) (issue.Signer, error) {
	s := issue.Signer{Key: ed25519.NewKeyFromSeed(cfg.SigningKey.Reveal()), Cert: cfg.SigningFor}
	probe, err := s.License(license.License{ID: "lic-probe", Customer: "probe", Hosts: 1, Issued: now, Expires: now.Add(time.Hour)})
	if err != nil {
		return s, err
	}
	if _, err := license.Verify(probe, cfg.Root, now); err != nil {
		return s, fmt.Errorf("check signing key: %v; `jls key renew` makes a new one", err)
	}
	return s, nil
}

// Sold is what one licence says.
type Sold struct {
	Customer string
	Hosts    int
	For      time.Duration
}

// Issue signs a licence that begins now.
func Issue(s issue.Signer, sold Sold, now time.Time) (string, license.License, error) {
	l := license.License{ID: issue.NewID("lic-"), Customer: strings.TrimSpace(sold.Customer), Hosts: sold.Hosts,
		Issued: now.UTC().Truncate(time.Second), Expires: now.Add(sold.For).UTC().Truncate(time.Second)}
	switch {
	case l.Customer == "":
		return "", l, errors.New("issue licence: name the customer")
	case l.Hosts < 1:
		return "", l, fmt.Errorf("issue licence: %d hosts: want at least 1", l.Hosts)
	case sold.For < 24*time.Hour:
		return "", l, fmt.Errorf("issue licence: it would last %s: want at least a day", sold.For)
	}
	token, err := s.License(l)
	return token, l, err
}

// Certificate is the server's certificate: made anew at each start, only its key matters.
func Certificate(cfg jls.Config, now time.Time) (tls.Certificate, error) {
	key := ed25519.NewKeyFromSeed(cfg.TLSKey.Reveal())
	t := &x509.Certificate{
		SerialNumber: big.NewInt(now.Unix()), Subject: pkix.Name{CommonName: "Hardnode JLS"}, DNSNames: []string{"jls"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(10 * 365 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, public(key), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %v", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

func freshSigningKey(cfg *jls.Config, root ed25519.PrivateKey, now time.Time) (until time.Time, err error) {
	key, err := identity.NewKey()
	if err != nil {
		return until, err
	}
	until = now.Add(SigningFor)
	cert, err := issue.Certify(root, public(key), now.Add(-24*time.Hour), until)
	if err != nil {
		return until, err
	}
	cfg.SigningKey, cfg.SigningFor = key.Seed(), cert
	return until, nil
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func encode(cfg jls.Config) ([]byte, error) {
	raw, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode JLS configuration: %v", err)
	}
	return append(raw, '\n'), nil
}
