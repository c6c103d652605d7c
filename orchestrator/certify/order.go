package certify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	settings "hardnode.dev/internal/wire/acme"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/store"
)

// kinds are the challenges that resolvers answer at a name; the first that the CA offers is taken, after a try that failed the other.
// domainKinds are those of the cluster's domain: no other is for names with "*".
var (
	kinds       = []string{acme.ChallengeTypeHTTP01, acme.ChallengeTypeTLSALPN01}
	domainKinds = []string{acme.ChallengeTypeDNS01}
)

// patience is how long an order may take before it is given up.
const patience = 30 * time.Minute

// step does what is due for a name. Errors are of the store and of keys; what the CA and the DNS say is in the name's record.
func (d *Desk) step(ctx context.Context, c *client, s store.ACME, n name) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	called, said := heard(ctx)
	var err error
	switch n.do {
	case begin:
		err = d.begin(called, ctx, c, s, n)
	case advance:
		err = d.advance(called, ctx, c, n, said)
	case look:
		err = d.look(called, ctx, c, n)
	}
	if err == nil || ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil
	}
	var kept storeError
	if errors.As(err, &kept) {
		return kept.error
	}
	return d.troubled(ctx, c, s, n, err, said.retry)
}

// storeError is one that is no matter of the CA's.
type storeError struct{ error }

// troubled keeps what an error of the CA means.
func (d *Desk) troubled(ctx context.Context, c *client, s store.ACME, n name, err error, hint time.Time) error {
	kind, words := meaning(err)
	switch kind {
	case ofCA:
		d.fell(words, []name{n}, hint)
		return nil
	case ofAccount: // the CA has forgotten it: the same key makes another one
		return d.register(ctx, c, s, n)
	case ofOrder:
		words = "the CA knows nothing of the order any more (" + words + ")"
	}
	if limited(err) {
		d.fell(words, nil, time.Time{})
	} else {
		d.answered()
	}
	return d.failed(ctx, n, true, words, hint)
}

// register makes the account anew that the CA knows no more.
func (d *Desk) register(ctx context.Context, c *client, s store.ACME, n name) error {
	want := acme.Account{Contact: []string{"mailto:" + s.Mail}, TermsOfServiceAgreed: true, PrivateKey: c.account.PrivateKey}
	err := bind(ctx, c, &want, d.external(settings.SetAcmeSettings{Directory: s.Directory}, s))
	var got acme.Account
	if err == nil {
		got, err = c.NewAccount(ctx, want)
	}
	if err != nil {
		_, words := meaning(err)
		d.fell(words, []name{n}, time.Time{})
		return nil
	}
	_, err = d.Store.Update(ctx, func(tx *store.Tx) error {
		now, there := store.ACMEs.Read(tx, store.Only)
		if there && now.Directory == s.Directory {
			now.Account = got.Location
			store.ACMEs.Put(tx, store.Only, now)
		}
		return nil
	})
	return err
}

// keep changes the record of a name that is still the account's, and gives back the store's revision with it.
func (d *Desk) keep(ctx context.Context, n name, f func(*store.Issue)) (wire.Revision, error) {
	rev, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if !n.mayKeep(tx) {
			return nil
		}
		rec, there := store.Issues.Read(tx, n.rec.Name)
		if !there || rec.Account != n.owner {
			rec = store.Issue{Name: n.rec.Name, Account: n.owner}
		}
		f(&rec)
		store.Issues.Put(tx, n.rec.Name, rec)
		return nil
	})
	if err != nil {
		return 0, storeError{err}
	}
	return rev, nil
}

// failed keeps a try that brought nothing.
func (d *Desk) failed(ctx context.Context, n name, wasAsked bool, reason string, hint time.Time) error {
	d.land(n.rec.Name)
	_, err := d.keep(ctx, n, func(rec *store.Issue) {
		if rec.Asked != wasAsked {
			rec.Tries = 0
		}
		rec.Order, rec.Reason, rec.Asked = nil, reason, wasAsked
		rec.Tries++
		rec.Next = d.now().Add(rest(*rec, d.now(), hint))
	})
	logging.Or(d.Log).Warn("a certificate was not issued", logging.Env, n.env, "domain", n.rec.Name, logging.Reason, reason)
	return err
}

