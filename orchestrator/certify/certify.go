// Package certify asks a CA for certificates of environments' own host names, by ACME (RFC 8555), and keeps them from ending.
//
// Owns: the CA's settings and the cluster's account there; where each name stands: its certificate, its order, its next try; what accounts
// asked for lately.
// In: what an admin says of the CA; the names that domains keeps; their addresses in the DNS; what the CA answers; the clock.
// Out: certificates and challenges, by the store's records, for the resolver's routes; where names stand, in words; alarms.
// Never: asks for a name that does not lead to the cluster or has an uploaded certificate; answers a challenge itself; waits for a CA
// without a deadline; tells a key to anybody.
//
// It stands on acmez's calls, not on certmagic: an order is one record, gone on with step by step and from any line of it, while
// certmagic keeps none and orders again after a crash; what is done when is a function here (next, rest, admit), while certmagic's
// renewals, locks and pauses are goroutines with a cache of all certificates, keys opened, in the memory of a program that serves none.
package certify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	api "github.com/mholt/acmez/v3/acme"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/acme"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/store"
)

// Desk is the one writer of the records of the CA and of what it issued.
type Desk struct {
	Store *store.Store
	Keys  certs.Sealer
	Now   func() time.Time
	Log   *slog.Logger
	// Lookup is where a name points to in the DNS; no addresses and no error if it is not there.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	// Resolvers are the addresses at which the world reaches them, if the settings say none.
	Resolvers func(*store.View) []netip.Addr
	// Delegated tells why the world does not find the cluster's domain at the cluster's own DNS; "": it does.
	Delegated func(context.Context, *store.View) string
	// Shown tells whether each resolver that follows has what the store had at a revision.
	Shown func(wire.Revision) bool
	// Notice writes to the owners of an account, with the rest of a transaction; nil: nobody does.
	Notice func(tx *store.Tx, owner wire.Account, subject, text string) error

	nudge  chan struct{}
	alarms atomic.Pointer[[]string]
	mu     struct {
		sync.Mutex
		client *client
		out    outage
		flight map[string]*flight // by name: what is known of an order under way beside its record
	}
}

// outage is that nothing can be asked of the CA. The zero value: it can.
type outage struct {
	since, next time.Time
	tries       int
	reason      string
}

// flight is an order under way.
type flight struct {
	rev  wire.Revision // of the store, with the challenge
	next time.Time     // when it is gone on with
	slow int           // steps that brought nothing new
}

// New makes a desk ready.
func New(d *Desk) *Desk {
	d.nudge = make(chan struct{}, 1)
	d.mu.flight = map[string]*flight{}
	return d
}

// accountKey is what the account's key is sealed as.
const accountKey = "account at the CA"

func (d *Desk) now() time.Time { return d.Now().UTC().Truncate(time.Millisecond) }

// Look has the desk see what is to be done at once.
func (d *Desk) Look() {
	select {
	case d.nudge <- struct{}{}:
	default:
	}
}

