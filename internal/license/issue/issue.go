// Package issue signs licences and leases. Only jls/ may import it.
//
// Owns: making the root's statement about a signing key, and tokens signed by that key.
// In: private keys, claims.
// Out: tokens that internal/license verifies.
// Never: stores a key, or runs on an installation.
package issue

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"aidanwoods.dev/go-paseto"

	"hardnode.dev/internal/license"
)

// Signer holds a signing key and the root's statement about it.
type Signer struct {
	Key  ed25519.PrivateKey
	Cert string // from Certify
}

// Certify makes the root's statement that key may sign what is issued between from and to.
func Certify(root ed25519.PrivateKey, key ed25519.PublicKey, from, to time.Time) (string, error) {
	claims := license.SigningKey{Key: hex.EncodeToString(key), Issued: second(from), Expires: second(to)}
	return sign(root, claims, license.Footer{KID: license.KeyID(public(root))}, license.AssertKey)
}

// License signs l. Its times are cut to whole seconds, as the token carries them.
func (s Signer) License(l license.License) (string, error) {
	l.Issued, l.Expires = second(l.Issued), second(l.Expires)
	return sign(s.Key, l, s.footer(), license.AssertLicense)
}

// Lease signs l. Its times are cut to whole seconds, as the token carries them.
func (s Signer) Lease(l license.Lease) (string, error) {
	l.Issued, l.Expires = second(l.Issued), second(l.Expires)
	return sign(s.Key, l, s.footer(), license.AssertLease)
}

func (s Signer) footer() license.Footer {
	return license.Footer{KID: license.KeyID(public(s.Key)), Cert: s.Cert}
}

// NewID is prefix and 16 random hex digits.
func NewID(prefix string) string {
	var b [8]byte
	rand.Read(b[:])
	return prefix + hex.EncodeToString(b[:])
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func sign(key ed25519.PrivateKey, claims any, foot license.Footer, assert string) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign token: %v", err)
	}
	f, err := json.Marshal(foot)
	if err != nil {
		return "", fmt.Errorf("sign token: %v", err)
	}
	t, err := paseto.NewTokenFromClaimsJSON(body, f)
	if err != nil {
		return "", fmt.Errorf("sign token: %v", err)
	}
	k, err := paseto.NewV4AsymmetricSecretKeyFromEd25519(key)
	if err != nil {
		return "", fmt.Errorf("sign token: %v", err)
	}
	return t.V4Sign(k, []byte(assert)), nil
}
