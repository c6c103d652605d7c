package authz

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// The bounds on wrong tokens. A right one is never slowed down: tokens have 128 random bits, so what is bounded is the work and the record
// that guessing makes, not the chance of a guess.
const (
	firstWait  = 50 * time.Millisecond // before the answer to a client's first wrong token; it doubles
	longWait   = 2 * time.Second
	waitsAt    = 8               // of one client at once; more are answered at once with 429
	forget     = 5 * time.Minute // a client without a wrong token for so long starts anew
	saidEvery  = time.Minute     // audit records of one client
	clientsMax = 10000           // remembered; beyond them, all others together are one client
)

// Guesses slows down clients that send wrong tokens, and records them.
type Guesses struct {
	Record func(operator.Audit) error // writes one audit record
	Now    func() time.Time

	mu struct {
		sync.Mutex
		clients map[netip.Addr]*guesser
	}
}

type guesser struct {
	wrong   int       // in a row
	waiting int       // for their answers
	last    time.Time // wrong token
	said    time.Time // audit record
	unsaid  int       // wrong tokens since
}

// Wrong is called with each wrong token, before its refusal p is sent. It waits, or gives the Problem to send in its place.
func (g *Guesses) Wrong(ctx context.Context, from string, p *operator.Problem) *operator.Problem {
	who := limit.Key(limit.Addr(from))
	c, wait, unsaid := g.begin(who)
	if unsaid > 0 {
		rec := operator.Audit{Who: "nobody", Account: wire.AdminAccount, From: from, What: "token.refused", Object: "token",
			Result: fmt.Sprintf("%s: %s (%d times)", p.Code, p.Reason, unsaid)}
		if err := g.Record(rec); err != nil {
			return operator.NewProblem(operator.Unavailable, "audit", "the audit record can't be written", "check the orchestrator's disk")
		}
	}
	if c == nil {
		slow := operator.NewProblem(operator.Denied, "token", "too many wrong tokens come from "+who.String(),
			"wait a minute, then send a valid token")
		slow.Status, slow.Title = 429, "Too Many Requests"
		return slow
	}
	run.Wait(ctx, wait)
	g.end(c)
	return p
}

// begin counts a wrong token: whose it is, nil when too many of that client wait already; how long its answer waits; how many wrong ones
// are to be recorded now.
func (g *Guesses) begin(who netip.Addr) (c *guesser, wait time.Duration, unsaid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.Now()
	if g.mu.clients == nil {
		g.mu.clients = map[netip.Addr]*guesser{}
	}
	c = g.mu.clients[who]
	if c == nil {
		if len(g.mu.clients) >= clientsMax {
			g.sweep(now)
		}
		if len(g.mu.clients) >= clientsMax {
			who = netip.Addr{}
			c = g.mu.clients[who]
		}
	}
	if c == nil {
		c = &guesser{}
		g.mu.clients[who] = c
	}
	if now.Sub(c.last) > forget {
		c.wrong = 0
	}
	c.wrong++
	c.unsaid++
	c.last = now
	if now.Sub(c.said) >= saidEvery {
		unsaid, c.unsaid, c.said = c.unsaid, 0, now
	}
	if c.waiting >= waitsAt {
		return nil, 0, unsaid
	}
	c.waiting++
	return c, min(longWait, firstWait<<min(c.wrong-1, 10)), unsaid
}

func (g *Guesses) end(c *guesser) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.waiting--
}

// sweep drops who has stopped. The lock is held.
func (g *Guesses) sweep(now time.Time) {
	for who, c := range g.mu.clients {
		if c.waiting == 0 && now.Sub(c.last) > forget {
			delete(g.mu.clients, who)
		}
	}
}
