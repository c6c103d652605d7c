// Package founded is a cluster as Day 0 makes it, for tests and simulations: an orchestrator starts on its seed, hosts join with its
// tokens.
//
// Owns: the keys, the licence, the join tokens and the seed of a cluster that nobody else knows.
// In: how many hosts it shall have, where its registry listens.
// Out: the seed, the tokens' texts, and the authority that signs what else takes part.
// Never: ships, or is used for a cluster that people rely on: its licence is signed by a key that was made a moment ago.
package founded

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/license"
	"hardnode.dev/internal/license/issue"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
)

// Cluster is what Day 0 made.
type Cluster struct {
	Seed      boot.OrchestratorSeed
	Pin       string // of the root CA
	Authority *identity.Authority
	Admin     secret.Text   // token of the API
	Hosts     []secret.Text // join tokens, of user hosts
}

// New founds a cluster on loopback whose licence covers the hosts it has join tokens for. Its containers' addresses are below 10.0.0.0/8,
// so it takes 65,000 hosts.
func New(hosts int, registry string, now time.Time) (*Cluster, error) {
	id := wire.ClusterID("cl-0123456789abcdef")
	root, err := identity.NewRoot(id, now)
	if err != nil {
		return nil, err
	}
	issuing, err := root.Issue(id, now)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(issuing.Key)
	if err != nil {
		return nil, err
	}
	text, licRoot, err := licence(hosts, now)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 16+32)
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	c := &Cluster{Pin: identity.Pin(root.Cert), Admin: secret.Text("hnt.admin." + hex.EncodeToString(raw[:16]))}
	sum := sha256.Sum256([]byte(c.Admin.Reveal()))
	c.Seed = boot.OrchestratorSeed{
		Version:    1,
		Cluster:    id,
		Name:       "founded",
		Domain:     "founded.test",
		Names:      []string{"127.0.0.1"},
		Range4:     "10.0.0.0/8",
		RootCA:     root.Cert.Raw,
		IssuingCA:  issuing.Cert.Raw,
		IssuingKey: key,
		Gossip:     raw[16:],
		AdminToken: "sha256:" + hex.EncodeToString(sum[:]),
		Registry:   registry,
		Infra:      boot.InfraHost{Name: "infra", Underlay: "100.64.0.1", Block4: "10.0.0.0/24"},
		License:    text,
		LicenseKey: licRoot,
		Work:       host.Work{Version: 1, Revision: 1, Containers: []host.Container{}},
	}
	if c.Authority, err = identity.OpenAuthority(id, root.Cert.Raw, issuing.Cert.Raw, key); err != nil {
		return nil, err
	}
	for i := range hosts {
		tok, rec, err := identity.NewJoinToken(fmt.Sprintf("host%d", i+1), host.RoleUser, now.Add(24*time.Hour))
		if err != nil {
			return nil, err
		}
		c.Hosts = append(c.Hosts, tok)
		c.Seed.JoinTokens = append(c.Seed.JoinTokens, rec)
	}
	return c, nil
}

// licence is one for so many hosts, and the key it is verified with.
func licence(hosts int, now time.Time) (string, ed25519.PublicKey, error) {
	root := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("r"), 32))
	signing := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("s"), 32))
	cert, err := issue.Certify(root, signing.Public().(ed25519.PublicKey), now.Add(-time.Hour), now.AddDate(1, 0, 0))
	if err != nil {
		return "", nil, err
	}
	at := now.UTC().Truncate(time.Second)
	text, err := issue.Signer{Key: signing, Cert: cert}.License(license.License{
		ID:       "lic-" + strings.Repeat("0", 16),
		Customer: "founded",
		Hosts:    hosts,
		Issued:   at.Add(-time.Minute),
		Expires:  at.AddDate(1, 0, 0),
	})
	return text, root.Public().(ed25519.PublicKey), err
}

// Component is a credential of a component of the platform.
func (c *Cluster) Component(name string, id wire.CTID, now time.Time) (*identity.Holder, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	csr, err := identity.CSR(key)
	if err != nil {
		return nil, err
	}
	chain, err := c.Authority.Sign(csr, identity.Peer{CTID: id, Component: name, Host: "h-000000000000"}, []string{"127.0.0.1"}, now)
	if err != nil {
		return nil, err
	}
	cred, err := identity.NewCredential(key, chain)
	if err != nil {
		return nil, err
	}
	h := &identity.Holder{}
	h.Set(cred)
	return h, nil
}

// Trust is what the cluster's own trust.
func (c *Cluster) Trust() identity.Trust { return identity.Trust{Pin: c.Pin, Cluster: c.Seed.Cluster} }
