package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/orchestrator/resolver/sites"
)

// balancer is the http.RoundTripper that picks a node, and another one when the first fails and nothing was risked.
type balancer struct {
	to       *http.Transport
	calls    *http.Transport // gRPC
	book     *sites.Book
	counters *Counters
	log      *slog.Logger
}

// errNoNode: all nodes were tried.
var errNoNode = errors.New("no node is left to try")

// RoundTrip goes through the nodes, and when none took the request, again after a pause, for as long as patience lasts: nodes that
// all fail at once are more likely stalled, restarting or just being replaced than dead. At most maxWaiting requests of a site wait so.
func (b *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	site := exchangeOf(req).site
	sent, begin := onceBody(req), time.Now()
	for pause := firstPause; ; pause *= 2 {
		resp, again, err := b.round(req, sent, site)
		if err == nil || !again || time.Since(begin)+pause > patience || !b.pause(req.Context(), site, pause) {
			return resp, err
		}
		if s := b.book.Table().Lookup(site.Domain); s != nil && s.Running && len(s.Backends) > 0 {
			site = s // with the nodes it has by now
		}
		b.counters.retries.Add(1)
	}
}

// pause lets one of the site's requests wait; false: the client has gone, or too many wait already.
func (b *balancer) pause(ctx context.Context, site *sites.Site, d time.Duration) bool {
	if !site.Wait(maxWaiting) {
		return false
	}
	defer site.Done()
	return run.Wait(ctx, d)
}

// round tries each node once, maxTries of them at most. A try that did not connect may always be repeated, one that broke later only
// when the method is safe (RFC 9110, section 9.2.1) and there is no body; again tells whether that holds for the last one.
func (b *balancer) round(req *http.Request, sent *body, site *sites.Site) (resp *http.Response, again bool, err error) {
	var room [maxTries]*sites.Backend
	tried, moved := room[:0], false
	err = errNoNode
	for len(tried) < maxTries {
		node := exchangeOf(req).stuck
		if node == nil || len(tried) > 0 {
			node = site.Next(tried)
		}
		if node == nil {
			break
		}
		switch held := b.enter(req.Context(), site, node, exchangeOf(req)); held {
		case nil:
		case errElsewhere:
			continue
		case errHeld: // no other was up all the time: one that is said to be down may have come back
			tried, err = append(tried, node), held
			continue
		default:
			return nil, false, held
		}
		tried = append(tried, node)
		if len(tried) > 1 {
			b.counters.retries.Add(1)
		}
		if resp, err = b.try(req, sent, site, node); err == nil {
			return resp, false, nil
		}
		if req.Context().Err() != nil || !repeatable(req, sent, err) {
			return nil, false, err
		}
		if errors.Is(err, sites.ErrMoved) && !moved { // it answers where it is now
			moved, tried = true, tried[:len(tried)-1]
		}
	}
	return nil, true, err
}

// What becomes of a request that waits for a node: the node does not answer when its hold ends, too many wait for it, or another node
// serves.
var (
	errHeld      = errors.New("the node moves to another host, and does not answer there yet")
	errCrowd     = fmt.Errorf("%w; too many requests wait for it", errHeld)
	errElsewhere = errors.New("another node is up by now")
)

// lookAgain is how often a request that waits for a node looks whether another one is up by now.
const lookAgain = 100 * time.Millisecond

// enter counts a request among those that are under way to a node, once that is not held.
func (b *balancer) enter(ctx context.Context, site *sites.Site, node *sites.Backend, x *exchange) error {
	node.Enter() // first: who holds the node either counts the request or is seen by it
	if _, _, held := node.Held(time.Now()); !held {
		return nil
	}
	node.Leave()
	if err := b.wait(ctx, site, node, x); err != nil {
		return err
	}
	node.Enter()
	return nil
}

// wait has a request wait for a node that is held: until the end of the first hold that it met, whichever nodes are held. One that stays
// waits for its node whatever others do.
func (b *balancer) wait(ctx context.Context, site *sites.Site, node *sites.Backend, x *exchange) error {
	now := time.Now()
	over, left, held := node.Held(now)
	if !held {
		return nil
	}
	if x.waits.IsZero() {
		x.waits = now.Add(left)
	}
	if left = min(left, x.waits.Sub(now)); left <= 0 {
		return errHeld
	}
	stays := node == x.stuck
	if !site.Wait(maxHeld) {
		return errCrowd
	}
	defer site.Done()
	end := time.NewTimer(left)
	defer end.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for {
		select {
		case <-over:
			return nil
		case <-end.C:
			return errHeld
		case <-ctx.Done():
			return ctx.Err()
		case now := <-look.C:
			if !stays && site.FreeBeside(node, now) {
				return errElsewhere
			}
		}
	}
}

