package proxy

import (
	"errors"
	"net"

	proxyproto "github.com/pires/go-proxyproto"

	"hardnode.dev/internal/limit"
)

// proxied is a listener whose peers in from begin each connection with a PROXY header, version 1 or 2, that says who the client is
// (haproxy.org, proxy-protocol.txt). One of them that does not is refused: the header is either always there or never, for what follows a
// guess could be a client's own claim. Others' headers are no HTTP.
func proxied(l net.Listener, from Trusted) net.Listener {
	if len(from) == 0 {
		return l
	}
	return proxiedListener{l, from}
}

type proxiedListener struct {
	net.Listener
	from Trusted
}

// Accept does not wait for the header: it is read when somebody first asks who the client is, within the time that a head has.
func (l proxiedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || !l.from.Has(limit.Addr(c.RemoteAddr().String())) {
		return c, err
	}
	p := proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(headerTime))
	return proxiedConn{p, c}, nil
}

type proxiedConn struct {
	*proxyproto.Conn
	under net.Conn
}

// RemoteAddr is the client's address, or the proxy's own where it says nothing of one (LOCAL, UNKNOWN).
func (c proxiedConn) RemoteAddr() net.Addr {
	if a, is := c.Conn.RemoteAddr().(*net.TCPAddr); is && a.IP != nil && !a.IP.IsUnspecified() {
		return a
	}
	return c.under.RemoteAddr()
}

// CloseWrite lets a server say its last word.
func (c proxiedConn) CloseWrite() error {
	if w, ok := c.under.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
