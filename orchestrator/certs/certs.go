// Package certs keeps the orchestrator's own certificate fresh, and knows how web sites' certificates are made, read and sealed.
//
// Owns: the orchestrator's key, its leaf, the renewal at half life; what an uploaded certificate must be.
// In: the issuing authority, the names people reach the orchestrator under; uploaded chains and keys.
// Out: an identity.Holder that always holds a valid credential; certificates for the cluster's domain; checked, sealed pairs.
// Never: signs for anybody inside the cluster (enroll does), or stores what it makes for web sites (domains does).
package certs

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
)

// CTID is the orchestrator's own container (components start in a fixed order).
const CTID wire.CTID = 3

// Keeper renews the certificate.
type Keeper struct {
	Authority *identity.Authority
	Names     []string // host names and addresses
	Holder    *identity.Holder
	Log       *slog.Logger

	key ed25519.PrivateKey
}

// Renew makes a new leaf. Call it once before serving.
func (k *Keeper) Renew() error {
	if k.key == nil {
		key, err := identity.NewKey()
		if err != nil {
			return err
		}
		k.key = key
	}
	csr, err := identity.CSR(k.key)
	if err != nil {
		return err
	}
	chain, err := k.Authority.Sign(csr, identity.Peer{CTID: CTID, Component: "orchestrator"}, k.Names, time.Now())
	if err != nil {
		return err
	}
	c, err := identity.NewCredential(k.key, chain)
	if err != nil {
		return err
	}
	k.Holder.Set(c)
	return nil
}

// Run renews at half life until ctx ends, and warns when the issuing CA comes to its end.
func (k *Keeper) Run(ctx context.Context) error {
	log := logging.Or(k.Log)
	for {
		if left := time.Until(k.Authority.Issuing.Cert.NotAfter); left < 60*24*time.Hour {
			log.Warn("the issuing CA ends soon, and no certificate is renewed after that: this version has no command that replaces it, "+
				"update to one that has", "days", int(left.Hours()/24))
		}
		if !run.Wait(ctx, max(time.Until(k.Holder.Get().RenewAt()), time.Minute)) {
			return nil
		}
		if err := k.Renew(); err != nil {
			log.Error("the own certificate can't be renewed", logging.Err, err)
		}
	}
}
