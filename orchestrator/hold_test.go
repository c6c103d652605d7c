package main

import (
	"io"
	"net/http"
	"testing"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/hold"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/converge/moving"
	"hardnode.dev/orchestrator/hostapi/hosttest"
)

// part is what a host is told of the move of a container, nil: nothing.
func part(h *hosttest.Host, id wire.CTID) *move.Part {
	for _, ct := range h.Work().Containers {
		if ct.CTID == id {
			return ct.Move
		}
	}
	return nil
}

// routes asks for the routes as a resolver does that has said what it holds; nil: nothing new.
func (c *cluster) routes(client *http.Client, have wire.Revision, held string) (doc *host.Routes, status int) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "https://"+c.hostAddr+host.PathRoutes+"?rev="+have.String()+
		"&wait=20ms&"+hold.Query+"="+held, nil)
	must(c.t, err)
	req.Header.Set(host.ProtocolHeader, host.Spoken.String())
	resp, err := client.Do(req)
	must(c.t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		io.Copy(io.Discard, resp.Body)
		return nil, resp.StatusCode
	}
	got, err := host.DecodeRoutes(resp.Body)
	must(c.t, err)
	return &got, resp.StatusCode
}

// A node that serves is stopped for its move once the resolver has said that what comes for it waits, and that nothing is under way.
func TestMoveHolds(t *testing.T) {
	t.Parallel()
	c, h1, h2, _, id, _ := two(t)
	infra, _ := c.join("infra1", 0)
	var self *identity.Holder
	c.eventually("the infra host's components are known", func() bool {
		for _, ct := range infra.Work().Containers {
			if ct.CTID == 4 {
				self = c.component(infra, 4)
			}
		}
		return self != nil
	})
	client := c.with(self)
	var has host.Routes
	backend := func(held string) (b host.Backend) {
		if doc, _ := c.routes(client, has.Revision, held); doc != nil {
			has = *doc
		}
		for _, s := range has.Sites {
			for _, x := range s.Backends {
				if x.CTID == id {
					b = x
				}
			}
		}
		return b
	}
	c.eventually("the resolver knows the node", func() bool { b := backend(""); return b.Host == h1.ID && !b.Held })
	for _, bad := range []string{"x", "0:1", "101", "101:-1"} {
		if _, status := c.routes(client, 0, bad); status != http.StatusUnprocessableEntity && status != http.StatusBadRequest {
			t.Errorf("held=%s: status %d", bad, status)
		}
	}
	begin := time.Now()
	op := c.move(id, operator.MoveNode{})
	stopped := func() bool { p := part(h1, id); return p != nil && p.Phase == move.Last }
	early := func(when string) {
		t.Helper()
		if stopped() && time.Since(begin) < moving.HoldWithin {
			t.Errorf("it is stopped %s", when)
		}
	}
	c.eventually("it is held, on its host", func() bool {
		early("before the resolver holds it")
		b := backend("")
		return b.Held && b.Host == h1.ID || b.Host == h2.ID // who is away for longer than HoldWithin sees it there
	})
	early("before the resolver says that it holds it")
	said := id.String() + ":2"
	for range 5 {
		backend(said)
		early("while requests are under way")
	}
	said = id.String() + ":0"
	c.eventually("it serves on the other host", func() bool { b := backend(said); return b.Host == h2.ID && !b.Held })
	if got := c.ended(op); got.State != operator.OpDone {
		t.Errorf("the move: %+v %v", got, got.Problem)
	}
}
