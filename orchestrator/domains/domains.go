// Package domains is the host names of environments, the certificates that they are served with, and how their sites are served.
//
// Owns: the records of names, of how sites are served and of the cluster's own certificate; who may have a name; private keys, sealed in
// the store.
// In: what people ask for; TXT records of names outside of the cluster's domain; the clock.
// Out: names with certificates for the resolver's routes; what people are shown of them; alarms before a certificate ends.
// Never: shows a private key to anybody but resolvers, gives a name of one account to another, or stops serving because the clock is wrong.
package domains

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/front"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/accounts"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
)

// Desk is the one writer of the records of names and certificates.
type Desk struct {
	Store *store.Store
	Keys  certs.Sealer
	Proof []byte // 32 bytes: what accounts prove names with is made of it
	Now   func() time.Time
	Log   *slog.Logger
	// TXT looks up the texts of a name in the DNS; none and no error if there are none.
	TXT func(ctx context.Context, name string) ([]string, error)
	// Issue is where a name of an owner stands with the CA that certificates are asked of; wanted: one is to be asked for. Nil: there is
	// none.
	Issue func(v *store.View, name string, owner wire.Account, wanted bool) *operator.DomainIssue

	alarms atomic.Pointer[[]string]
	shared struct { // the cluster's own certificate, opened
		sync.Mutex
		rev  [2]wire.Revision // of the records that it follows from
		cert *host.Certificate
	}
}

// soon is how long before its end an uploaded certificate is warned of; the cluster's own is half the time after its renewal was due.
const (
	soon     = 30 * 24 * time.Hour
	overdue  = certs.WebLeafLife / 6
	lookTime = 5 * time.Second
)

// alive tells whether a record's environment is still the one that it was made for: one of the same name that came later has nothing of it.
func alive(d *store.Domain, e *store.Environment) bool {
	return e != nil && e.Created.Equal(d.Since) && e.Want != store.WantDeleted
}

func own(v *store.View, env wire.EnvName) string {
	c, _ := store.Clusters.Get(v, store.Only)
	return string(env) + "." + c.Domain
}

// Names are an environment's names for the resolver's routes.
func (d *Desk) Names(v *store.View, env wire.EnvName) (out []host.SiteName) {
	e := store.Envs.Find(v, string(env))
	for rec := range store.DomainsOf.Of(v, string(env)) {
		if !alive(&rec, e) {
			continue
		}
		n := host.SiteName{Name: rec.Name, Scheme: rec.Scheme}
		c, as := rec.Certificate, sealedAs(rec.Name)
		if i := issued(v, rec.Name, e); i != nil {
			if c == nil {
				c, as = i.Certificate, certs.IssuedAs(rec.Name, i.Account)
			}
			if o := i.Order; o != nil && o.Token != "" {
				n.Challenge = &host.Challenge{Token: o.Token, Answer: o.Answer}
			}
		}
		if c != nil {
			key, err := d.Keys.Open(as, c.Key)
			if err != nil {
				logging.Or(d.Log).Error("a name is served without its certificate", logging.Env, env, "domain", rec.Name, logging.Err, err)
			} else {
				n.Certificate = &host.Certificate{Chain: c.Chain, Key: key}
			}
		}
		out = append(out, n)
	}
	return out
}

// issued is where a name of an environment stands with the CA; nil: it is nowhere, or what there is was another account's.
func issued(v *store.View, name string, e *store.Environment) *store.Issue {
	if i := store.Issues.Find(v, name); i != nil && i.Account == e.Account.Owner() {
		return i
	}
	return nil
}

func sealedAs(name string) string { return "certificate of " + name }

// environment is that of a name, for a caller of an account. Errors are Problems.
func environment(v *store.View, env wire.EnvName, account wire.Account) (store.Environment, error) {
	e, there := store.Envs.Get(v, string(env))
	if !there || !account.Sees(e.Account) {
		return e, operator.NewProblem(operator.NotFound, "environments/"+string(env), "there is no such environment", "see hnctl env list")
	}
	if p := progress.Refusal("env.domain", env, &e, store.Envs.Revision(v, string(env)), 0); p != nil {
		return e, p
	}
	return e, nil
}

