package domains

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/store"
)

// What the cluster's keys are sealed as.
const (
	webCAKey   = "web CA"
	webLeafKey = "certificate of the cluster's domain"
)

// every is how often the clock is compared with what certificates say.
const every = time.Minute

// Run issues and renews the cluster's own certificate, forgets the names of environments that are no more, and keeps the alarms, until ctx
// ends.
func (d *Desk) Run(ctx context.Context) error {
	for {
		err := d.renew(ctx)
		if err == nil {
			err = d.forget(ctx)
		}
		if err == nil {
			err = d.forgetFronts(ctx)
		}
		if err != nil && ctx.Err() == nil {
			logging.Or(d.Log).Error("certificates of names are not looked after", logging.Err, err)
		}
		d.look()
		if !run.Wait(ctx, every) {
			return nil
		}
	}
}

// renew makes what the cluster's own certificate lacks.
func (d *Desk) renew(ctx context.Context) error {
	v, now := d.Store.View(), d.Now()
	c, _ := store.Clusters.Get(v, store.Only)
	rec, _ := store.WebCAs.Get(v, store.Only)
	ca, err := d.openCA(rec)
	if err != nil && len(rec.CA) > 0 {
		logging.Or(d.Log).Warn("the web CA can't be used any more: another one is made, and browsers must be told of it", logging.Err, err)
	}
	made := err != nil || rec.Domain != c.Domain || certs.WebCAEnds(ca.Cert, now)
	if !made {
		if leaf := d.clusterLeaf(v); leaf != nil && !certs.WebLeafDue(leaf, ca.Cert, c.Domain, now) {
			if _, err := d.Keys.Open(webLeafKey, rec.Key); err == nil {
				return nil
			}
		}
	} else if ca, err = certs.NewWebCA(c.Domain, now); err != nil {
		return err
	}
	leaf, err := ca.Issue(c.Domain, now)
	if err != nil {
		return err
	}
	next := store.WebCA{Domain: c.Domain, CA: ca.Cert.Raw, Chain: [][]byte{leaf.Cert.Raw}, At: now.UTC()}
	if next.CAKey, err = d.seal(webCAKey, ca.Key); err != nil {
		return err
	}
	if next.Key, err = d.seal(webLeafKey, leaf.Key); err != nil {
		return err
	}
	if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if now, _ := store.WebCAs.Read(tx, store.Only); string(now.CA) == string(rec.CA) {
			store.WebCAs.Put(tx, store.Only, next)
		}
		return nil
	}); err != nil {
		return err
	}
	logging.Or(d.Log).Info("the cluster's domain has a certificate", "domain", c.Domain, "until", leaf.Cert.NotAfter, "ca", made)
	return nil
}

func (d *Desk) seal(name string, key *ecdsa.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %v", err)
	}
	return d.Keys.Seal(name, raw)
}

