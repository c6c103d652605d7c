package hostapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/session"
)

// The limits of sessions (exec, logs, jem).
const (
	maxSessions = 64               // open at once, of one host
	dialBack    = 10 * time.Second // how long a host may take to dial back
)

// Hub brings people's sessions and hosts together: a session waits in its host's queue, the host fetches it and dials back.
type Hub struct {
	mu struct {
		sync.Mutex
		hosts   map[wire.HostID]*queue
		waiting map[string]*waiting
	}
}

// queue is one host's sessions that it has not fetched yet.
type queue struct {
	pending []host.SessionRequest
	open    int
	more    chan struct{}
}

// waiting is one session until the host has dialled back.
type waiting struct {
	host wire.HostID
	link chan *websocket.Conn
	done chan struct{} // closed when the session is over: the host's handler waits for it
}

// NewHub makes an empty Hub.
func NewHub() *Hub {
	h := &Hub{}
	h.mu.hosts, h.mu.waiting = map[wire.HostID]*queue{}, map[string]*waiting{}
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
	object, its := "nodes/"+req.CTID.String(), "its host"
	if req.HostLogs != nil {
		object, its = "hosts/"+string(id), "it"
	}
	raw := make([]byte, 16)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("make session id: %v", err)
	}
	req.ID = hex.EncodeToString(raw)
	s := &waiting{host: id, link: make(chan *websocket.Conn), done: make(chan struct{})}
	h.mu.Lock()
	q := h.queueOf(id)
	if q.open >= maxSessions {
		h.mu.Unlock()
		return nil, operator.NewProblem(operator.Exhausted, object, fmt.Sprintf("%s has %d open sessions, which is the most allowed", its, maxSessions), "close one of them")
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
		return nil, operator.NewProblem(operator.Unavailable, object, fmt.Sprintf("%s did not answer within %s", its, dialBack), "see hnctl host list, then try again")
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
func (h *Hub) find(id string, by wire.HostID) *waiting {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.mu.waiting[id]
	if s == nil || s.host != by {
		return nil
	}
	delete(h.mu.waiting, id)
	return s
}

// Bridge carries a session between a person and a host until either ends. Each side is read whatever the other does, as far as windows
// allow, so a slow one ends nothing. A host that breaks off gets an exit frame written in its place, so a person never waits in vain.
func Bridge(ctx context.Context, person, node *websocket.Conn) {
	p := session.Open(ctx, person, session.HostEnd, session.Options{Ping: true})
	defer p.Close()
	n := session.Open(ctx, node, session.PersonEnd, session.Options{Ping: true})
	defer n.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { // the person is gone: so is the command
		select {
		case <-p.Done():
			n.Break(errGone)
		case <-n.Done():
		}
	})
	wg.Go(func() { stdin(n, p) })
	wg.Go(func() { resizes(n, p) })
	var outputs sync.WaitGroup
	for _, c := range []host.Channel{host.ChanStdout, host.ChanStderr} {
		outputs.Go(func() { io.Copy(p.Writer(c), n.Reader(c)) })
	}
	outputs.Wait()
	exit, err := n.Exited()
	switch why := context.Cause(ctx); {
	case err == nil:
	case why != nil && !errors.Is(why, context.Canceled):
		exit = host.Exit{Code: 255, Error: why.Error()}
	default:
		exit = host.Exit{Code: 255, Error: "the link to the host broke: not all of the output may be here"}
	}
	p.Exit(exit)
	n.Break(errGone)
}

var errGone = errors.New("the person is gone")

// stdin carries what the person sends; a link that broke is no end of stdin.
func stdin(to, from *session.Link) {
	w := to.Writer(host.ChanStdin)
	if _, err := io.Copy(w, from.Reader(host.ChanStdin)); err == nil {
		w.Close()
	}
}

func resizes(to, from *session.Link) {
	for {
		select {
		case size := <-from.Resizes():
			to.Resize(size[0], size[1])
		case <-from.Done():
			return
		case <-to.Done():
			return
		}
	}
}
