package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// A session goes to its own host, once, and ends for both when one end closes it.
func TestHub(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h := NewHub()
	type opened struct {
		link *Link
		err  error
	}
	got := make(chan opened, 1)
	go func() {
		link, err := h.Open(ctx, "", "h-1", host.SessionRequest{CTID: 100})
		got <- opened{link, err}
	}()
	req, ok := h.Next(ctx, "h-1")
	if !ok || req.CTID != 100 || req.ID == "" {
		t.Fatalf("the host was given %+v, %v", req, ok)
	}
	if h.Find(req.ID, "h-2") != nil {
		t.Error("another host found the session")
	}
	s := h.Find(req.ID, "h-1")
	if s == nil {
		t.Fatal("its host did not find the session")
	}
	if h.Find(req.ID, "h-1") != nil {
		t.Error("a session was found twice")
	}
	c, held := &websocket.Conn{}, make(chan struct{})
	go func() { s.Hand(ctx, c); close(held) }()
	o := <-got
	if o.err != nil || o.link.Conn != c {
		t.Fatalf("opened %+v, %v; want the host's connection", o.link, o.err)
	}
	o.link.Close()
	select {
	case <-held:
	case <-ctx.Done():
		t.Fatal("waited a minute for the host's end to be let go")
	}
	none, end := context.WithCancel(ctx)
	end()
	if req, ok := h.Next(none, "h-1"); ok {
		t.Errorf("there is one more session: %+v", req)
	}
}

// A host has so many sessions and no more; one whose person has gone is no longer there for the host to fetch.
func TestHubLimit(t *testing.T) {
	h := NewHub()
	ctx, gone := context.WithCancel(t.Context())
	ended := make(chan error, maxSessions)
	for range maxSessions {
		go func() {
			_, err := h.Open(ctx, "", "h-1", host.SessionRequest{CTID: 100})
			ended <- err
		}()
	}
	deadline := time.After(time.Minute)
	for n, more := h.open("h-1"); n < maxSessions; n, more = h.open("h-1") {
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("waited a minute for %d sessions, there are %d", maxSessions, n)
		}
	}
	_, err := h.Open(ctx, "", "h-1", host.SessionRequest{CTID: 101})
	var p *operator.Problem
	if !errors.As(err, &p) || p.Code != operator.Exhausted || p.Object != "nodes/101" {
		t.Errorf("one too many was answered with %v", err)
	}
	gone()
	for range maxSessions {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a session whose person is gone ended with %v", err)
		}
	}
	if n, _ := h.open("h-1"); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if req, ok := h.Next(ctx, "h-1"); ok {
		t.Errorf("the host was given %+v, which nobody waits for", req)
	}
}

func (h *Hub) open(id wire.HostID) (n int, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.queueOf(id)
	return q.open, q.more
}

// TestHubShares: who has no more places at a host leaves some to other accounts, and all accounts leave some to the platform.
func TestHubShares(t *testing.T) {
	h := NewHub()
	ctx, gone := context.WithCancel(t.Context())
	ended := make(chan error, maxSessions)
	opened := 0
	fill := func(account wire.Account, n int) {
		t.Helper()
		for range n {
			go func() {
				_, err := h.Open(ctx, account, "h-1", host.SessionRequest{CTID: 100})
				ended <- err
			}()
		}
		opened += n
		deadline := time.After(time.Minute)
		for have, more := h.open("h-1"); have < opened; have, more = h.open("h-1") {
			select {
			case <-more:
			case err := <-ended:
				t.Fatalf("account %q: %v", account, err)
			case <-deadline:
				t.Fatalf("waited a minute for %d sessions, there are %d", opened, have)
			}
		}
	}
	refused := func(account wire.Account, want string) {
		t.Helper()
		_, err := h.Open(ctx, account, "h-1", host.SessionRequest{CTID: 101})
		var p *operator.Problem
		if !errors.As(err, &p) || p.Code != operator.Exhausted || !strings.Contains(p.Reason, want) {
			t.Errorf("account %q: %v, want %q", account, err, want)
		}
	}
	fill("greedy", ofAccount)
	refused("greedy", "its host has 24 open sessions of account greedy, which is the most allowed of one")
	fill("other", ofAccount)
	fill("third", ofUsers-2*ofAccount)
	refused("fourth", "its host has 56 open sessions of accounts, which is the most allowed")
	fill(wire.AdminAccount, maxSessions-ofUsers)
	refused("", "its host has 64 open sessions, which is the most allowed")
	gone()
	for range opened {
		<-ended
	}
	ctx, gone = context.WithCancel(t.Context())
	opened = 0
	fill("greedy", ofAccount) // those that ended are counted no more
	gone()
	for range opened {
		<-ended
	}
}