// admitted counts an order before it is made, at the moment that it gives back; zero: the account or the cluster has asked for enough.
func (d *Desk) admitted(ctx context.Context, n name) (time.Time, error) {
	why, until, now := "", time.Time{}, time.Time{}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		now = d.now()
		mine, _ := store.Askeds.Read(tx, string(n.owner))
		renewal := n.rec.Certificate != nil
		if why, until = admit(store.Askeds.All(tx.View()), n.owner, renewal, now); why != "" {
			return nil
		}
		mine.Account, mine.Times, mine.Renewed = n.owner, append(lately(mine.Times, now), now), lately(mine.Renewed, now)
		if renewal {
			mine.Renewed = append(mine.Renewed, now)
		}
		store.Askeds.Put(tx, string(n.owner), mine)
		return nil
	})
	if err != nil {
		return time.Time{}, storeError{err}
	}
	if why == "" {
		return now, nil
	}
	_, err = d.keep(ctx, n, func(rec *store.Issue) { rec.Reason, rec.Next = why, until })
	return time.Time{}, err
}

// unasked takes back the count of an order that a CA which is away was not asked for.
func (d *Desk) unasked(ctx context.Context, n name, at time.Time) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		mine, there := store.Askeds.Read(tx, string(n.owner))
		if there {
			mine.Times = slices.DeleteFunc(slices.Clone(mine.Times), at.Equal)
			mine.Renewed = slices.DeleteFunc(slices.Clone(mine.Renewed), at.Equal)
			store.Askeds.Put(tx, string(n.owner), mine)
		}
		return nil
	})
	if err != nil {
		return storeError{err}
	}
	return nil
}

// begin asks for a certificate of a name that leads here. called is the context of calls.
func (d *Desk) begin(called, ctx context.Context, c *client, s store.ACME, n name) error {
	if words := d.leads(ctx, s, n); words != "" {
		return d.failed(ctx, n, false, plain(words), time.Time{})
	}
	at, err := d.admitted(ctx, n)
	if at.IsZero() {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return storeError{err}
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return storeError{err}
	}
	sealed, err := d.Keys.Seal(certs.IssuedAs(n.rec.Name, n.owner), raw)
	if err != nil {
		return storeError{err}
	}
	order, err := newOrder(called, c, n.rec, s.Directory)
	if err != nil {
		if kind, _ := meaning(err); kind != ofName {
			if err := d.unasked(ctx, n, at); err != nil {
				return err
			}
		}
		return err
	}
	d.answered()
	rec := &store.Order{Directory: s.Directory, URL: order.Location, Key: sealed, Begun: d.now()}
	for _, url := range order.Authorizations {
		a, err := c.GetAuthorization(called, c.account, url)
		if err != nil {
			return err
		}
		if a.Status == acme.StatusValid {
			continue
		}
		of := n.kinds()
		offered := choose(a.Challenges, of, n.rec.Tries)
		if offered == nil {
			return d.failed(ctx, n, true, "the CA offers no "+strings.Join(of, " or ")+" for this name", time.Time{})
		}
		if rec.Kind = offered.Type; n.wild {
			rec.Proofs = append(rec.Proofs, store.Proof{Name: a.IdentifierValue(), Token: offered.Token,
				Text: offered.DNS01KeyAuthorization()})
		} else {
			rec.Token, rec.Answer = offered.Token, offered.KeyAuthorization
		}
	}
	rev, err := d.keep(ctx, n, func(is *store.Issue) { is.Order = rec })
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.mu.flight[n.rec.Name] = &flight{rev: rev}
	d.mu.Unlock()
	logging.Or(d.Log).Info("a certificate is asked for", logging.Env, n.env, "domain", n.rec.Name, "kind", rec.Kind)
	return nil
}

// newOrder makes an order, as the successor of the certificate that there is (RFC 9773, section 5); a CA that won't have it so makes it all
// the same.
func newOrder(ctx context.Context, c *client, rec store.Issue, directory string) (acme.Order, error) {
	want := acme.Order{}
	for _, name := range hosts(rec.Name) {
		want.Identifiers = append(want.Identifiers, acme.Identifier{Type: "dns", Value: name})
	}
	dir, err := c.GetDirectory(ctx)
	if err != nil {
		return want, err
	}
	if rec.Certificate != nil && rec.Directory == directory && dir.RenewalInfo != "" {
		if leaf, err := x509.ParseCertificate(rec.Certificate.Chain[0]); err == nil && len(leaf.AuthorityKeyId) > 0 {
			replaces := want
			if replaces.Replaces, err = acme.ARIUniqueIdentifier(leaf); err == nil {
				got, err := c.NewOrder(ctx, c.account, replaces)
				var p acme.Problem
				if err == nil || limited(err) || !errors.As(err, &p) || p.Status >= 500 {
					return got, err
				}
			}
		}
	}
	return c.NewOrder(ctx, c.account, want)
}

