// Package license says what an installation may do by its licence, and when.
//
// Owns: the token format (PASETO v4.public behind a root-signed signing key), its verification, and the states of a licence over time.
// In: a token, the licence root's public key, the time, the last standing.
// Out: a License or Lease, or an error of the closed list below; the next Standing.
// Never: signs (that is license/issue), does I/O, or stops anything that runs: a licence only limits what may be added.
//
// Trust: the root key stays offline and signs one statement a year about a signing key; licences and leases carry that statement in
// their footer and are signed by the signing key. A signing key counts for what was issued inside its validity, so a licence may
// outlive it. Someone who controls an installation can patch this code out: it keeps honest customers honest and is no lock.
//
// History: 2026-11-22 version 1 (implicit assertions "hardnode … v1").
package license

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"aidanwoods.dev/go-paseto"

	"hardnode.dev/internal/wire/neighbour"
)

// The reasons a token is refused; test with errors.Is.
var (
	ErrMalformed = errors.New("token is malformed")
	ErrWrongKey  = errors.New("token comes from another licence root")
	ErrSignature = errors.New("signature does not match")
	ErrExpired   = errors.New("has expired")
	ErrNotYet    = errors.New("is not valid yet")
	ErrOther     = errors.New("belongs to another installation")
)

// MaxClockDrift is how far in the future a token may have been issued: two honest clocks differ by less.
const MaxClockDrift = 5 * time.Minute

// MaxToken is the longest token read, in bytes.
const MaxToken = 16 << 10

// Implicit assertions (PASETO v4, section "implicit assertions") keep one kind of token from being taken for another.
const (
	AssertKey     = "hardnode licence signing key v1"
	AssertLicense = "hardnode licence v1"
	AssertLease   = "hardnode lease v1"
)

// License is what a customer bought. Times are UTC, whole seconds.
type License struct {
	ID       string    `json:"jti"`                // "lic-" and 16 hex digits
	Customer string    `json:"sub"`                // free text
	Hosts    int       `json:"hosts"`              // hosts of role user it allows; infra hosts are free; ≥ 1
	Features []string  `json:"features,omitempty"` // names of extra features; unknown ones are ignored
	Issued   time.Time `json:"iat"`
	Expires  time.Time `json:"exp"`
}

// Lease says that the JLS knew the installation and its licence at the time of Issued. Times are UTC, whole seconds.
type Lease struct {
	ID           string    `json:"jti"` // "lease-" and 16 hex digits
	License      string    `json:"lic"` // the licence's ID
	Installation string    `json:"sub"` // the installation's id
	Key          string    `json:"key"` // KeyID of the installation's public key
	Issued       time.Time `json:"iat"`
	Expires      time.Time `json:"exp"`
}

// SigningKey is the statement the root makes about a yearly signing key.
type SigningKey struct {
	Key     string    `json:"key"` // Ed25519 public key, hex
	Issued  time.Time `json:"nbf"` // what it signs counts from here
	Expires time.Time `json:"exp"` // to here, by the signed thing's own Issued
}

// Footer travels beside the payload, in clear, and is signed with it.
type Footer struct {
	KID  string `json:"kid"`            // KeyID of the key that signed this token
	Cert string `json:"cert,omitempty"` // the root's statement about that key; not in the statement itself
}

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Verify reads a licence and checks it against the licence root's public key and the time. With ErrExpired and ErrNotYet the License
// is returned too: it is genuine, and only the time is wrong.
func Verify(token string, root ed25519.PublicKey, now time.Time) (License, error) {
	l, err := verify[License](token, root, AssertLicense)
	if err != nil {
		return License{}, fmt.Errorf("licence: %w", err)
	}
	if err := l.validate(); err != nil {
		return License{}, fmt.Errorf("licence %s: %w", l.ID, err)
	}
	if err := within(l.Issued, l.Expires, now); err != nil {
		return l, fmt.Errorf("licence %s of %s: %w", l.ID, l.Customer, err)
	}
	return l, nil
}

