// Package mail sends the cluster's mail.
//
// Owns: the settings of the mail server; the outbox: the mails that wait, how often and until when each is tried.
// In: what an admin says of the server; mails of other parts, within their transactions.
// Out: mails to the server, by SMTP (RFC 5321); what waits and why, for admins.
// Never: shows what is in a mail or a password, writes a mail itself (who queues it does), or waits for a server without a deadline.
package mail

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/mail"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/user"
	"hardnode.dev/orchestrator/certs"
	"hardnode.dev/orchestrator/store"
)

// The bounds of the outbox.
const (
	maxWaiting = 1000 // mails; more are refused
	maxOfOne   = 5    // that wait for one address
	maxNotices = 20   // likewise, where it is a notice, of which 200 more may wait in all
	maxBeside  = 200
	maxFailed  = 200 // kept to be looked at; the oldest go first
	failedFor  = 7 * 24 * time.Hour
	firstRest  = 30 * time.Second // between two tries; it doubles
	longRest   = time.Hour
	testLimit  = 25 * time.Second // of a mail that somebody waits for
)

// Desk keeps the settings and the outbox. Errors of it are Problems.
type Desk struct {
	Store   *store.Store
	Keys    certs.Sealer // the password and what is in mails are sealed with it
	Cluster string       // its name
	Now     func() time.Time
	Log     *slog.Logger

	// Limit is the longest time for each of the two parts of a sending: to get in, and to hand the mail over. 0: 20 s.
	Limit time.Duration
}

// Letter is a mail that is to be sent.
type Letter struct {
	To, Subject, Text string
	For               time.Duration // how long it is worth sending: it is given up after that
	// Notice: it tells somebody what was done with what is theirs. What strangers can ask for, as a new password, keeps no such mail out.
	Notice bool
}

func (d *Desk) now() time.Time { return d.Now().UTC().Truncate(time.Second) }

// Settings is the mail server, and how many mails wait.
func (d *Desk) Settings() mail.MailSettings {
	v := d.Store.View()
	out := mail.MailSettings{}
	if s := store.MailServers.Find(v, store.Only); s != nil {
		out = mail.MailSettings{Host: s.Host, Port: s.Port, Security: s.Security, User: s.User, Password: len(s.Password) > 0, From: s.From,
			CA: s.CA, Panel: s.Panel, Since: s.Since, By: s.By}
	}
	for _, m := range store.Outbox.Refs(v) {
		if m.Failed {
			out.Failed++
		} else {
			out.Waiting++
		}
	}
	return out
}

// Set names the mail server. What waits is tried at once.
func (d *Desk) Set(ctx context.Context, s mail.SetMailSettings, by string) error {
	s = s.Normal()
	if field, err := s.Validate(); err != nil {
		return operator.NewProblem(operator.Invalid, field, err.Error(), "change it")
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		old, _ := store.MailServers.Read(tx, store.Only)
		rec := store.MailServer{Host: s.Host, Port: s.Port, Security: s.Security, User: s.User, From: s.From, CA: s.CA, Panel: s.Panel,
			Since: d.now(), By: by}
		switch {
		case s.User == "":
		case s.Password != nil:
			sealed, err := d.Keys.Seal("mail server", secret.Bytes(s.Password.Reveal()))
			if err != nil {
				return err
			}
			rec.Password = sealed
		case old.Host == s.Host && old.User == s.User: // another server never gets it
			rec.Password = old.Password
		}
		if s.User != "" && len(rec.Password) == 0 {
			return operator.NewProblem(operator.Invalid, "password", "is missing: user "+s.User+" of "+s.Host+" has none yet", "give it")
		}
		store.MailServers.Put(tx, store.Only, rec)
		for id, m := range store.Outbox.Refs(tx.View()) {
			if !m.Failed && m.Tries > 0 {
				again := *m
				again.Next = d.now()
				store.Outbox.Put(tx, id, again)
			}
		}
		return nil
	})
	return err
}

// Remove has the cluster send no mail any more. What waits fails.
func (d *Desk) Remove(ctx context.Context) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		if _, ok := store.MailServers.Read(tx, store.Only); !ok {
			return operator.NewProblem(operator.NotFound, "cluster/mail", "no mail server is named", "there is nothing to do")
		}
		store.MailServers.Delete(tx, store.Only)
		for id, m := range store.Outbox.Refs(tx.View()) {
			if !m.Failed {
				store.Outbox.Put(tx, id, d.failed(*m, "the mail server was removed from the settings"))
			}
		}
		return nil
	})
	return err
}

