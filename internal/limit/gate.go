// Package limit keeps one client from holding what all need.
//
// Owns: connections and requests counted by client address; how often one asks; the time a body or an answer may take by its progress.
// In: listeners, requests, response writers, the addresses of clients.
// Out: the same, with an end; how many were refused.
// Never: knows what a request means, or lets one address use up what another could have.
package limit

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Key is the part of a client's address that is counted: the whole of an IPv4 address, the first 64 bits of an IPv6 one, since one
// customer of a provider has all addresses behind those (RFC 6177).
func Key(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// Addr is the address in what net.Conn.RemoteAddr and http.Request.RemoteAddr say; the zero Addr when there is none.
func Addr(hostPort string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// Gate counts what clients hold at the same moment. The numbers do not change after the first Enter.
type Gate struct {
	All    int                   // held by everybody; 0: no limit
	Each   int                   // held by one Key; 0: no limit
	Exempt func(netip.Addr) bool // addresses that Each does not bind: proxies that speak for many; nil: none

	refused atomic.Int64
	mu      sync.Mutex
	n       int
	by      map[netip.Addr]int
}

// Enter takes a place for a, if there is one. Each Enter that was granted ends with one leave; further calls of it do nothing.
func (g *Gate) Enter(a netip.Addr) (leave func(), ok bool) {
	k := Key(a)
	free := g.Exempt != nil && g.Exempt(a.Unmap())
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.All > 0 && g.n >= g.All || g.Each > 0 && !free && g.by[k] >= g.Each {
		g.refused.Add(1)
		return nil, false
	}
	if g.by == nil {
		g.by = map[netip.Addr]int{}
	}
	g.n++
	g.by[k]++
	var once sync.Once
	return func() { once.Do(func() { g.leave(k) }) }, true
}

func (g *Gate) leave(k netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
	if g.by[k]--; g.by[k] == 0 {
		delete(g.by, k)
	}
}

// Held is how many places are taken.
func (g *Gate) Held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

// Refused is how many Enters were refused since the start.
func (g *Gate) Refused() int64 { return g.refused.Load() }

// Listener gives on only connections that pass the gate; others are closed at once, so that those who wait behind them are not held up.
func Listener(l net.Listener, g *Gate) net.Listener { return &listener{l, g} }

type listener struct {
	net.Listener
	gate *Gate
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		leave, ok := l.gate.Enter(Addr(c.RemoteAddr().String()))
		if ok {
			return &conn{c, leave}, nil
		}
		if t, ok := c.(*net.TCPConn); ok {
			t.SetLinger(0) // a reset: the client learns it now, and the kernel keeps nothing of it
		}
		c.Close()
	}
}

type conn struct {
	net.Conn
	leave func()
}

func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite lets a server say its last word before the client has said all (net/http does after "413").
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
