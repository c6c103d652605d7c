package link

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/jls"
	"hardnode.dev/internal/wire/neighbour"
)

// callDeadline bounds every call but the long polls.
const callDeadline = 10 * time.Second

// enroll asks for an identity until it gets one; false when ctx ended first. A refusal is shown and asked again: a person may put the
// token right on the orchestrator's side without touching this host. A host that has no token waits until a person admits it.
func (l *Link) enroll(ctx context.Context, j boot.Join) bool {
	ask, next := l.enrollOnce, "nothing is needed if the orchestrator is starting; else check join.endpoints and the network"
	if j.Token == "" {
		ask = l.waitOnce
	}
	l.update(func(s *Status) { s.Link = wordJoining })
	last := ""
	for again := (retry{most: waitJoin}); ctx.Err() == nil; {
		err := ask(ctx, j)
		if err == nil {
			return true
		}
		p := asProblem("join.endpoints", err, next)
		if text := p.Reason; text != last {
			l.log.Warn("not joined yet", logging.Reason, text, "next", p.Next)
			last = text
		}
		var w *stillWaiting
		if errors.As(err, &w) {
			l.update(func(s *Status) { s.Linked, s.Link, s.Problems = false, boot.LinkWaiting, []host.Problem{p} })
			again.ok()
			if !run.Wait(ctx, w.again) {
				break
			}
			continue
		}
		l.update(func(s *Status) { s.Linked, s.Link, s.Problems = false, wordJoining, []host.Problem{p} })
		if !again.wait(ctx, err) {
			break
		}
	}
	return false
}

func (l *Link) enrollOnce(ctx context.Context, j boot.Join) error {
	csr, err := identity.CSR(l.key)
	if err != nil {
		return err
	}
	req := host.EnrollRequest{Token: j.Token, CSR: csr, Code: identity.ShortCode(l.public()), Shown: l.Status().Code, Boot: l.o.Boot,
		Version: l.o.Version, Underlay: l.o.Underlay(ctx), Hardware: l.o.Hardware}
	var reply host.EnrollReply
	a, err := l.ask(ctx, l.client.without, host.PathEnroll, req, &reply)
	if err != nil {
		return err
	}
	return l.join(reply, a)
}

// join takes over the identity that the orchestrator's answer gives.
func (l *Link) join(reply host.EnrollReply, a answer) error {
	l.o.Clock.Answer(reply.Now, a.took)
	cred, err := l.check(reply.Chain)
	if err != nil {
		return err
	}
	if p := cred.Peer(); p.Host != reply.Host || p.Name != reply.Name || p.Cluster != reply.Cluster {
		return fmt.Errorf("read the orchestrator's answer: it names host %s, its certificate %s", reply.Host, p)
	}
	rec := record{Host: reply.Host, Name: reply.Name, Cluster: reply.Cluster, Chain: reply.Chain}
	if reply.Code != "" { // people see at the orchestrator what this host showed
		rec.Code = l.Status().Code
	}
	if err := l.doc.Save(rec); err != nil {
		return err
	}
	l.adopt(rec, cred)
	l.client.renewed()
	l.update(func(s *Status) { s.Problems = nil })
	l.log.Info("joined", logging.Host, reply.Name, "id", reply.Host, "cluster", reply.Cluster, logging.Addr, a.endpoint)
	return nil
}

// check verifies a chain the orchestrator sent: pinned root, this host's key, a host's identity.
func (l *Link) check(chain [][]byte) (*identity.Credential, error) {
	t := l.Trust()
	if _, _, err := identity.Verify(chain, t.Pin, time.Now()); err != nil {
		return nil, err
	}
	cred, err := identity.NewCredential(l.key, chain)
	if err != nil {
		return nil, err
	}
	if p := cred.Peer(); !p.IsHost() || t.Cluster != "" && p.Cluster != t.Cluster {
		return nil, fmt.Errorf("check the certificate the orchestrator sent: it is for %s of cluster %s", p, p.Cluster)
	}
	return cred, nil
}