// failed is a mail that is tried no more; what was in it is forgotten.
func (d *Desk) failed(m store.Mail, reason string) store.Mail {
	m.Failed, m.Reason, m.Next, m.Text = true, reason, d.now(), nil
	return m
}

// Ready tells whether a mail server is named.
func Ready(v *store.View) bool { return store.MailServers.Find(v, store.Only) != nil }

// Panel is https://host:port that links begin with, "" while no mail server is named.
func Panel(v *store.View) string {
	if s := store.MailServers.Find(v, store.Only); s != nil {
		return s.Panel
	}
	return ""
}

// Queue puts a mail into the outbox, with the rest of a transaction.
func (d *Desk) Queue(tx *store.Tx, l Letter) error {
	if _, ok := store.MailServers.Read(tx, store.Only); !ok {
		return operator.NewProblem(operator.Unavailable, "cluster/mail", "the cluster sends no mail", "ask those who run the cluster")
	}
	waiting, ofOne := 0, 0
	for _, m := range store.Outbox.Refs(tx.View()) {
		if !m.Failed {
			waiting++
			if m.To == l.To {
				ofOne++
			}
		}
	}
	most, all := maxOfOne, maxWaiting
	if l.Notice {
		most, all = maxNotices, maxWaiting+maxBeside
	}
	if waiting >= all || ofOne >= most {
		return operator.NewProblem(operator.Exhausted, "cluster/mail", "too many mails wait to be sent",
			"try again later; an admin sees why with hnctl cluster mail list")
	}
	raw := make([]byte, 8)
	rand.Read(raw) // never fails (crypto/rand)
	m := store.Mail{ID: "m-" + hex.EncodeToString(raw), To: l.To, Subject: l.Subject, Created: d.now(), Next: d.now(),
		Until: d.now().Add(l.For)}
	sealed, err := d.Keys.Seal(m.ID, secret.Bytes(l.Text))
	if err != nil {
		return err
	}
	m.Text = sealed
	store.Outbox.Put(tx, m.ID, m)
	return nil
}

// List is the outbox, the newest first.
func (d *Desk) List() []mail.QueuedMail {
	out := []mail.QueuedMail{}
	for _, m := range store.Outbox.Refs(d.Store.View()) {
		q := mail.QueuedMail{ID: m.ID, To: m.To, Subject: m.Subject, State: "waiting", Tries: m.Tries, Next: m.Next, Until: m.Until,
			Reason: m.Reason, Created: m.Created}
		if m.Failed {
			q.State, q.Next = "failed", time.Time{}
		}
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b mail.QueuedMail) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Test sends a mail at once, past the outbox.
func (d *Desk) Test(ctx context.Context, to, by string) error {
	if err := user.ValidateMail(to); err != nil {
		return operator.NewProblem(operator.Invalid, "to", err.Error(), "change it")
	}
	rec, ok := store.MailServers.Get(d.Store.View(), store.Only)
	if !ok {
		return operator.NewProblem(operator.Conflict, "cluster/mail", "no mail server is named", "name it: hnctl cluster mail set")
	}
	ctx, cancel := context.WithTimeout(ctx, testLimit)
	defer cancel()
	err := d.send(ctx, rec, "test-"+hex.EncodeToString([]byte(d.now().Format("150405"))), to, "Test of mail from "+d.Cluster,
		"This mail was sent to see that cluster "+d.Cluster+" can send mail.\n"+by+" asked for it. Nothing is to be done.\n")
	if err == nil {
		return nil
	}
	p := operator.NewProblem(operator.Unavailable, "cluster/mail", err.Error(), "mend the settings or the server: hnctl cluster mail set")
	p.Status, p.Title = http.StatusBadGateway, http.StatusText(http.StatusBadGateway)
	return p
}

// Run sends what is in the outbox until ctx ends. For the leader alone: two would send everything twice.
func (d *Desk) Run(ctx context.Context) error {
	for {
		v := d.Store.View()
		rest, err := d.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			logging.Or(d.Log).Error("the outbox can't be kept", logging.Err, err)
		}
		t := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-v.Over():
		case <-t.C:
		}
		t.Stop()
	}
}