func (d *Desk) openCA(rec store.WebCA) (certs.Web, error) {
	cert, err := x509.ParseCertificate(rec.CA)
	if err != nil {
		return certs.Web{}, err
	}
	raw, err := d.Keys.Open(webCAKey, rec.CAKey)
	if err != nil {
		return certs.Web{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(raw.Reveal())
	if err != nil {
		return certs.Web{}, err
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return certs.Web{}, fmt.Errorf("its key is a %T", key)
	}
	return certs.Web{Cert: cert, Key: k}, nil
}

// clusterLeaf is the cluster's own certificate, or nil.
func (d *Desk) clusterLeaf(v *store.View) *x509.Certificate {
	rec := store.WebCAs.Find(v, store.Only)
	if rec == nil || len(rec.Chain) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(rec.Chain[0])
	if err != nil {
		return nil
	}
	return leaf
}

// Default is the cluster's own certificate for the resolver's routes; nil: there is none yet. It is the same value until there is another.
func (d *Desk) Default(v *store.View) *host.Certificate {
	c, _ := store.Clusters.Get(v, store.Only)
	rev := [2]wire.Revision{store.WebCAs.Revision(v, store.Only), store.Issues.Revision(v, store.DomainIssue(c.Domain))}
	d.shared.Lock()
	defer d.shared.Unlock()
	if rev == [2]wire.Revision{} || rev == d.shared.rev {
		return d.shared.cert
	}
	rec, _ := store.WebCAs.Get(v, store.Only)
	chain, as, sealed := rec.Chain, webLeafKey, rec.Key
	if i := domainIssue(v); i != nil {
		chain, as, sealed = i.Certificate.Chain, certs.IssuedAs(i.Name, i.Account), i.Certificate.Key
	}
	if len(chain) == 0 {
		return d.shared.cert
	}
	key, err := d.Keys.Open(as, sealed)
	if err != nil {
		logging.Or(d.Log).Error("the cluster's certificate can't be used", logging.Err, err)
		return d.shared.cert
	}
	d.shared.rev = rev
	if was := d.shared.cert; was == nil || !slices.EqualFunc(was.Chain, chain, bytes.Equal) {
		d.shared.cert = &host.Certificate{Chain: chain, Key: key}
	}
	return d.shared.cert
}

// domainIssue is what a CA issued for the cluster's own domain; nil: nothing.
func domainIssue(v *store.View) *store.Issue {
	c, _ := store.Clusters.Get(v, store.Only)
	if i := store.Issues.Find(v, store.DomainIssue(c.Domain)); i != nil && i.Certificate != nil {
		return i
	}
	return nil
}

// shownLeaf is the certificate of the cluster's domain that clients are shown, and whether a CA issued it. Nil: there is none.
func (d *Desk) shownLeaf(v *store.View) (leaf *x509.Certificate, issued bool) {
	if i := domainIssue(v); i != nil {
		if leaf, err := x509.ParseCertificate(i.Certificate.Chain[0]); err == nil {
			return leaf, true
		}
	}
	return d.clusterLeaf(v), false
}

// WebCA is who signs for the cluster's domain. Errors are Problems.
func (d *Desk) WebCA() (operator.WebCA, error) {
	rec, there := store.WebCAs.Get(d.Store.View(), store.Only)
	if !there {
		return operator.WebCA{}, operator.NewProblem(operator.Unavailable, "web-ca", "there is none yet", "ask again in a minute")
	}
	cert, err := x509.ParseCertificate(rec.CA)
	if err != nil {
		return operator.WebCA{}, err
	}
	sum := sha256.Sum256(rec.CA)
	return operator.WebCA{Domain: rec.Domain, PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rec.CA})),
		SHA256: hex.EncodeToString(sum[:]), Ends: cert.NotAfter}, nil
}

// forget deletes the names of environments that are no more.
func (d *Desk) forget(ctx context.Context) error {
	v := d.Store.View()
	for name, rec := range store.Domains.Refs(v) {
		if e := store.Envs.Find(v, string(rec.Env)); e != nil && e.Created.Equal(rec.Since) {
			continue
		}
		if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
			now, there := store.Domains.Read(tx, name)
			if e, is := store.Envs.Read(tx, string(now.Env)); there && (!is || !e.Created.Equal(now.Since)) {
				store.Domains.Delete(tx, name)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// forgetFronts deletes how sites of environments that are no more were served.
func (d *Desk) forgetFronts(ctx context.Context) error {
	v := d.Store.View()
	for name, rec := range store.Fronts.Refs(v) {
		if e := store.Envs.Find(v, name); e != nil && e.Created.Equal(rec.Since) {
			continue
		}
		if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
			now, there := store.Fronts.Read(tx, name)
			if e, is := store.Envs.Read(tx, name); there && (!is || !e.Created.Equal(now.Since)) {
				store.Fronts.Delete(tx, name)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// look finds what people have to be told.
func (d *Desk) look() {
	v, now := d.Store.View(), d.Now()
	alarms := []string{}
	for name, rec := range store.Domains.Refs(v) {
		if c := rec.Certificate; c != nil && alive(rec, store.Envs.Find(v, string(rec.Env))) && now.After(c.Ends.Add(-soon)) {
			alarms = append(alarms, fmt.Sprintf("environment %s: the certificate of %s %s: hnctl env cert set %s %s", rec.Env, name,
				ends(c.Ends, now), rec.Env, name))
		}
	}
	if leaf := d.clusterLeaf(v); leaf != nil && now.After(leaf.NotAfter.Add(-overdue)) {
		alarms = append(alarms, fmt.Sprintf("the certificate of the cluster's domain %s, and was not renewed: see the orchestrator's log",
			ends(leaf.NotAfter, now)))
	}
	d.alarms.Store(&alarms)
}

func ends(t, now time.Time) string {
	if now.After(t) {
		return "has ended at " + t.UTC().Format(time.RFC3339)
	}
	return "ends at " + t.UTC().Format(time.RFC3339)
}

// Alarms are what people have to be told, as it was a minute ago at most.
func (d *Desk) Alarms() []string {
	if p := d.alarms.Load(); p != nil {
		return *p
	}
	return nil
}