// renew replaces the certificate at half life, until ctx ends.
func (l *Link) renew(ctx context.Context) error {
	for n := 0; ; {
		wait := min(time.Until(l.holder.Get().RenewAt()), time.Minute) // short waits: the clock may be set meanwhile
		if n == 0 && wait > 0 {
			if !run.Wait(ctx, wait) {
				return nil
			}
			continue
		}
		err := l.renewOnce(ctx)
		if err == nil {
			n = 0
			continue
		}
		if n++; n == 1 {
			l.log.Warn("certificate not renewed yet", logging.Err, err, "until", l.holder.Get().Expires())
		}
		if !run.Wait(ctx, renewWait(n, time.Until(l.holder.Get().Expires()), spread())) {
			return nil
		}
	}
}

// renewOnce asks for a new leaf: with the old one, or, when that has expired, by proof of the enrolled key.
func (l *Link) renewOnce(ctx context.Context) error {
	csr, err := identity.CSR(l.key)
	if err != nil {
		return err
	}
	old := l.holder.Get()
	req, client := host.RenewRequest{CSR: csr}, l.client.with.Load()
	if now := time.Now(); !now.Before(old.Expires()) {
		req.Host, req.Time = old.Peer().Host, now.UTC().Truncate(time.Second)
		req.Proof = ed25519.Sign(l.key, identity.RenewalText(req.Host, req.Time, sha256.Sum256(csr)))
		client = l.client.without
	}
	var reply host.RenewReply
	a, err := l.ask(ctx, client, host.PathRenew, req, &reply)
	if err != nil {
		return err
	}
	l.o.Clock.Answer(reply.Now, a.took)
	cred, err := l.check(reply.Chain)
	if err != nil {
		return err
	}
	p := cred.Peer()
	if p.Host != old.Peer().Host {
		return fmt.Errorf("read the orchestrator's answer: this is %s, the certificate is for %s", old.Peer(), p)
	}
	rec := record{Host: p.Host, Name: p.Name, Cluster: p.Cluster, Chain: reply.Chain, Code: l.code(p.Host)}
	if err := l.doc.Save(rec); err != nil { // after a restart the old one, or the key alone, gets another
		l.log.Warn("renewed certificate not kept on disk", logging.Err, err)
	}
	l.adopt(rec, cred)
	l.client.renewed()
	l.log.Info("certificate renewed", "until", cred.Expires())
	return nil
}

// Component asks for a certificate for a jelastic container on this host.
func (l *Link) Component(ctx context.Context, req host.ComponentRequest) (host.RenewReply, error) {
	if l.holder.Get() == nil || l.client.with.Load() == nil {
		return host.RenewReply{}, fmt.Errorf("this host has not joined yet")
	}
	var reply host.RenewReply
	_, err := l.ask(ctx, l.client.with.Load(), host.PathComponent, req, &reply)
	return reply, err
}

// Errors gives the orchestrator errors of this host.
func (l *Link) Errors(ctx context.Context, r jls.ErrorReport) error {
	if l.holder.Get() == nil || l.client.with.Load() == nil {
		return fmt.Errorf("this host has not joined yet")
	}
	var reply jls.ErrorsReply
	_, err := l.ask(ctx, l.client.with.Load(), host.PathErrors, r, &reply)
	return err
}

// ask sends the orchestrator a request and decodes its answer into reply.
func (l *Link) ask(ctx context.Context, c *http.Client, path string, req, reply any) (answer, error) {
	a, err := l.client.call(ctx, c, http.MethodPost, path, req, callDeadline)
	if err != nil {
		return a, err
	}
	if err := neighbour.Decode(a.body, reply); err != nil {
		return a, fmt.Errorf("read the orchestrator's answer: %v", err)
	}
	return a, nil
}