// List is an environment's names for a caller of an account. Errors are Problems.
func (d *Desk) List(env wire.EnvName, account wire.Account) (operator.Domains, error) {
	v := d.Store.View()
	e, there := store.Envs.Get(v, string(env))
	if !there || !account.Sees(e.Account) {
		return operator.Domains{}, operator.NewProblem(operator.NotFound, "environments/"+string(env), "there is no such environment",
			"see hnctl env list")
	}
	mine := own(v, env)
	cluster, fromCA := d.shownLeaf(v)
	out := []operator.Domain{{Name: mine, Own: true}}
	for rec := range store.DomainsOf.Of(v, string(env)) {
		if !alive(&rec, &e) {
			continue
		}
		n := operator.Domain{Name: rec.Name, Own: rec.Name == mine, Scheme: rec.Scheme}
		if c := rec.Certificate; c != nil {
			if leaf, err := x509.ParseCertificate(c.Chain[0]); err == nil {
				n.Certificate = d.show(leaf, true)
			}
		} else if !n.Own && !strings.HasSuffix(rec.Name, "."+mine) {
			d.showIssue(v, &n, e)
		}
		if n.Own {
			out[0] = n
		} else {
			out = append(out, n)
		}
	}
	for i := range out {
		if out[i].Certificate == nil && cluster != nil && cluster.VerifyHostname(out[i].Name) == nil {
			out[i].Certificate = d.show(cluster, false)
			out[i].Certificate.Issued = fromCA
		}
	}
	slices.SortFunc(out[1:], func(a, b operator.Domain) int { return strings.Compare(a.Name, b.Name) })
	return operator.Domains{Domains: out}, nil
}

// showIssue shows what the CA issued for a name, and where it stands there.
func (d *Desk) showIssue(v *store.View, n *operator.Domain, e store.Environment) {
	if d.Issue != nil {
		n.Issue = d.Issue(v, n.Name, e.Account.Owner(), !n.NoIssue)
	}
	i := issued(v, n.Name, &e)
	if i == nil || i.Certificate == nil {
		return
	}
	leaf, err := x509.ParseCertificate(i.Certificate.Chain[0])
	if err != nil {
		return
	}
	n.Certificate = d.show(leaf, false)
	n.Certificate.Issued = true
	if n.Certificate.Warning == "" && d.Now().After(leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore)/4)) {
		n.Certificate.Warning = "it ends soon, and is not renewed"
	}
	if n.Certificate.Warning != "" && n.Issue != nil && n.Issue.Reason != "" {
		n.Certificate.Warning += ": " + n.Issue.Reason
	}
}

func (d *Desk) show(c *x509.Certificate, uploaded bool) *operator.DomainCertificate {
	sum := sha256.Sum256(c.Raw)
	out := &operator.DomainCertificate{Uploaded: uploaded, Names: c.DNSNames, Issuer: c.Issuer.CommonName,
		Begins: c.NotBefore, Ends: c.NotAfter, SHA256: hex.EncodeToString(sum[:])}
	if out.Names == nil {
		out.Names = []string{}
	}
	switch left := c.NotAfter.Sub(d.Now()); {
	case left < 0:
		out.Warning = "it has ended: clients refuse it"
	case uploaded && left < soon:
		out.Warning = fmt.Sprintf("it ends in %d days: upload another", int(left.Hours()/24))
	}
	return out
}

// Set gives an environment a name, or changes how it is served by one that it has. Errors are Problems.
func (d *Desk) Set(ctx context.Context, env wire.EnvName, account wire.Account, name string, scheme front.Scheme) error {
	v := d.Store.View()
	e, err := environment(v, env, account)
	if err != nil {
		return err
	}
	if err := scheme.Validate(); err != nil {
		return operator.NewProblem(operator.Invalid, at(env, name), err.Error(), "choose another value")
	}
	if rec := store.Domains.Find(v, name); rec == nil || rec.Env != env || !alive(rec, &e) {
		if p := d.mayHave(ctx, v, e, account, name); p != nil {
			return p
		}
	}
	return d.change(ctx, env, account, name, true, func(rec *store.Domain) { rec.Scheme = scheme })
}

// at is what a problem with a name is about.
func at(env wire.EnvName, name string) string {
	return "environments/" + string(env) + "/domains/" + name
}

