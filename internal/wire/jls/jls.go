// Package jls is the dialect between an installation and the licence server: activation, daily lease, seats; and what the server's own
// administrator sees.
//
// Owns: the types, the signed envelope they travel in, their strict decoding, and the paths (TCP 7446, TLS 1.3, server pinned by key).
// In: bytes from the network.
// Out: valid values; an error naming the field and the rule it broke.
// Never: does I/O, or verifies a licence (that is internal/license). It carries what is below and nothing else: no usage, no content.
//
// History: 2026-11-22 version 1. 2026-11-27 Errors.
package jls

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/form"
	"hardnode.dev/internal/wire/neighbour"
)

// The paths an installation uses; each takes a POST of a Signed and answers with JSON or problem+json (wire/operator.Problem).
const (
	PathActivate = "/v1/activate" // Signed Activate → LeaseReply
	PathLease    = "/v1/lease"    // Signed Renew → LeaseReply
	PathSeats    = "/v1/seats"    // Signed Seats → SeatsReply
)

// SeqHeader is set on a 409 about a request's Seq: the last one the server has seen of this installation.
const SeqHeader = "Hardnode-Seq"

// InstallationID names one installation to the JLS: "in-" and 16 lower-case hex digits, made by the orchestrator with its key.
type InstallationID string

var installationID = form.New(`^in-[0-9a-f]{16}$`)

// Validate says why id is no installation id, or nil.
func (id InstallationID) Validate() error {
	if !installationID.MatchString(string(id)) {
		return fmt.Errorf("installation id %q: want in- and 16 hex digits", string(id))
	}
	return nil
}

// Signed is a request with the installation's signature. Body is JSON; Signature is Ed25519 over "hardnode jls v1\n" + path + "\n" + Body.
type Signed struct {
	Body      []byte `json:"body"`
	Signature []byte `json:"signature"`
}

// Head is what every request starts with.
type Head struct {
	Installation InstallationID `json:"installation"`
	Seq          int64          `json:"seq"` // grows with every request, so none can be replayed; Unix nanoseconds serve well
}

// Activate binds a licence to an installation and its key. Sent again by the same installation with the same key it is answered again.
type Activate struct {
	Head
	Key     []byte         `json:"key"`     // the installation's Ed25519 public key, 32 bytes
	License string         `json:"license"` // the licence token
	Cluster wire.ClusterID `json:"cluster"`
	Name    string         `json:"name"` // cluster name, for the JLS's list
	Version string         `json:"version"`
}

// Renew asks for the next lease of an activated installation.
type Renew struct {
	Head
	Version string `json:"version"`
}

// LeaseReply carries a lease (license.VerifyLease) bound to the installation and its key.
type LeaseReply struct {
	Lease string    `json:"lease"`
	Now   time.Time `json:"now"` // the server's clock
}

// Seats is the whole list of an installation's hosts; it takes the place of the one before.
type Seats struct {
	Head
	Hosts []Seat `json:"hosts"` // at most MaxSeats
}

// MaxSeats is the most hosts one report may list.
const MaxSeats = 10_000

// Seat is one host.
type Seat struct {
	Host        wire.HostID `json:"host"`
	Name        string      `json:"name"`
	Fingerprint string      `json:"fingerprint,omitempty"` // hex SHA-256 of what tells the machine apart, salted by the installation
}

// SeatsReply says how the count stands. Hosts over the licence's count go on running; nothing new is placed on them.
type SeatsReply struct {
	Allowed int           `json:"allowed"`
	Used    int           `json:"used"`
	Over    []wire.HostID `json:"over"` // those beyond Allowed, in the order they were first reported
	Now     time.Time     `json:"now"`
}

// Seal signs v for path with the installation's key.
func Seal(path string, key ed25519.PrivateKey, v any) (Signed, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Signed{}, fmt.Errorf("seal %s: %v", path, err)
	}
	return Signed{Body: body, Signature: ed25519.Sign(key, message(path, body))}, nil
}

// ErrSignature: a request is not signed by the installation's key.
var ErrSignature = errors.New("request is not signed by the installation's key")

// Check verifies the signature, or fails with ErrSignature.
func (s Signed) Check(path string, key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, message(path, s.Body), s.Signature) {
		return ErrSignature
	}
	return nil
}

func message(path string, body []byte) []byte {
	return append([]byte("hardnode jls v1\n"+path+"\n"), body...)
}

// DecodeActivate reads the body of a Signed Activate and checks its form; Check it afterwards against the Key inside.
func DecodeActivate(body []byte) (a Activate, err error) {
	if err := neighbour.Decode(body, &a); err != nil {
		return a, fmt.Errorf("activation: %w", err)
	}
	if err := a.Head.validate(); err != nil {
		return a, fmt.Errorf("activation: %w", err)
	}
	if err := a.Cluster.Validate(); err != nil {
		return a, fmt.Errorf("activation: %w", err)
	}
	if len(a.Key) != ed25519.PublicKeySize {
		return a, fmt.Errorf("activation: key: has %d bytes, want %d", len(a.Key), ed25519.PublicKeySize)
	}
	return a, short("activation", a.Name, a.Version)
}

// DecodeRenew reads the body of a Signed Renew and checks its form.
func DecodeRenew(body []byte) (r Renew, err error) {
	if err := neighbour.Decode(body, &r); err != nil {
		return r, fmt.Errorf("lease request: %w", err)
	}
	if err := r.Head.validate(); err != nil {
		return r, fmt.Errorf("lease request: %w", err)
	}
	return r, short("lease request", r.Version)
}

// DecodeSeats reads the body of a Signed Seats and checks its form: no host twice.
func DecodeSeats(body []byte) (s Seats, err error) {
	if err := neighbour.Decode(body, &s); err != nil {
		return s, fmt.Errorf("seats: %w", err)
	}
	if err := s.Head.validate(); err != nil {
		return s, fmt.Errorf("seats: %w", err)
	}
	if len(s.Hosts) > MaxSeats {
		return s, fmt.Errorf("seats: has %d hosts, at most %d are read", len(s.Hosts), MaxSeats)
	}
	seen := map[wire.HostID]bool{}
	for i, h := range s.Hosts {
		if err := h.Host.Validate(); err != nil {
			return s, fmt.Errorf("seats: hosts[%d]: %w", i, err)
		}
		if seen[h.Host] {
			return s, fmt.Errorf("seats: hosts[%d]: %s is listed twice", i, h.Host)
		}
		seen[h.Host] = true
		if err := short(fmt.Sprintf("seats: hosts[%d]", i), h.Name, h.Fingerprint); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (h Head) validate() error {
	if err := h.Installation.Validate(); err != nil {
		return err
	}
	if h.Seq < 1 {
		return fmt.Errorf("seq %d: want a positive number", h.Seq)
	}
	return nil
}

func short(what string, texts ...string) error {
	for _, t := range texts {
		if len(t) > 200 {
			return fmt.Errorf("%s: a text of %d characters, at most 200 are read", what, len(t))
		}
	}
	return nil
}
