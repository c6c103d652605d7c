package certify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/orchestrator/store"
)

// every is how often the clock is looked at; atOnce how many steps are made at the same time.
const (
	every  = time.Minute
	atOnce = 4
	soon   = 100 * time.Millisecond // between two steps at least
)

// name is a host name that certificates are asked for.
type name struct {
	env   wire.EnvName
	owner wire.Account
	rec   store.Issue
	do    to
	wild  bool // it is the cluster's domain
}

// Run asks, goes on, renews and forgets until ctx ends. For the leader alone: two would ask twice.
func (d *Desk) Run(ctx context.Context) error {
	for {
		v := d.Store.View()
		rest, err := d.pass(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			logging.Or(d.Log).Error("certificates of a CA are not looked after", logging.Err, err)
		}
		d.alarm(ctx)
		if !d.wait(ctx, v, rest) {
			return nil
		}
	}
}

// wait waits so long, or until a change of the store since v concerns what is asked for.
func (d *Desk) wait(ctx context.Context, v *store.View, rest time.Duration) bool {
	t := time.NewTimer(rest)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case <-d.nudge:
			return true
		case <-v.Over():
			now := d.Store.View()
			changes, known := now.Since(v.Revision())
			if v = now; !known || slices.ContainsFunc(changes, func(c store.Change) bool {
				return slices.Contains([]string{store.Domains.Kind(), store.Envs.Kind(), store.ACMEs.Kind(), store.DNSs.Kind()}, c.Kind)
			}) {
				return true
			}
		}
	}
}

// asked tells whether certificates are asked for of a name, and whose it is: it is outside of the cluster's domain, nobody has uploaded
// one, its account wants it, and its environment is not in the trash.
func asked(v *store.View, rec *store.Domain) (owner wire.Account, alive, asks bool) {
	e := store.Envs.Find(v, string(rec.Env))
	if e == nil || !e.Created.Equal(rec.Since) || e.Want == store.WantDeleted {
		return "", false, false
	}
	c, _ := store.Clusters.Get(v, store.Only)
	return e.Account.Owner(), true, !e.InTrash() && !strings.HasSuffix(rec.Name, "."+c.Domain) && rec.Certificate == nil && !rec.NoIssue
}

// pass makes one step of each that is due, and says how long nothing is.
func (d *Desk) pass(ctx context.Context) (time.Duration, error) {
	if err := d.forget(ctx); err != nil {
		return every, err
	}
	v, now := d.Store.View(), d.now()
	settings := store.ACMEs.Find(v, store.Only)
	due, rest, flying := d.due(v, now, settings)
	d.mu.Lock()
	out := d.mu.out
	d.mu.Unlock()
	switch {
	case settings == nil || len(due) == 0:
		return rest, nil
	case out.next.After(now):
		return min(rest, max(out.next.Sub(now), soon)), nil
	}
	c, err := d.clientOf(*settings, store.ACMEs.Revision(v, store.Only))
	if err != nil {
		d.fell(err.Error(), due, time.Time{})
		return every, nil
	}
	if out.tries > 0 { // one asks for all whether the CA is there again
		due = due[:1]
	}
	steps, slots := sync.WaitGroup{}, make(chan struct{}, atOnce)
	for _, n := range due {
		if n.do == begin {
			if flying >= maxInFlight {
				continue
			}
			flying++
		}
		slots <- struct{}{}
		steps.Go(func() {
			defer func() { <-slots }()
			if err := d.step(ctx, c, *settings, n); err != nil && ctx.Err() == nil {
				logging.Or(d.Log).Error("a certificate is not asked for", "domain", n.rec.Name, logging.Err, err)
			}
		})
	}
	steps.Wait()
	return soon, nil
}

