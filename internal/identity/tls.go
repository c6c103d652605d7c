package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
)

// Want says which peer is wanted: nil, or the reason it is not this one.
type Want func(Peer) error

// WantComponent wants the component of that name.
func WantComponent(name string) Want {
	return func(p Peer) error {
		if p.Component != name {
			return fmt.Errorf("want component %s, the other side is %s", name, p)
		}
		return nil
	}
}

// Trust is what a program believes in: one cluster's root.
type Trust struct {
	Pin     string           // of the root CA
	Cluster wire.ClusterID   // "" accepts any cluster below the pinned root (before a host knows its own)
	Now     func() time.Time // nil is time.Now
}

func (t Trust) now() time.Time {
	if t.Now != nil {
		return t.Now()
	}
	return time.Now()
}

func (t Trust) check(chain [][]byte, want Want) (Peer, error) {
	_, p, err := Verify(chain, t.Pin, t.now())
	if err != nil {
		return Peer{}, err
	}
	if t.Cluster != "" && p.Cluster != t.Cluster {
		return Peer{}, fmt.Errorf("check certificate of %s: it belongs to cluster %s, not %s", p, p.Cluster, t.Cluster)
	}
	if want != nil {
		if err := want(p); err != nil {
			return Peer{}, fmt.Errorf("check certificate: %w", err)
		}
	}
	return p, nil
}

// ClientTLS connects to the wanted peer and to nobody else; host names play no part. self may be nil (before enrolment).
func ClientTLS(t Trust, want Want, self *Holder) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The identity in the certificate is checked instead of a host name, below.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := t.check(rawOf(s.PeerCertificates), want)
			return err
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if self != nil {
				if c := self.Get(); c != nil {
					return c.TLS(), nil
				}
			}
			return &tls.Certificate{}, nil
		},
	}
}

// ErrNoIdentity: a server has not got its certificate yet.
var ErrNoIdentity = errors.New("this server has no certificate yet")

// ServerTLS serves with self's credential. A client may come without a certificate (ask ClientOf what came); a certificate that does
// not verify, or that want refuses, ends the handshake.
func ServerTLS(t Trust, want Want, self *Holder) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := self.Get()
			if c == nil {
				return nil, ErrNoIdentity
			}
			return c.TLS(), nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return nil
			}
			_, err := t.check(rawOf(s.PeerCertificates), want)
			return err
		},
		// A resumed session would keep an identity past its certificate's end.
		SessionTicketsDisabled: true,
	}
}

// ClientOf is who the other side of a verified connection is; ok is false when it came without a certificate.
// A connection outlives its certificate's check, so the end of the certificate is looked at again.
func ClientOf(s *tls.ConnectionState, now time.Time) (p Peer, ok bool) {
	if s == nil || len(s.PeerCertificates) == 0 || now.After(s.PeerCertificates[0].NotAfter) {
		return Peer{}, false
	}
	p, err := PeerOf(s.PeerCertificates[0])
	return p, err == nil
}

func rawOf(certs []*x509.Certificate) [][]byte {
	out := make([][]byte, len(certs))
	for i, c := range certs {
		out[i] = c.Raw
	}
	return out
}