// change changes the record of a name of an environment; with make also where there is none.
func (d *Desk) change(ctx context.Context, env wire.EnvName, account wire.Account, name string, make bool, f func(*store.Domain)) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		v := tx.View()
		e, there := store.Envs.Read(tx, string(env))
		if !there {
			return operator.NewProblem(operator.NotFound, "environments/"+string(env), "there is no such environment", "see hnctl env list")
		}
		if _, err := environment(v, env, account); err != nil {
			return err
		}
		rec, has := store.Domains.Read(tx, name)
		if has && (rec.Env != env || !alive(&rec, &e)) {
			if holder := store.Envs.Find(v, string(rec.Env)); alive(&rec, holder) {
				return taken(v, env, account, rec)
			}
			has = false
		}
		if !has {
			if !make && name != own(v, env) {
				return operator.NewProblem(operator.NotFound, at(env, name), "the environment has no such name",
					"give it the name first: hnctl env domain set "+string(env)+" "+name)
			}
			n := 0
			for other := range store.DomainsOf.Of(v, string(env)) {
				if alive(&other, &e) {
					n++
				}
			}
			if n >= front.MaxNames {
				return operator.NewProblem(operator.Exhausted, at(env, name),
					fmt.Sprintf("the environment has %d names, and may have no more", n),
					"delete one: hnctl env domain delete "+string(env)+" NAME")
			}
			if name != own(v, env) {
				if err := accounts.Admit(tx, e.Account, at(env, name), accounts.OfDomains(1)); err != nil {
					return err
				}
			}
			rec = store.Domain{Name: name, Env: env, Since: e.Created, At: d.Now().UTC()}
		}
		f(&rec)
		store.Domains.Put(tx, name, rec)
		return nil
	})
	return err
}

// taken is that a name is another environment's, which is named to those who see it.
func taken(v *store.View, env wire.EnvName, account wire.Account, rec store.Domain) error {
	whose := "another environment's"
	if e := store.Envs.Find(v, string(rec.Env)); e != nil && account.Sees(e.Account) {
		whose = "environment " + string(rec.Env) + "'s"
	}
	return operator.NewProblem(operator.Conflict, at(env, rec.Name), "the name is "+whose,
		"delete it there first, or ask those who run the cluster")
}

// Delete takes a name from an environment, with its certificate; its own gets back how it is served by default. Errors are Problems.
func (d *Desk) Delete(ctx context.Context, env wire.EnvName, account wire.Account, name string) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		e, err := environment(tx.View(), env, account)
		if err != nil {
			return err
		}
		if rec, has := store.Domains.Read(tx, name); !has || rec.Env != env || !alive(&rec, &e) {
			return operator.NewProblem(operator.NotFound, at(env, name), "the environment has no such name",
				"see hnctl env domain list "+string(env))
		}
		store.Domains.Delete(tx, name)
		return nil
	})
	return err
}

// Upload gives a name of an environment a certificate. Errors are Problems.
func (d *Desk) Upload(ctx context.Context, env wire.EnvName, account wire.Account, name string, in operator.UploadCertificate) error {
	if _, err := environment(d.Store.View(), env, account); err != nil {
		return err
	}
	if !host.IsDomain(name) {
		return malformed(env, name)
	}
	pair, err := certs.ReadPair([]byte(in.Chain), []byte(in.Key.Reveal()), name, d.Now())
	if err != nil {
		if f, ok := err.(*certs.Fault); ok {
			return operator.NewProblem(operator.Invalid, f.Part, f.Reason, f.Next)
		}
		return err
	}
	sealed, err := d.Keys.Seal(sealedAs(name), pair.Key)
	if err != nil {
		return err
	}
	return d.change(ctx, env, account, name, false, func(rec *store.Domain) {
		rec.Certificate = &store.Certificate{Chain: pair.Chain, Key: sealed, Ends: pair.Leaf.NotAfter}
	})
}

// Drop takes the uploaded certificate from a name. Errors are Problems.
func (d *Desk) Drop(ctx context.Context, env wire.EnvName, account wire.Account, name string) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		e, err := environment(tx.View(), env, account)
		if err != nil {
			return err
		}
		rec, has := store.Domains.Read(tx, name)
		if !has || rec.Env != env || !alive(&rec, &e) || rec.Certificate == nil {
			return operator.NewProblem(operator.NotFound, "environments/"+string(env)+"/certificates/"+name,
				"no certificate was uploaded for this name", "see hnctl env cert list "+string(env))
		}
		rec.Certificate = nil
		store.Domains.Put(tx, name, rec)
		return nil
	})
	return err
}

func malformed(env wire.EnvName, name string) error {
	return operator.NewProblem(operator.Invalid, at(env, name), fmt.Sprintf("%q is no host name", name),
		"write lower-case DNS labels joined by dots, an international name as xn--…; a name with * is asked for name by name")
}
