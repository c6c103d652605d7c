// Package seed brings what Day 0 decided into an empty store.
//
// Owns: the reading of boot.OrchestratorSeed, and its import: cluster, join tokens, admin token, licence, the environment "jelastic".
// In: the seed file.
// Out: a checked Seed; the records of a new store.
// Never: imports twice (what the store says counts from then on), or prints a key.
package seed

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/neighbour"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

// Seed is a checked seed.
type Seed struct {
	boot.OrchestratorSeed
	Authority *identity.Authority
	range4    netip.Prefix
	range6    netip.Prefix
}

// Read reads and checks the seed at path.
func Read(path string) (*Seed, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read seed: %v", err)
	}
	s, err := Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("read seed %q: %v", path, err)
	}
	return s, nil
}

// Decode reads a seed.
func Decode(raw []byte) (*Seed, error) {
	s := &Seed{}
	if err := neighbour.Decode(raw, &s.OrchestratorSeed); err != nil {
		return nil, err
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("version %d is not known, want 1", s.Version)
	}
	if err := errors.Join(s.Cluster.Validate(), wire.Label("name", s.Name, 40)); err != nil {
		return nil, err
	}
	if s.Domain == "" || strings.ToLower(s.Domain) != s.Domain {
		return nil, fmt.Errorf("domain %q: want lower-case DNS labels joined by dots", s.Domain)
	}
	var err error
	if s.range4, err = netip.ParsePrefix(s.Range4); err != nil {
		return nil, fmt.Errorf("range4: %v", err)
	}
	if s.Range6 != "" {
		if s.range6, err = netip.ParsePrefix(s.Range6); err != nil {
			return nil, fmt.Errorf("range6: %v", err)
		}
	}
	if len(s.LicenseKey) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("licenseKey: has %d bytes, want %d", len(s.LicenseKey), ed25519.PublicKeySize)
	}
	if wire.Digest(s.AdminToken).Validate() != nil {
		return nil, errors.New("adminToken: want sha256: and 64 hex digits")
	}
	if s.PatcherToken != "" && wire.Digest(s.PatcherToken).Validate() != nil {
		return nil, errors.New("patcherToken: want sha256: and 64 hex digits")
	}
	if len(s.Gossip) != 32 {
		return nil, fmt.Errorf("gossip: has %d bytes, want 32", len(s.Gossip))
	}
	if _, err := netip.ParsePrefix(s.Infra.Block4); err != nil {
		return nil, fmt.Errorf("infra.block4: %v", err)
	}
	if s.Authority, err = identity.OpenAuthority(s.Cluster, s.RootCA, s.IssuingCA, s.IssuingKey.Reveal()); err != nil {
		return nil, err
	}
	return s, nil
}

// Import fills an empty store; a store that has a cluster already is left as it is, unless it is another cluster's.
func (s *Seed) Import(tx *store.Tx, now time.Time) error {
	if have, ok := store.Clusters.Read(tx, store.Only); ok {
		if have.ID != s.Cluster {
			return fmt.Errorf("import seed: the store belongs to cluster %s, the seed to %s", have.ID, s.Cluster)
		}
		return nil
	}
	now = now.UTC().Truncate(time.Second)
	c := store.Cluster{ID: s.Cluster, Name: s.Name, Domain: s.Domain, Range4: s.range4.Masked(), Infra: s.Infra, Gossip: s.Gossip,
		FirstWork: s.Work.Revision, Imported: now}
	if s.range6.IsValid() {
		c.Range6 = s.range6.Masked()
	}
	if s.Registry != "" {
		c.Registry = []string{s.Registry}
	}
	store.Clusters.Put(tx, store.Only, c)
	for _, t := range s.JoinTokens {
		store.JoinTokens.Put(tx, t.ID, store.JoinToken{JoinToken: t})
	}
	hash := strings.TrimPrefix(s.AdminToken, "sha256:")
	store.Tokens.Put(tx, hash, store.Token{ID: authz.AdminID, Name: "admin", Account: wire.AdminAccount, Hash: hash,
		Scopes: []string{string(authz.Admin)}, Created: now, Maker: authz.Setup()})
	if hash := strings.TrimPrefix(s.PatcherToken, "sha256:"); hash != "" {
		store.Tokens.Put(tx, hash, store.Token{ID: authz.PatcherID, Name: "patcher", Account: wire.AdminAccount, Hash: hash,
			Scopes: []string{string(authz.Patch)}, Created: now, Maker: authz.Setup()})
	}
	store.Licenses.Put(tx, store.Only, store.License{Text: s.License})
	store.Numbers.Put(tx, "ctid", store.Number{Next: int64(wire.FirstUserCTID)})
	store.Numbers.Put(tx, "block", store.Number{Next: 1})
	return s.components(tx, now)
}

// components makes the environment "jelastic" of the first Assignment's containers.
func (s *Seed) components(tx *store.Tx, now time.Time) error {
	e := store.Environment{Spec: operator.EnvironmentSpec{Version: 1, Name: env.System, Layers: []operator.LayerSpec{}},
		Account: wire.AdminAccount, Want: store.WantRunning, Created: now, By: "hnctl cluster init", System: true}
	for _, c := range s.Work.Containers {
		if c.CTID < 1 || c.CTID >= wire.FirstUserCTID || c.Env != env.System || c.Component == "" {
			return fmt.Errorf("import seed: container %d: only components with numbers below %d belong into the first assignment", c.CTID,
				wire.FirstUserCTID)
		}
		l := operator.LayerSpec{Name: wire.LayerName(c.Component), Template: c.Image.Name, Nodes: 1, Cloudlets: cloudletsOf(c.Limits),
			DiskMiB: c.Limits.DiskBytes >> 20}
		e.Spec.Layers = append(e.Spec.Layers, l)
		c.Account = e.Account
		store.Nodes.Put(tx, c.CTID.String(),
			store.Node{CTID: c.CTID, Env: env.System, Layer: l.Name, Cloudlets: l.Cloudlets, Created: now, Container: c})
	}
	store.Envs.Put(tx, string(env.System), e)
	return nil
}

// cloudletsOf is the reverse of env.LimitsOf, rounded up: components are given their limits, not cloudlets.
func cloudletsOf(l host.Limits) wire.Cloudlets {
	up := func(b int64) int { return int((b + wire.CloudletBytes - 1) / wire.CloudletBytes) }
	return wire.Cloudlets{Reserved: up(l.MemoryMin), Dynamic: max(1, up(l.MemoryMax))}
}
