package hostapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// The limits of sessions (exec, logs, jem).
const (
	maxSessions = 64               // open at once, of one host
	dialBack    = 10 * time.Second // how long a host may take to dial back
	pingEvery   = 20 * time.Second // a side that does not answer a ping within pingWait is gone
	pingWait    = 15 * time.Second
	writeWait   = 15 * time.Second // how long a side may take to accept one frame
)

// Hub brings people's sessions and hosts together: a session waits in its host's queue, the host fetches it and dials back.
type Hub struct {
	mu struct {
		sync.Mutex
		hosts   map[wire.HostID]*queue
		waiting map[string]*session
	}
}

// queue is one host's sessions that it has not fetched yet.
type queue struct {
	pending []host.SessionRequest
	open    int
	more    chan struct{}
}

// session is one session until the host has dialled back.
type session struct {
	host wire.HostID
	link chan *websocket.Conn
	done chan struct{} // closed when the session is over: the host's handler waits for it
}

// NewHub makes an empty Hub.
func NewHub() *Hub {
	h := &Hub{}
	h.mu.hosts, h.mu.waiting = map[wire.HostID]*queue{}, map[string]*session{}
	return h
}

func (h *Hub) queueOf(id wire.HostID) *queue {
	q := h.mu.hosts[id]
	if q == nil {
		q = &queue{more: make(chan struct{})}
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

// Open asks the host for a session and waits until it has dialled back. Errors are Problems.
func (h *Hub) Open(ctx context.Context, id wire.HostID, req host.SessionRequest) (*Link, error) {
	object := "nodes/" + req.CTID.String()
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("make session id: %v", err)
	}
	req.ID = hex.EncodeToString(raw)
	s := &session{host: id, link: make(chan *websocket.Conn), done: make(chan struct{})}
	h.mu.Lock()
	q := h.queueOf(id)
	if q.open >= maxSessions {
		h.mu.Unlock()
		return nil, operator.NewProblem(operator.Exhausted, object, fmt.Sprintf("its host has %d open sessions, which is the most allowed", maxSessions), "close one of them")
	}
	q.open++
	q.pending = append(q.pending, req)
	close(q.more)
	q.more = make(chan struct{})
	h.mu.waiting[req.ID] = s
	h.mu.Unlock()

	end := sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		q.open--
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
		return nil, operator.NewProblem(operator.Unavailable, object, fmt.Sprintf("its host did not answer within %s", dialBack), "see hnctl host list, then try again")
	case <-ctx.Done():
		end()
		return nil, ctx.Err()
	}
}

// next waits for a session of the host; false when none came before ctx ended.
func (h *Hub) next(ctx context.Context, id wire.HostID) (host.SessionRequest, bool) {
	for {
		h.mu.Lock()
		q := h.queueOf(id)
		if len(q.pending) > 0 {
			r := q.pending[0]
			q.pending = q.pending[1:]
			h.mu.Unlock()
			return r, true
		}
		more := q.more
		h.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return host.SessionRequest{}, false
		}
	}
}

// find is the session a host dials back for; each is found once, and by its own host only.
func (h *Hub) find(id string, by wire.HostID) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.mu.waiting[id]
	if s == nil || s.host != by {
		return nil
	}
	delete(h.mu.waiting, id)
	return s
}

// Bridge carries frames between a person and a host until either ends. It is as fast as the slower side: a frame is read only when the
// one before it was written. A host that breaks off gets an exit frame written in its place, so a person never waits in vain.
func Bridge(ctx context.Context, person, node *websocket.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	person.SetReadLimit(host.MaxFrame + 1)
	node.SetReadLimit(host.MaxFrame + 1)
	var wg sync.WaitGroup
	// A read whose context ends takes its connection with it, so the last frame is written before the context is ended.
	wg.Go(func() {
		defer cancel()
		exited := forward(ctx, person, node, func(c host.Channel) bool { return c != host.ChanStdin && c != host.ChanResize })
		if !exited && ctx.Err() == nil {
			last, stop := context.WithTimeout(ctx, time.Second)
			defer stop()
			person.Write(last, websocket.MessageBinary, host.Frame(host.ChanExit, host.ExitPayload(host.Exit{Code: 255, Error: "the link to the host broke"})))
		}
		person.Close(websocket.StatusNormalClosure, "")
	})
	wg.Go(func() {
		defer cancel()
		forward(ctx, node, person, func(c host.Channel) bool { return c == host.ChanStdin || c == host.ChanResize })
	})
	for _, c := range []*websocket.Conn{person, node} {
		wg.Go(func() {
			for ctx.Err() == nil && run.Wait(ctx, pingEvery) {
				alive, stop := context.WithTimeout(ctx, pingWait)
				err := c.Ping(alive)
				stop()
				if err != nil {
					c.CloseNow() // its reader sees that
					return
				}
			}
		})
	}
	<-ctx.Done()
	person.Close(websocket.StatusNormalClosure, "")
	node.Close(websocket.StatusNormalClosure, "")
	wg.Wait()
}

// errFrame ends a session whose other side does not keep to the protocol.
var errFrame = errors.New("not allowed")

// forward carries frames from one side to the other; it returns true after an exit frame.
func forward(ctx context.Context, to, from *websocket.Conn, allowed func(host.Channel) bool) (exited bool) {
	for {
		kind, msg, err := from.Read(ctx)
		if err != nil {
			return false
		}
		ch, _, err := host.ParseFrame(msg)
		if err == nil && (kind != websocket.MessageBinary || !allowed(ch)) {
			err = errFrame
		}
		if err != nil {
			from.Close(websocket.StatusPolicyViolation, "frame: "+err.Error())
			return false
		}
		out, cancel := context.WithTimeout(ctx, writeWait)
		err = to.Write(out, websocket.MessageBinary, msg)
		cancel()
		if err != nil {
			return false
		}
		if ch == host.ChanExit {
			return true
		}
	}
}