// choose is the challenge that is answered after so many tries that failed; nil: none of those that are offered.
func choose(offered []acme.Challenge, of []string, tries int) *acme.Challenge {
	for i := range of {
		kind := of[(i+tries)%len(of)]
		if at := slices.IndexFunc(offered, func(c acme.Challenge) bool { return c.Type == kind }); at >= 0 {
			return &offered[at]
		}
	}
	return nil
}

// advance goes on with an order, from wherever it stands.
func (d *Desk) advance(called, ctx context.Context, c *client, n name, said *answer) error {
	order, err := c.GetOrder(called, c.account, acme.Order{Location: n.rec.Order.URL})
	if err != nil {
		return err
	}
	d.answered()
	if late := d.now().Sub(n.rec.Order.Begun) > patience; late && order.Status != acme.StatusValid && order.Status != acme.StatusInvalid {
		why := "the CA says that it is " + plain(order.Status)
		if order.Status == acme.StatusPending && !d.shown(n.rec.Name) {
			why = "no resolver has said that it took the answer to the CA's question"
		}
		return d.failed(ctx, n, true, fmt.Sprintf("the order was given up after %s: %s", patience, why), time.Time{})
	}
	switch order.Status {
	case acme.StatusPending:
		err = d.prove(called, ctx, c, n, order)
	case acme.StatusReady:
		err = d.finalize(called, c, n, order)
	case acme.StatusValid:
		return d.fetch(called, ctx, c, n, order)
	case acme.StatusInvalid:
		return d.failed(ctx, n, true, d.reasonOf(called, c, order), said.retry)
	}
	if err == nil {
		d.again(n.rec.Name, said.retry)
	}
	return err
}

// prove has the CA look for the challenge's answer, once resolvers have it.
func (d *Desk) prove(called, ctx context.Context, c *client, n name, order acme.Order) error {
	for _, url := range order.Authorizations {
		a, err := c.GetAuthorization(called, c.account, url)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(a.Challenges, func(x acme.Challenge) bool {
			return x.Type == n.rec.Order.Kind && proves(n.rec.Order, x.Token)
		})
		switch {
		case a.Status == acme.StatusValid:
		case a.Status != acme.StatusPending:
			return d.failed(ctx, n, true, d.reasonOf(called, c, order), time.Time{})
		case at < 0:
			return d.failed(ctx, n, true, "the CA asks for another proof than it asked for before", time.Time{})
		case a.Challenges[at].Status == acme.StatusPending && d.shown(n.rec.Name):
			if _, err := c.InitiateChallenge(called, c.account, a.Challenges[at]); err != nil {
				return err
			}
		}
	}
	return nil
}

// shown tells whether resolvers have the challenge of a name.
func (d *Desk) shown(name string) bool {
	d.mu.Lock()
	f := d.mu.flight[name]
	if f == nil { // the orchestrator was started meanwhile
		f = &flight{rev: d.Store.View().Revision()}
		d.mu.flight[name] = f
	}
	d.mu.Unlock()
	return d.Shown(f.rev)
}

// reasonOf is why an order came to nothing.
func (d *Desk) reasonOf(ctx context.Context, c *client, order acme.Order) string {
	for _, url := range order.Authorizations {
		a, err := c.GetAuthorization(ctx, c.account, url)
		if err != nil {
			continue
		}
		for _, x := range a.Challenges {
			if x.Error != nil {
				return said(*x.Error) + " (" + plain(x.Type) + ")"
			}
		}
	}
	if order.Error != nil {
		return said(*order.Error)
	}
	return "the CA says that the order is invalid, and not why"
}

// finalize asks for the certificate itself.
func (d *Desk) finalize(ctx context.Context, c *client, n name, order acme.Order) error {
	key, err := d.openKey(certs.IssuedAs(n.rec.Name, n.owner), n.rec.Order.Key.Reveal())
	if err != nil {
		return storeError{err}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: hosts(n.rec.Name)}, key)
	if err != nil {
		return storeError{err}
	}
	got, err := c.FinalizeOrder(ctx, c.account, order, csr)
	var p acme.Problem
	if err != nil && !errors.As(err, &p) && (got.Status == acme.StatusProcessing || got.Status == acme.StatusValid) {
		return nil // it does not wait for the end here
	}
	return err
}

