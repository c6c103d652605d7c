// Package identity is the cluster's trust: keys, certificates and what they say.
//
// Owns: the root and issuing CA, the certificate profile of hosts and components, pins, short codes, join tokens, TLS settings.
// In: keys, CSRs, certificates, the cluster's id; the time.
// Out: certificates whose URI names exactly one Peer; TLS configurations that accept only the Peer asked for.
// Never: decides who may join (orchestrator/enroll does), or trusts a host name instead of an identity.
//
// All keys are Ed25519 (RFC 8410), certificates follow RFC 5280, TLS is 1.3 only. A leaf lives 24 hours and is renewed at half life.
package identity

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Peer is who a certificate says its holder is: a host (Host, Role) or a component of "jelastic" (CTID, Component, Host it runs on).
type Peer struct {
	Cluster   wire.ClusterID
	Host      wire.HostID // of a component: the host it runs on; may be empty for the orchestrator's own certificate
	Name      string      // host name; empty for components
	Role      host.Role   // hosts only
	CTID      wire.CTID   // components only
	Component string      // components only: "orchestrator", "registry", "resolver", …
	Key       ed25519.PublicKey
}

// IsHost tells hosts from components.
func (p Peer) IsHost() bool { return p.Component == "" }

// String names the peer for logs and errors.
func (p Peer) String() string {
	if p.IsHost() {
		return "host " + p.Name + " (" + string(p.Host) + ")"
	}
	return "component " + p.Component + " (container " + p.CTID.String() + ")"
}

// uri is the one subject alternative name that carries the identity:
// hardnode://<cluster>/host/<id>/<role>/<name> or hardnode://<cluster>/component/<ctid>/<component>/<host id or ->.
func (p Peer) uri() *url.URL {
	u := &url.URL{Scheme: "hardnode", Host: string(p.Cluster)}
	if p.IsHost() {
		u.Path = "/host/" + string(p.Host) + "/" + string(p.Role) + "/" + p.Name
		return u
	}
	h := string(p.Host)
	if h == "" {
		h = "-"
	}
	u.Path = "/component/" + p.CTID.String() + "/" + p.Component + "/" + h
	return u
}

func (p Peer) validate() error {
	if err := p.Cluster.Validate(); err != nil {
		return err
	}
	if p.IsHost() {
		switch p.Role {
		case host.RoleUser, host.RoleInfra, host.RoleHypervisor:
		default:
			return fmt.Errorf("role %q: is not one of user, infra, hypervisor", p.Role)
		}
		return errors.Join(p.Host.Validate(), wire.Label("host name", p.Name, 63))
	}
	if p.CTID < 1 || p.CTID >= wire.FirstUserCTID {
		return fmt.Errorf("component %q: container %d is outside 1–%d", p.Component, p.CTID, wire.FirstUserCTID-1)
	}
	if p.Host != "" {
		if err := p.Host.Validate(); err != nil {
			return err
		}
	}
	return wire.Label("component", p.Component, 40)
}

// PeerOf reads who a certificate belongs to. It does not verify the certificate: TLS did, with ClientTLS or ServerTLS.
func PeerOf(cert *x509.Certificate) (Peer, error) {
	key, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok {
		return Peer{}, fmt.Errorf("certificate of %q: its key is no Ed25519 key", cert.Subject.CommonName)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != "hardnode" {
		return Peer{}, fmt.Errorf("certificate of %q: it carries no hardnode identity", cert.Subject.CommonName)
	}
	u := cert.URIs[0]
	p := Peer{Cluster: wire.ClusterID(u.Host), Key: key}
	part := strings.Split(u.Path, "/")
	if len(part) != 5 {
		return Peer{}, fmt.Errorf("certificate identity %q: malformed", u)
	}
	switch part[1] {
	case "host":
		p.Host, p.Role, p.Name = wire.HostID(part[2]), host.Role(part[3]), part[4]
	case "component":
		id, err := wire.ParseCTID(part[2])
		if err != nil {
			return Peer{}, fmt.Errorf("certificate identity %q: %v", u, err)
		}
		p.CTID, p.Component = id, part[3]
		if part[4] != "-" {
			p.Host = wire.HostID(part[4])
		}
		if p.Component == "" {
			return Peer{}, fmt.Errorf("certificate identity %q: malformed", u)
		}
	default:
		return Peer{}, fmt.Errorf("certificate identity %q: neither host nor component", u)
	}
	if err := p.validate(); err != nil {
		return Peer{}, fmt.Errorf("certificate identity %q: %v", u, err)
	}
	return p, nil
}

// Pin is how a certificate's key is named in configuration: "sha256:" and the hex SHA-256 of its SubjectPublicKeyInfo (RFC 7469, section
// 2.4, in hex).
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}
