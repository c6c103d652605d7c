// Package session brings a person who wants into a container and the host that has it together: exec, logs, jem,
// a host's own logs and orders.
//
// Owns: the queue of sessions of each host, the wait for a host to dial back, the bridge between the two ends.
// In: what a person asks of which host; a host that asks what is wanted of it, and its connections.
// Out: an open connection to the host; frames, carried both ways until either end is gone.
// Never: decides who may open a session, knows a route of either API, or looks into what it carries.
package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// The limits of sessions (exec, logs, jem).
const (
	maxSessions = 64               // open at once, of one host
	ofUsers     = 56               // of these, so many of all accounts but the platform's own, which has the rest for itself
	ofAccount   = 24               // of these, so many of one account
	dialBack    = 10 * time.Second // how long a host may take to dial back
)

// Hub brings people's sessions and hosts together: a session waits in its host's queue, the host fetches it and dials back.
type Hub struct {
	mu struct {
		sync.Mutex
		hosts   map[wire.HostID]*queue
		waiting map[string]*Wanted
	}
}

// queue is one host's sessions that it has not fetched yet.
type queue struct {
	pending []host.SessionRequest
	open    int
	users   int // of these, those of accounts, each in of
	of      map[wire.Account]int
	more    chan struct{}
}

// full says why an account can't have one more, or "".
func (q *queue) full(account wire.Account) string {
	users := account != wire.AdminAccount
	switch {
	case users && q.of[account] >= ofAccount:
		return fmt.Sprintf("has %d open sessions of account %s, which is the most allowed of one", ofAccount, account)
	case users && q.users >= ofUsers:
		return fmt.Sprintf("has %d open sessions of accounts, which is the most allowed", ofUsers)
	case q.open >= maxSessions:
		return fmt.Sprintf("has %d open sessions, which is the most allowed", maxSessions)
	}
	return ""
}

// count counts one more session of an account, or, with -1, one less.
func (q *queue) count(account wire.Account, n int) {
	q.open += n
	if account == wire.AdminAccount {
		return
	}
	q.users += n
	if q.of[account] += n; q.of[account] == 0 {
		delete(q.of, account)
	}
}

// Wanted is one session until its host has dialled back.
type Wanted struct {
	host wire.HostID
	link chan *websocket.Conn
	done chan struct{} // closed when the session is over
}

// NewHub makes an empty Hub.
func NewHub() *Hub {
	h := &Hub{}
	h.mu.hosts, h.mu.waiting = map[wire.HostID]*queue{}, map[string]*Wanted{}
	return h
}

func (h *Hub) queueOf(id wire.HostID) *queue {
	q := h.mu.hosts[id]
	if q == nil {
		q = &queue{more: make(chan struct{}), of: map[wire.Account]int{}}
		h.mu.hosts[id] = q
	}
	return q
}

// Link is an open session's connection to the host.
type Link struct {
	Conn *websocket.Conn
	end  func()
}

// Close ends the session.
func (l *Link) Close() { l.end() }

// Open asks the host for a session of an account, "" for the platform's, and waits until it has dialled back. Errors are Problems.
func (h *Hub) Open(ctx context.Context, account wire.Account, id wire.HostID, req host.SessionRequest) (*Link, error) {
	account = account.Owner()
	object, its := "nodes/"+req.CTID.String(), "its host"
	if req.CTID == 0 { // of the host itself
		object, its = "hosts/"+string(id), "it"
	}
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("make session id: %v", err)
	}
	req.ID = hex.EncodeToString(raw)
	s := &Wanted{host: id, link: make(chan *websocket.Conn), done: make(chan struct{})}
	h.mu.Lock()
	q := h.queueOf(id)
	if why := q.full(account); why != "" {
		h.mu.Unlock()
		return nil, operator.NewProblem(operator.Exhausted, object, its+" "+why, "close one of them, or try again later")
	}
	q.count(account, 1)
	q.pending = append(q.pending, req)
	close(q.more)
	q.more = make(chan struct{})
	h.mu.waiting[req.ID] = s
	h.mu.Unlock()

	end := sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		q.count(account, -1)
		delete(h.mu.waiting, req.ID)
		for i, p := range q.pending {
			if p.ID == req.ID {
				q.pending = append(q.pending[:i], q.pending[i+1:]...)
				break
			}
		}
		close(s.done)
	})
	t := time.NewTimer(dialBack)
	defer t.Stop()
	select {
	case c := <-s.link:
		return &Link{c, end}, nil
	case <-t.C:
		end()
		reason := fmt.Sprintf("%s did not answer within %s", its, dialBack)
		return nil, operator.NewProblem(operator.Unavailable, object, reason, "see hnctl host list, then try again")
	case <-ctx.Done():
		end()
		return nil, ctx.Err()
	}
}

// Take is a session of the host that it has not fetched yet; false: there is none, and more is closed when there may be one.
func (h *Hub) Take(id wire.HostID) (r host.SessionRequest, more <-chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.queueOf(id)
	if len(q.pending) == 0 {
		return r, q.more, false
	}
	r = q.pending[0]
	q.pending = q.pending[1:]
	return r, q.more, true
}

// Next waits for a session of the host; false when none came before ctx ended.
func (h *Hub) Next(ctx context.Context, id wire.HostID) (host.SessionRequest, bool) {
	for {
		r, more, ok := h.Take(id)
		if ok {
			return r, true
		}
		select {
		case <-more:
		case <-ctx.Done():
			return host.SessionRequest{}, false
		}
	}
}

// Find is the session a host dials back for; each is found once, and by its own host only. Nil: nobody waits for it.
func (h *Hub) Find(id string, by wire.HostID) *Wanted {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.mu.waiting[id]
	if s == nil || s.host != by {
		return nil
	}
	delete(h.mu.waiting, id)
	return s
}

// Hand gives the host's connection to who waits for it, and holds it until the session or ctx is over: the caller may close it then.
func (s *Wanted) Hand(ctx context.Context, c *websocket.Conn) {
	select {
	case s.link <- c:
		select {
		case <-s.done:
		case <-ctx.Done():
		}
	case <-s.done:
	case <-ctx.Done():
	}
}