// try sends the request, which has entered, to one node. When the node goes down meanwhile it stops waiting for an answer's head: at once
// if another is up and not held, else after patience, for slow is better than nothing; and at once when the node has gone to another host.
func (b *balancer) try(req *http.Request, sent *body, site *sites.Site, node *sites.Backend) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	var decided atomic.Bool // by what came first: the answer, or the news that the node is down
	stop := func(why error) {
		if decided.CompareAndSwap(false, true) {
			cancel(why)
		}
	}
	giveUp := func() {
		if !site.FreeBeside(node, time.Now()) {
			run.Wait(ctx, patience)
		}
		stop(sites.ErrDown)
	}
	defer context.AfterFunc(node.Stay(), func() { stop(sites.ErrMoved) })()
	if node.Up() { // one that is down is tried all the same when no other is left
		defer context.AfterFunc(node.Life(), giveUp)()
	}
	out := req.WithContext(ctx)
	u := *req.URL
	u.Host = node.Addr
	out.URL = &u
	if sent != nil {
		out.Body = sent
	}
	to := b.to
	if isGRPC(req) {
		to = b.calls
	}
	resp, err := to.RoundTrip(out)
	if err == nil && decided.CompareAndSwap(false, true) {
		exchangeOf(req).by = node
		if resp.StatusCode == http.StatusSwitchingProtocols {
			node.Leave() // nobody waits for its end
		} else {
			exchangeOf(req).at = node
		}
		return resp, nil // from here on the answer lives as long as the request: ctx ends with its parent
	}
	node.Leave()
	if err == nil { // it came too late
		resp.Body.Close()
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	if cause := context.Cause(ctx); req.Context().Err() == nil && (errors.Is(cause, sites.ErrDown) || errors.Is(cause, sites.ErrMoved)) {
		err = fmt.Errorf("node %d: %w", node.CTID, cause)
	}
	cancel(err)
	if dialFailed(err) && req.Context().Err() == nil && node.SetUp(false) {
		b.log.Warn("node is out of rotation", logging.Env, site.Env, logging.Container, node.CTID, logging.Addr, node.Addr,
			logging.Reason, err)
	}
	return nil, err
}

func dialFailed(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// repeatable tells whether a failed try may be repeated on another node.
func repeatable(req *http.Request, sent *body, err error) bool {
	if sent != nil && sent.touched.Load() {
		return false
	}
	if dialFailed(err) {
		return true
	}
	var timeout net.Error
	if sent != nil || errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, sites.ErrDown) {
		return false
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "":
		return req.Header.Get("Upgrade") == ""
	}
	return false
}

// body knows whether anything was read of it, and survives the transport's Close so that another try can send it; ReverseProxy closes
// the real one in the end.
type body struct {
	inner   io.ReadCloser
	touched atomic.Bool
	in      *http.Request // gets trailers at the body's end
	to      http.Header   // the trailers that are sent
}

func onceBody(req *http.Request) *body {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	return &body{inner: req.Body, in: exchangeOf(req).in, to: req.Trailer}
}

func (b *body) Read(p []byte) (int, error) {
	b.touched.Store(true)
	n, err := b.inner.Read(p)
	if err == io.EOF && b.to != nil {
		for name, values := range b.in.Trailer {
			if values != nil && mayTrail(name) {
				b.to[name] = values
			}
		}
	}
	return n, err
}

func (b *body) Close() error { return nil }

// mayTrail tells which fields go on behind a body: none that means something before it (RFC 9110, section 6.5.1), for there are programs
// that put both together.
func mayTrail(name string) bool {
	switch name {
	case "Transfer-Encoding", "Trailer", "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Host", "Te", "Connection",
		"Upgrade", "Expect", "Authorization", "Cookie", "Cache-Control", "Max-Forwards":
		return false
	}
	return !claim(name) && !never(name)
}