// VerifyLease reads a lease for this installation and key and checks it like Verify; a lease of another one is ErrOther. With ErrExpired
// and ErrNotYet the Lease is returned too.
func VerifyLease(token string, root ed25519.PublicKey, installation string, key ed25519.PublicKey, now time.Time) (Lease, error) {
	l, err := verify[Lease](token, root, AssertLease)
	if err != nil {
		return Lease{}, fmt.Errorf("lease: %w", err)
	}
	if l.Installation != installation || l.Key != KeyID(key) {
		return Lease{}, fmt.Errorf("lease %s: %w: %s, key %s", l.ID, ErrOther, l.Installation, l.Key)
	}
	if err := within(l.Issued, l.Expires, now); err != nil {
		return l, fmt.Errorf("lease %s: %w", l.ID, err)
	}
	return l, nil
}

func (l License) issued() time.Time { return l.Issued }
func (l Lease) issued() time.Time   { return l.Issued }

func (l License) validate() error {
	switch {
	case l.ID == "" || l.Customer == "":
		return fmt.Errorf("%w: it names no id or customer", ErrMalformed)
	case l.Hosts < 1:
		return fmt.Errorf("%w: it allows %d hosts", ErrMalformed, l.Hosts)
	case !l.Expires.After(l.Issued):
		return fmt.Errorf("%w: it ends before it begins", ErrMalformed)
	}
	return nil
}

func within(from, to, now time.Time) error {
	switch {
	case now.Add(MaxClockDrift).Before(from):
		return fmt.Errorf("%w: it was issued at %s, the clock says %s", ErrNotYet, stamp(from), stamp(now))
	case !now.Before(to):
		return fmt.Errorf("%w: it ended at %s, the clock says %s", ErrExpired, stamp(to), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// verify walks the chain: root → statement in the footer → token, and decodes the claims strictly.
func verify[T interface{ issued() time.Time }](token string, root ed25519.PublicKey, assert string) (claims T, err error) {
	var none T
	foot, err := footer(token)
	if err != nil {
		return none, err
	}
	signing, err := signingKey(foot.Cert, root)
	if err != nil {
		return none, fmt.Errorf("signing key: %w", err)
	}
	raw, err := hex.DecodeString(signing.Key)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return none, fmt.Errorf("%w: signing key is no Ed25519 key", ErrMalformed)
	}
	if foot.KID != KeyID(raw) {
		return none, fmt.Errorf("%w: footer names key %s, the statement is about %s", ErrSignature, foot.KID, KeyID(raw))
	}
	if err := open(token, raw, assert, &claims); err != nil {
		return none, err
	}
	if at := claims.issued(); at.Before(signing.Issued) || !at.Before(signing.Expires) {
		return none, fmt.Errorf("%w: issued at %s, outside its signing key's validity", ErrSignature, stamp(at))
	}
	return claims, nil
}

func signingKey(cert string, root ed25519.PublicKey) (k SigningKey, err error) {
	foot, err := footer(cert)
	if err != nil {
		return k, err
	}
	if len(root) != ed25519.PublicKeySize {
		return k, fmt.Errorf("%w: the root key given has %d bytes, want %d", ErrWrongKey, len(root), ed25519.PublicKeySize)
	}
	if foot.KID != KeyID(root) {
		return k, fmt.Errorf("%w: it names root %s, ours is %s", ErrWrongKey, foot.KID, KeyID(root))
	}
	return k, open(cert, root, AssertKey, &k)
}

func footer(token string) (f Footer, err error) {
	if len(token) > MaxToken {
		return f, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrMalformed, len(token), MaxToken)
	}
	raw, err := paseto.NewParserWithoutExpiryCheck().UnsafeParseFooter(paseto.V4Public, token)
	if err != nil {
		return f, fmt.Errorf("%w: it is no PASETO v4.public", ErrMalformed)
	}
	if err := neighbour.Decode(raw, &f); err != nil {
		return f, fmt.Errorf("%w: footer: %v", ErrMalformed, err)
	}
	return f, nil
}

func open(token string, key ed25519.PublicKey, assert string, out any) error {
	pub, err := paseto.NewV4AsymmetricPublicKeyFromEd25519(key)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	t, err := paseto.NewParserWithoutExpiryCheck().ParseV4Public(pub, token, []byte(assert))
	if err != nil {
		return fmt.Errorf("%w: key %s", ErrSignature, KeyID(key))
	}
	if err := neighbour.Decode(t.ClaimsJSON(), out); err != nil {
		return fmt.Errorf("%w: claims: %v", ErrMalformed, err)
	}
	return nil
}
