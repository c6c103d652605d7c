package jls

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/neighbour"
)

// ConfigFile is where the JLS finds its Config when it runs as a container of "jelastic".
const ConfigFile = "/run/hardnode/jls.json"

// Config is the JLS's own configuration and keys, made by `jls init`. The licence root's private key is never part of it.
type Config struct {
	Version    int          `json:"version"`    // 1
	Root       []byte       `json:"root"`       // licence root public key, Ed25519 (32 bytes)
	SigningKey secret.Bytes `json:"signingKey"` // yearly signing key: Ed25519 seed (32 bytes)
	SigningFor string       `json:"signingFor"` // the root's statement about it (PASETO v4.public)
	TLSKey     secret.Bytes `json:"tlsKey"`     // Ed25519 seed (32 bytes) of the server's own key, the one installations pin
	AdminToken string       `json:"adminToken"` // "sha256:" + hex SHA-256 of the admin token
	Director   *Director    `json:"director,omitempty"`
}

// DecodeConfig reads a Config.
func DecodeConfig(raw []byte) (c Config, err error) {
	if err := neighbour.Decode(raw, &c); err != nil {
		return Config{}, fmt.Errorf("JLS configuration: %w", err)
	}
	if c.Version != 1 {
		return Config{}, fmt.Errorf("JLS configuration: version: %d is not known, want 1", c.Version)
	}
	if wire.Digest(c.AdminToken).Validate() != nil {
		err = errors.New("adminToken: want sha256: and 64 hex digits")
	}
	for _, k := range []struct {
		field string
		size  int
		want  int
	}{{"root", len(c.Root), ed25519.PublicKeySize}, {"signingKey", len(c.SigningKey), ed25519.SeedSize},
		{"tlsKey", len(c.TLSKey), ed25519.SeedSize}} {
		if k.size != k.want {
			err = errors.Join(err, fmt.Errorf("%s: has %d bytes, want %d", k.field, k.size, k.want))
		}
	}
	if d := c.Director; d != nil && (len(d.Key) != ed25519.SeedSize || len(d.Roots) == 0) {
		err = errors.Join(err, fmt.Errorf("director: has %d roots and a key of %d bytes, want a root and %d", len(d.Roots), len(d.Key),
			ed25519.SeedSize))
	}
	if c.SigningFor == "" {
		err = errors.Join(err, errors.New("signingFor: is empty"))
	}
	if err != nil {
		return Config{}, fmt.Errorf("JLS configuration: %v", err)
	}
	return c, nil
}