// fetch gets the certificate, and keeps it.
func (d *Desk) fetch(called, ctx context.Context, c *client, n name, order acme.Order) error {
	chains, err := c.GetCertificateChain(called, c.account, order.Certificate)
	if err != nil {
		return err
	}
	as := certs.IssuedAs(n.rec.Name, n.owner)
	key, err := d.openKey(as, n.rec.Order.Key.Reveal())
	if err != nil {
		return storeError{err}
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return storeError{err}
	}
	pair, err := certs.ReadPair(chains[0].ChainPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), n.rec.Name,
		begun(chains[0].ChainPEM, d.now()))
	for _, host := range hosts(n.rec.Name)[1:] {
		if err == nil {
			err = pair.Leaf.VerifyHostname(host)
		}
	}
	if err != nil {
		return d.failed(ctx, n, true, "the certificate that the CA issued can't be served: "+plain(err.Error()), time.Time{})
	}
	suggested, ask := time.Time{}, time.Time{}
	if r := chains[0].RenewalInfo; r != nil && r.HasWindow() {
		suggested, ask = r.SelectedTime, d.asking(r)
	}
	d.land(n.rec.Name)
	now, leaf := d.now(), pair.Leaf
	_, err = d.keep(ctx, n, func(rec *store.Issue) {
		rec.Certificate = &store.Certificate{Chain: pair.Chain, Key: n.rec.Order.Key, Ends: leaf.NotAfter}
		rec.Directory, rec.Begins = n.rec.Order.Directory, leaf.NotBefore
		rec.Renew, rec.Look = renewAt(leaf.NotBefore, leaf.NotAfter, suggested), ask
		rec.Order, rec.Tries, rec.Asked, rec.Reason = nil, 0, false, ""
		rec.Next = now.Add(life(*rec) / latePart) // whatever clocks and the CA say, it is not asked for again before
		if leaf.NotBefore.After(now.Add(wrongTime)) || now.After(leaf.NotAfter) {
			rec.Reason = fmt.Sprintf("the certificate is for %s to %s, and it is %s here: look at the clock of the cluster",
				stamp(leaf.NotBefore), stamp(leaf.NotAfter), stamp(now))
		}
	})
	if err == nil {
		logging.Or(d.Log).Info("a certificate was issued", logging.Env, n.env, "domain", n.rec.Name, "until", leaf.NotAfter)
	}
	return err
}

// begun is now, or the moment that a certificate begins if that is later: the CA's clock may be a little ahead.
func begun(chainPEM []byte, now time.Time) time.Time {
	if block, _ := pem.Decode(chainPEM); block != nil {
		if leaf, err := x509.ParseCertificate(block.Bytes); err == nil {
			if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
				return leaf.NotBefore
			}
		}
	}
	return now
}

// asking is when the CA is asked again whether the time to renew is still right.
func (d *Desk) asking(r *acme.RenewalInfo) time.Time {
	at := d.now().Add(6 * time.Hour)
	if r.RetryAfter != nil {
		at = minTime(later(*r.RetryAfter, d.now().Add(time.Hour)), d.now().Add(24*time.Hour))
	}
	return at
}

// look asks the CA when to renew.
func (d *Desk) look(called, ctx context.Context, c *client, n name) error {
	leaf, err := x509.ParseCertificate(n.rec.Certificate.Chain[0])
	if err != nil {
		return storeError{err}
	}
	r, err := c.GetRenewalInfo(called, leaf)
	suggested, ask := time.Time{}, d.now().Add(6*time.Hour)
	if err == nil && r.HasWindow() {
		suggested, ask = r.SelectedTime, d.asking(&r)
	}
	_, kept := d.keep(ctx, n, func(rec *store.Issue) {
		rec.Look = ask
		if !suggested.IsZero() && rec.Certificate != nil && !within(rec.Renew, r) {
			rec.Renew = renewAt(rec.Begins, rec.Certificate.Ends, suggested)
		}
	})
	return kept
}

// within tells whether a time that was chosen before is still in the CA's window.
func within(t time.Time, r acme.RenewalInfo) bool {
	return !t.Before(r.SuggestedWindow.Start) && !t.After(r.SuggestedWindow.End)
}