// step tries each mail that is due once, and says how long nothing is to be done if nothing changes.
func (d *Desk) step(ctx context.Context) (rest time.Duration, err error) {
	rest = time.Minute
	for _, m := range d.due() {
		if err := d.try(ctx, m); err != nil || ctx.Err() != nil {
			return rest, err
		}
	}
	if err := d.sweep(ctx); err != nil {
		return rest, err
	}
	for _, m := range store.Outbox.Refs(d.Store.View()) {
		if !m.Failed {
			rest = min(rest, max(100*time.Millisecond, m.Next.Sub(d.Now())))
		}
	}
	return rest, nil
}

// due are the mails to be tried now, what waits longest first.
func (d *Desk) due() (out []store.Mail) {
	for _, m := range store.Outbox.Refs(d.Store.View()) {
		if !m.Failed && !m.Next.After(d.Now()) {
			out = append(out, *m)
		}
	}
	slices.SortFunc(out, func(a, b store.Mail) int { return a.Next.Compare(b.Next) })
	return out
}

// try sends a mail, and keeps what became of it. After a crash between the two it is sent again, under the same Message-ID.
func (d *Desk) try(ctx context.Context, m store.Mail) error {
	now := d.now()
	var sent error
	rec, ok := store.MailServers.Get(d.Store.View(), store.Only)
	switch text, err := d.Keys.Open(m.ID, m.Text); {
	case !ok:
		return nil
	case !now.Before(m.Until):
		reason := "it was given up after " + m.Until.Sub(m.Created).String()
		if m.Reason != "" {
			reason += ": " + m.Reason
		}
		return d.keep(ctx, m.ID, func(m store.Mail) *store.Mail { m = d.failed(m, reason); return &m })
	case err != nil:
		return d.keep(ctx, m.ID, func(m store.Mail) *store.Mail { m = d.failed(m, "it can't be read: "+err.Error()); return &m })
	default:
		sent = d.send(ctx, rec, m.ID, m.To, m.Subject, string(text.Reveal()))
	}
	if ctx.Err() != nil {
		return nil
	}
	if sent != nil {
		logging.Or(d.Log).Warn("a mail was not sent", "mail", m.ID, logging.Err, sent)
	}
	return d.keep(ctx, m.ID, func(m store.Mail) *store.Mail {
		m.Tries++
		switch {
		case sent == nil:
			return nil
		case final(sent):
			m = d.failed(m, sent.Error())
		default:
			m.Reason, m.Next = sent.Error(), d.now().Add(restAfter(m.Tries))
			if m.Next.After(m.Until) {
				m.Next = m.Until
			}
		}
		return &m
	})
}

// restAfter is how long a mail rests after so many tries.
func restAfter(tries int) time.Duration { return min(longRest, firstRest<<min(max(tries-1, 0), 10)) }

// keep changes a mail that is still in the outbox; nil takes it out.
func (d *Desk) keep(ctx context.Context, id string, f func(store.Mail) *store.Mail) error {
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		m, ok := store.Outbox.Read(tx, id)
		if !ok || m.Failed {
			return nil
		}
		if now := f(m); now != nil {
			store.Outbox.Put(tx, id, *now)
		} else {
			store.Outbox.Delete(tx, id)
		}
		return nil
	})
	return err
}

// sweep forgets failed mails that are old, or too many.
func (d *Desk) sweep(ctx context.Context) error {
	var failed []*store.Mail
	for _, m := range store.Outbox.Refs(d.Store.View()) {
		if m.Failed {
			failed = append(failed, m)
		}
	}
	slices.SortFunc(failed, func(a, b *store.Mail) int { return b.Created.Compare(a.Created) })
	old := slices.DeleteFunc(slices.Clone(failed), func(m *store.Mail) bool {
		return d.Now().Sub(m.Created) < failedFor && slices.Index(failed, m) < maxFailed
	})
	if len(old) == 0 {
		return nil
	}
	_, err := d.Store.Update(ctx, func(tx *store.Tx) error {
		for _, m := range old[:min(len(old), 100)] {
			store.Outbox.Delete(tx, m.ID)
		}
		return nil
	})
	return err
}