// Settings is the CA, and how much is asked of it.
func (d *Desk) Settings() acme.AcmeSettings {
	v, now := d.Store.View(), d.Now()
	out := acme.AcmeSettings{Limit: MaxCluster}
	if s := store.ACMEs.Find(v, store.Only); s != nil {
		out.Directory, out.Mail, out.CA, out.Terms, out.Addresses = s.Directory, s.Mail, s.CA, s.Terms, s.Addresses
		out.Account, out.External, out.Since, out.By = s.Account, s.External, s.Since, s.By
	}
	if domain, asks := ofDomain(v); asks {
		out.Domain = d.Show(v, store.DomainIssue(domain), wire.AdminAccount, true)
	}
	for _, rec := range store.Issues.Refs(v) {
		if rec.Certificate != nil {
			out.Issued++
		}
		if rec.Order != nil || rec.Reason != "" {
			out.Waiting++
		}
	}
	for _, a := range store.Askeds.Refs(v) {
		out.Orders += len(lately(a.Times, now))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out.Reason, out.Next = d.mu.out.reason, d.mu.out.next
	return out
}

// Set names the CA, after it has taken the cluster's account. Errors are Problems.
func (d *Desk) Set(ctx context.Context, s acme.SetAcmeSettings, by string) error {
	if field, err := s.Validate(); err != nil {
		return operator.NewProblem(operator.Invalid, field, err.Error(), "change it")
	}
	old, _ := store.ACMEs.Get(d.Store.View(), store.Only)
	key, err := d.openAccount(old)
	if err != nil || old.Directory != s.Directory {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return fmt.Errorf("make key: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	c := newClient(s.Directory, s.CA, key, "", d.Now)
	defer c.close()
	dir, err := c.GetDirectory(ctx)
	if err != nil {
		return refused(err)
	}
	terms := ""
	if dir.Meta != nil {
		terms = plain(dir.Meta.TermsOfService)
	}
	external := d.external(s, old)
	if external == nil && dir.Meta != nil && dir.Meta.ExternalAccountRequired {
		return operator.NewProblem(operator.Invalid, "external", "the CA takes only accounts that are bound to one it knows already",
			"have the CA give you a key for that, and say it: --external ID --external-key-file FILE")
	}
	if !s.AgreeTerms {
		next := "read them, and say that they are agreed to: --agree-terms"
		if terms != "" {
			next = "read " + terms + " and say that they are agreed to: --agree-terms"
		}
		return operator.NewProblem(operator.Invalid, "agreeTerms", "the CA's terms of service are not agreed to", next)
	}
	want := api.Account{Contact: []string{"mailto:" + s.Mail}, TermsOfServiceAgreed: true, PrivateKey: key}
	if err := bind(ctx, c, &want, external); err != nil {
		return err
	}
	got, err := c.NewAccount(ctx, want)
	if err == nil && old.Directory == s.Directory && old.Mail != s.Mail {
		want.Location, want.ExternalAccountBinding = got.Location, nil
		_, err = c.UpdateAccount(ctx, want)
	}
	if err != nil {
		return refused(err)
	}
	rec := store.ACME{Directory: s.Directory, Mail: s.Mail, CA: s.CA, Terms: terms, Addresses: s.Addresses, Account: got.Location,
		Since: d.now(), By: by}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %v", err)
	}
	if rec.Key, err = d.Keys.Seal(accountKey, raw); err != nil {
		return err
	}
	if external != nil {
		rec.External = external.ID
		if rec.ExternalKey, err = d.Keys.Seal(externalKey, secret.Bytes(external.Key.Reveal())); err != nil {
			return err
		}
	}
	if _, err := d.Store.Update(ctx, func(tx *store.Tx) error { store.ACMEs.Put(tx, store.Only, rec); return nil }); err != nil {
		return err
	}
	d.forgetOutage()
	d.Look()
	logging.Or(d.Log).Info("certificates are asked of a CA", "directory", s.Directory, "account", got.Location)
	return nil
}

// refused is a Problem of what a CA answers to an admin.
func refused(err error) error {
	_, words := meaning(err)
	p := operator.NewProblem(operator.Unavailable, "cluster/acme", words, "mend the directory's address or the way there, and repeat it")
	p.Status, p.Title = http.StatusBadGateway, http.StatusText(http.StatusBadGateway)
	return p
}

// Remove has the cluster ask no CA any more. What was issued is served until it ends. Errors are Problems.
func (d *Desk) Remove(ctx context.Context) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, ok := store.ACMEs.Read(tx, store.Only); !ok {
			return operator.NewProblem(operator.NotFound, "cluster/acme", "no CA is named", "there is nothing to do")
		}
		store.ACMEs.Delete(tx, store.Only)
		return nil
	})
	if err == nil {
		d.forgetOutage()
		d.Look()
	}
	return err
}

func (d *Desk) openAccount(s store.ACME) (*ecdsa.PrivateKey, error) {
	if len(s.Key) == 0 {
		return nil, errors.New("there is none")
	}
	return d.openKey(accountKey, s.Key.Reveal())
}

func (d *Desk) openKey(as string, sealed []byte) (*ecdsa.PrivateKey, error) {
	raw, err := d.Keys.Open(as, sealed)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(raw.Reveal())
	if err != nil {
		return nil, err
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T", key)
	}
	return k, nil
}

// clientOf is the client for the settings in force.
func (d *Desk) clientOf(s store.ACME, rev wire.Revision) (*client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.mu.client; c != nil && c.made == rev {
		return c, nil
	}
	key, err := d.openAccount(s)
	if err != nil {
		return nil, fmt.Errorf("the account's key can't be used: %v; name the CA again: hnctl cluster acme set", err)
	}
	if d.mu.client != nil {
		d.mu.client.close()
	}
	d.mu.client = newClient(s.Directory, s.CA, key, s.Account, d.Now)
	d.mu.client.made = rev
	return d.mu.client, nil
}

func (d *Desk) forgetOutage() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.out = outage{}
}

// Show is where a name of an account stands; nil: it has none of the CA, and none is asked for.
func (d *Desk) Show(v *store.View, name string, owner wire.Account, asked bool) *operator.DomainIssue {
	rec, there := store.Issues.Get(v, name)
	if there && rec.Account != owner {
		rec, there = store.Issue{}, false
	}
	named := store.ACMEs.Find(v, store.Only) != nil
	if !there && (!asked || !named) || there && rec.Certificate == nil && (!asked || !named) {
		return nil
	}
	out := &operator.DomainIssue{Tries: rec.Tries, Reason: rec.Reason}
	_, out.Next = next(rec)
	switch {
	case rec.Order != nil:
		out.State = "ordered"
	case rec.Reason != "" && rec.Tries > 0:
		out.State = "failed"
	case rec.Certificate != nil:
		out.State = "issued"
	default:
		out.State = "waiting"
	}
	if !asked || !named {
		out.Next = time.Time{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.mu.out; o.reason != "" && out.Reason == "" && (rec.Order != nil || !out.Next.After(d.Now())) {
		out.Reason, out.Next = o.reason, o.next
	}
	return out
}

// Alarms are what people have to be told, as it was a minute ago at most.
func (d *Desk) Alarms() []string {
	if p := d.alarms.Load(); p != nil {
		return *p
	}
	return nil
}