// due are the names of which something is to be done now, in the order of their turn, and how long the others rest.
func (d *Desk) due(v *store.View, now time.Time, settings *store.ACME) (due []name, rest time.Duration, flying int) {
	rest = every
	if settings == nil {
		return nil, rest, 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	lots := map[wire.Account]int{}
	for _, a := range store.Askeds.Refs(v) {
		lots[a.Account] = len(lately(a.Times, now))
	}
	add := func(n name, host string) {
		rec, there := store.Issues.Get(v, host)
		if !there || rec.Account != n.owner {
			rec = store.Issue{Name: host, Account: n.owner}
		}
		do, at := next(rec)
		if do == advance {
			flying++
			if f := d.mu.flight[host]; f != nil {
				at = f.next
			}
		}
		if at.After(now) {
			rest = min(rest, at.Sub(now))
			return
		}
		n.rec, n.do = rec, do
		due = append(due, n)
	}
	if domain, asks := ofDomain(v); asks {
		add(name{owner: wire.AdminAccount, wild: true}, store.DomainIssue(domain))
	}
	for _, dom := range store.Domains.Refs(v) {
		if owner, _, asks := asked(v, dom); asks {
			add(name{env: dom.Env, owner: owner}, dom.Name)
		}
	}
	slices.SortStableFunc(due, func(a, b name) int {
		if a.do != b.do && (a.do == advance || b.do == advance) {
			return int(b.do) - int(a.do)
		}
		return before(turn{a.rec, lots[a.owner]}, turn{b.rec, lots[b.owner]})
	})
	return inTurn(due), max(rest, soon), flying
}

// forget drops what is of names that are no more, or are another account's; orders that nobody wants; and what was asked long ago.
func (d *Desk) forget(ctx context.Context) error {
	v, now := d.Store.View(), d.now()
	settings := store.ACMEs.Find(v, store.Only)
	for key, rec := range store.Issues.Refs(v) {
		dom := store.Domains.Find(v, key)
		gone, stop := dom == nil, true
		if domain, asks := ofDomain(v); isDomain(key) {
			gone = !asks || key != store.DomainIssue(domain)
			stop = rec.Order != nil && (settings == nil || rec.Order.Directory != settings.Directory)
		} else if dom != nil {
			owner, alive, asks := asked(v, dom)
			gone = !alive || owner != rec.Account
			stop = rec.Order != nil && (settings == nil || !asks || rec.Order.Directory != settings.Directory)
		}
		if !gone && !stop {
			continue
		}
		if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
			is, there := store.Issues.Read(tx, key)
			if !there || store.Issues.Revision(tx.View(), key) != store.Issues.Revision(v, key) {
				return nil
			}
			if gone {
				store.Issues.Delete(tx, key)
				return nil
			}
			is.Order = nil
			store.Issues.Put(tx, key, is)
			return nil
		}); err != nil {
			return err
		}
		d.land(key)
	}
	for key, a := range store.Askeds.Refs(v) {
		if len(lately(a.Times, now)) > 0 {
			continue
		}
		if _, err := d.Store.Update(ctx, func(tx *store.Tx) error {
			if is, there := store.Askeds.Read(tx, key); there && len(lately(is.Times, now)) == 0 {
				store.Askeds.Delete(tx, key)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// land forgets what is known of an order that is over.
func (d *Desk) land(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mu.flight, name)
}

// again has an order gone on with later: the longer nothing new comes, the later.
func (d *Desk) again(name string, hint time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.mu.flight[name]
	if f == nil {
		f = &flight{rev: d.Store.View().Revision()}
		d.mu.flight[name] = f
	}
	now := d.now()
	f.next = now.Add(min(soon*2<<min(f.slow, 6), 10*time.Second))
	if hint.After(f.next) && hint.Before(now.Add(30*time.Second)) {
		f.next = hint
	}
	f.slow++
}

// fell is that nothing can be asked of the CA for a while.
func (d *Desk) fell(reason string, due []name, hint time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, o := d.now(), &d.mu.out
	if o.next.After(now) {
		return // another one has found it too
	}
	if o.tries == 0 {
		o.since = now
		logging.Or(d.Log).Warn("nothing is asked of the CA", logging.Reason, reason)
	}
	rest := min(5*time.Second<<min(o.tries, 8), 10*time.Minute)
	for _, n := range due {
		if l := life(n.rec); l > 0 {
			rest = min(rest, max(l/restPart, time.Second))
		}
	}
	o.tries++
	o.reason, o.next = reason, now.Add(rest)
	if hint.After(o.next) {
		o.next = later(now.Add(rest), minTime(hint, now.Add(time.Hour)))
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// answered is that the CA answers again.
func (d *Desk) answered() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.out.tries > 0 {
		logging.Or(d.Log).Info("the CA is asked again", "since", d.mu.out.since)
	}
	d.mu.out = outage{}
}

// alarm finds what people have to be told, and writes to accounts of certificates that are not renewed.
func (d *Desk) alarm(ctx context.Context) {
	v, now := d.Store.View(), d.now()
	alarms := []string{}
	d.mu.Lock()
	out := d.mu.out
	d.mu.Unlock()
	settings := store.ACMEs.Find(v, store.Only)
	if out.tries > 0 && (now.Sub(out.since) > 30*time.Minute || strings.HasPrefix(out.reason, "the clock")) {
		alarms = append(alarms, fmt.Sprintf("nothing was asked of the CA since %s: %s; next try at %s", stamp(out.since), out.reason,
			stamp(out.next)))
	}
	for key, rec := range store.Issues.Refs(v) {
		dom, whose := store.Domains.Find(v, key), "the cluster's domain"
		if isDomain(key) {
			dom = &store.Domain{}
		}
		if dom == nil || rec.Certificate == nil || !Late(*rec, now) {
			continue
		}
		if !isDomain(key) {
			if owner, alive, _ := asked(v, dom); !alive || owner != rec.Account || dom.Certificate != nil {
				continue
			}
			whose = "environment " + string(dom.Env)
		}
		why := d.why(settings, *dom, *rec, out)
		alarms = append(alarms, fmt.Sprintf("%s: the certificate of %s %s, and is not renewed: %s", whose, key,
			ends(rec.Certificate.Ends, now), why))
		if !rec.Told.Equal(rec.Certificate.Ends) && d.Notice != nil {
			if err := d.write(ctx, key, *dom, why); err != nil && ctx.Err() == nil {
				logging.Or(d.Log).Error("an account is not written to of a certificate", "domain", key, logging.Err, err)
			}
		}
	}
	d.alarms.Store(&alarms)
}

// Late tells whether a certificate was to be renewed and was not, long before it ends.
func Late(rec store.Issue, now time.Time) bool {
	return rec.Certificate != nil && now.After(rec.Certificate.Ends.Add(-life(rec)/alarmPart))
}

// why is why a certificate is not renewed.
func (d *Desk) why(settings *store.ACME, dom store.Domain, rec store.Issue, out outage) string {
	_, at := next(rec)
	switch {
	case settings == nil:
		return "no CA is named any more: hnctl cluster acme set"
	case dom.NoIssue:
		return fmt.Sprintf("its account has switched that off: hnctl env domain set %s %s --issue", dom.Env, dom.Name)
	case rec.Reason != "":
		return fmt.Sprintf("%s; next try at %s", rec.Reason, stamp(at))
	case out.reason != "":
		return fmt.Sprintf("%s; next try at %s", out.reason, stamp(out.next))
	}
	return "it is being asked for"
}

// write tells an account of a certificate that is not renewed, once.
func (d *Desk) write(ctx context.Context, key string, dom store.Domain, why string) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		rec, there := store.Issues.Read(tx, key)
		if !there || rec.Certificate == nil || rec.Told.Equal(rec.Certificate.Ends) {
			return nil
		}
		text := fmt.Sprintf("The certificate of %s, a name of environment %s, %s and is not renewed:\n%s\n\n"+
			"hnctl env cert list %s shows where it stands; hnctl env cert set %s %s serves it with one of your own.\n",
			key, dom.Env, ends(rec.Certificate.Ends, d.now()), why, dom.Env, dom.Env, key)
		if isDomain(key) {
			text = fmt.Sprintf("The certificate of the cluster's domain, %s, %s and is not renewed:\n%s\n\n"+
				"hnctl cluster acme show says where it stands.\n", key, ends(rec.Certificate.Ends, d.now()), why)
		}
		if err := d.Notice(tx, rec.Account, "The certificate of "+key+" is not renewed", text); err != nil {
			return err
		}
		rec.Told = rec.Certificate.Ends
		store.Issues.Put(tx, key, rec)
		return nil
	})
	return err
}

func ends(t, now time.Time) string {
	if now.After(t) {
		return "has ended at " + stamp(t)
	}
	return "ends at " + stamp(t)
}
