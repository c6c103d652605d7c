// Package idp speaks with the identity provider that users sign in with (OpenID Connect Core 1.0, by authorization code with PKCE).
//
// Owns: the settings of the provider; sign-ins that went to it and have not come back, in memory.
// In: what an admin says of it; what a browser brings back from it.
// Out: the address that a browser is sent to; whom the provider says that it is, once everything about that is right.
// Never: knows who is a user, believes an answer that another browser began, or reaches an address inside that nobody allowed.
package idp

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/oidc"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/outward"
	"hardnode.dev/orchestrator/store"
)

// Desk keeps the settings, and the sign-ins under way. Errors of it are Problems.
type Desk struct {
	Store *store.Store
	Keys  certs.Sealer // the client's secret is sealed with it
	Now   func() time.Time
	Log   *slog.Logger

	flows flows
	mu    struct {
		sync.Mutex
		found  *found
		failed error // why the provider was not found, until again
		again  time.Time
	}
}

func (d *Desk) log() *slog.Logger { return logging.Or(d.Log) }

// sealedAs names what is sealed.
const sealedAs = "identity provider"

// Settings is the provider.
func (d *Desk) Settings() (out oidc.OidcSettings) {
	v := d.Store.View()
	s := store.OIDCs.Find(v, store.Only)
	if s == nil {
		return out
	}
	out = oidc.OidcSettings{Issuer: s.Issuer, Client: s.Client, Secret: len(s.Secret) > 0, Name: s.Name, Panel: s.Panel,
		Redirect: s.Panel + oidc.BackPath, CA: s.CA, Inside: s.Inside, Counts: s.Counts, Domains: s.Domains, Since: s.Since, By: s.By}
	for _, i := range store.Identities.Refs(v) {
		if i.Issuer == s.Issuer {
			out.Bound++
		}
	}
	return out
}

// Name is what the provider is called, "" while there is none.
func (d *Desk) Name() string {
	if s := store.OIDCs.Find(d.Store.View(), store.Only); s != nil {
		return s.Name
	}
	return ""
}

// Ways are the ways to sign in beside a password.
func (d *Desk) Ways() (out oidc.SignInWays) {
	if s := store.OIDCs.Find(d.Store.View(), store.Only); s != nil {
		out.Oidc = &oidc.OidcWay{Name: s.Name, Hnctl: s.Panel + oidc.HnctlPath}
	}
	return out
}

// Set names the provider. It has to answer, and to be what it is said to be.
func (d *Desk) Set(ctx context.Context, s oidc.SetOidcSettings, by string) error {
	s = s.Normal()
	if field, err := s.Validate(); err != nil {
		return operator.NewProblem(operator.Invalid, field, err.Error(), "change it")
	}
	rec := store.OIDC{Issuer: s.Issuer, Client: s.Client, Name: s.Name, Panel: s.Panel, CA: s.CA, Inside: s.Inside, Counts: s.Counts,
		Domains: s.Domains, Since: d.Now().UTC().Truncate(time.Second), By: by}
	f, err := d.discover(ctx, rec)
	if err != nil {
		p := operator.NewProblem(operator.Unavailable, "issuer", err.Error(), "mend the settings or the provider; nothing was changed")
		p.Status, p.Title = http.StatusBadGateway, http.StatusText(http.StatusBadGateway)
		return p
	}
	if s.Secret != nil && *s.Secret != "" {
		sealed, err := d.Keys.Seal(sealedAs, secret.Bytes(s.Secret.Reveal()))
		if err != nil {
			return err
		}
		rec.Secret = sealed
	}
	d.mu.Lock()
	d.mu.found, d.mu.failed = f, nil
	d.mu.Unlock()
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		now := rec
		old, _ := store.OIDCs.Read(tx, store.Only)
		if s.Secret == nil && old.Issuer == s.Issuer && old.Client == s.Client { // another provider never gets it
			now.Secret = old.Secret
		}
		store.OIDCs.Put(tx, store.Only, now)
		return nil
	})
	return err
}

// Remove has nobody sign in with the provider any more. Whom it knew users as is kept, for when it is named again.
func (d *Desk) Remove(ctx context.Context) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, ok := store.OIDCs.Read(tx, store.Only); !ok {
			return operator.NewProblem(operator.NotFound, "cluster/oidc", "no identity provider is named", "there is nothing to do")
		}
		store.OIDCs.Delete(tx, store.Only)
		return nil
	})
	return err
}

// rules are where calls to a provider may go.
func (d *Desk) rules(rec store.OIDC) outward.Rules {
	out := outward.Rules{Inside: rec.Inside}
	if c := store.Clusters.Find(d.Store.View(), store.Only); c != nil {
		for _, p := range []netip.Prefix{c.Range4, c.Range6} {
			if p.IsValid() {
				out.Own = append(out.Own, p)
			}
		}
	}
	return out
}

// none is the answer while no provider is named.
func none() *operator.Problem {
	return operator.NewProblem(operator.NotFound, "oidc", "this cluster has no identity provider", "sign in with your password")
}

// away is the answer while the provider does not do its part.
func away(name, reason string) *operator.Problem {
	return operator.NewProblem(operator.Unavailable, "oidc", name+" "+reason, "try again later, or sign in with your password")
}
