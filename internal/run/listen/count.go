package listen

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
)

// Counted is l with Limits' bounds on open connections. One that is over them is closed at once: it may not wait at the expense of others,
// and a client that is refused quickly can go elsewhere. What was closed is logged at most once a minute.
func Counted(l net.Listener, limits Limits, log *slog.Logger) net.Listener {
	limits = limits.filled()
	c := &counted{Listener: l, limits: limits, log: logging.Or(log)}
	c.mu.of = map[netip.Prefix]int{}
	return c
}

type counted struct {
	net.Listener
	limits Limits
	log    *slog.Logger
	mu     struct {
		sync.Mutex
		all    int
		of     map[netip.Prefix]int
		closed int       // since said
		said   time.Time // when the last line was logged
	}
}

// Accept is the next connection that is within the bounds.
func (c *counted) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who := Client(conn.RemoteAddr().String())
		if why := c.enter(who); why != "" {
			conn.Close()
			c.refused(conn.RemoteAddr().String(), why)
			continue
		}
		return &conn1{Conn: conn, leave: sync.OnceFunc(func() { c.leave(who) })}, nil
	}
}

func (c *counted) enter(who netip.Prefix) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mu.all >= c.limits.Connections:
		return "all connections are in use"
	case c.mu.of[who] >= c.limits.PerClient:
		return "the client has too many connections"
	}
	c.mu.all++
	c.mu.of[who]++
	return ""
}

func (c *counted) leave(who netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.all--
	if c.mu.of[who]--; c.mu.of[who] == 0 {
		delete(c.mu.of, who)
	}
}

func (c *counted) refused(from, why string) {
	c.mu.Lock()
	c.mu.closed++
	n, now := c.mu.closed, time.Now()
	say := now.Sub(c.mu.said) >= time.Minute
	if say {
		c.mu.closed, c.mu.said = 0, now
	}
	c.mu.Unlock()
	if say {
		c.log.Warn("connections closed at once", logging.Addr, from, logging.Reason, why, "count", n)
	}
}

// conn1 is one counted connection.
type conn1 struct {
	net.Conn
	leave func()
}

// Close ends the connection and its place.
func (c *conn1) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// Client is whom an address counts as: an IPv4 address, or the /64 of an IPv6 one, which is what one subscriber gets (RFC 6177). What is no
// address counts as one client together.
func Client(addr string) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Prefix{}
	}
	a := ap.Addr().Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
