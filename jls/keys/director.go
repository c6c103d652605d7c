package keys

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/keep"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/jls/director"
)

// DirectorKeyFile is the private key of the director's roots; PEM PKCS #8: take it away and keep it safe, bring it back once a year.
const DirectorKeyFile = "offline/director-root.key"

// InitDirector gives the server's configuration in dir a director: its first root and online key. The pin is what clusters are told.
func InitDirector(dir string, now time.Time) (pin wire.Digest, err error) {
	cfg, err := Load(dir)
	if err != nil {
		return "", err
	}
	if cfg.Director != nil {
		return "", fmt.Errorf("make a director in %q: there is one already; `jls director renew` makes its next root and key", dir)
	}
	root, err := identity.NewKey()
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(root)
	if err != nil {
		return "", fmt.Errorf("encode the director's root key: %v", err)
	}
	path := filepath.Join(dir, DirectorKeyFile)
	if _, err := os.Stat(path); err == nil {
		return "", fmt.Errorf("make a director in %q: %s is there already, and keys are never replaced", dir, DirectorKeyFile)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make a director in %q: %v", dir, err)
	}
	if err := keep.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return "", err
	}
	cfg.Director = &jls.Director{}
	return direct(dir, cfg, root, now)
}

// RenewDirector makes the director's next root and online key, with the root key brought back. The one before signs nothing any more.
func RenewDirector(dir string, now time.Time) (pin wire.Digest, err error) {
	cfg, err := Load(dir)
	if err != nil {
		return "", err
	}
	if cfg.Director == nil {
		return "", fmt.Errorf("renew the director in %q: there is none; `jls director init` makes one", dir)
	}
	path := filepath.Join(dir, DirectorKeyFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the director's root key: %v; bring it back from where it is kept", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return "", fmt.Errorf("read the director's root key %q: it is no PEM file", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	root, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return "", errors.Join(fmt.Errorf("read the director's root key %q: it is no Ed25519 key", path), err)
	}
	return direct(dir, cfg, root, now)
}

func direct(dir string, cfg jls.Config, root ed25519.PrivateKey, now time.Time) (wire.Digest, error) {
	online, err := identity.NewKey()
	if err != nil {
		return "", err
	}
	next, err := director.Root(cfg.Director.Roots, root, public(online), now)
	if err != nil {
		return "", err
	}
	cfg.Director.Roots, cfg.Director.Key = append(cfg.Director.Roots, next), online.Seed()
	raw, err := encode(cfg)
	if err != nil {
		return "", err
	}
	pin := wire.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(cfg.Director.Roots[0])))
	return pin, keep.WriteFile(filepath.Join(dir, ConfigFile), raw, 0o600)
}
