package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"
)

// turnWait is how long a handshake waits for its turn before the connection is closed: less than callers wait for it.
const turnWait = 5 * time.Second

var errNoTurn = errors.New("too many handshakes are under way")

// turns lets few handshakes be computed at once, those that came first before the others. A handshake is the dearest part of most calls: a
// machine with too little CPU that begins all of them at once ends none before its caller gives up, and goes on like that when they come
// back. A turn lasts from the caller's first message until the server's answer is sent, so a caller that says nothing more holds none.
type turns struct{ places chan struct{} }

func newTurns() *turns { return &turns{make(chan struct{}, runtime.GOMAXPROCS(0)+1)} }

// listener is l, whose connections give their turn back with what is first written to them.
func (t *turns) listener(l net.Listener) net.Listener { return turnListener{l, t} }

type turnListener struct {
	net.Listener
	turns *turns
}

// Accept waits for the next connection.
func (l turnListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &turnConn{Conn: c, turns: l.turns}, nil
}

type turnConn struct {
	net.Conn
	turns *turns

	mu   sync.Mutex
	held bool
}

// Write sends the answer that the turn was for.
func (c *turnConn) Write(p []byte) (int, error) {
	c.give()
	return c.Conn.Write(p)
}

func (c *turnConn) take(ctx context.Context) error {
	limit := time.NewTimer(turnWait)
	defer limit.Stop()
	select {
	case c.turns.places <- struct{}{}:
	case <-limit.C:
		return errNoTurn
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
	context.AfterFunc(ctx, c.give) // a handshake that fails before it answers
	return nil
}

func (c *turnConn) give() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		c.held = false
		<-c.turns.places
	}
}

// config is conf, with a turn taken before anything is computed.
func (t *turns) config(conf *tls.Config) *tls.Config {
	out := conf.Clone()
	out.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if c, ok := h.Conn.(*turnConn); ok {
			if err := c.take(h.Context()); err != nil {
				return nil, err
			}
		}
		if conf.GetConfigForClient != nil {
			return conf.GetConfigForClient(h)
		}
		return nil, nil
	}
	return out
}
