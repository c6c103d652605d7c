package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"

	"hardnode.dev/orchestrator/resolver/sites"
)

// suites are those of TLS 1.2 that have forward secrecy and authenticate what they encrypt (RFC 9325, section 4.2); TLS 1.3 has no others.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// secureConfig answers handshakes from the table in force. A client that asks for a host that no certificate names is refused with
// unrecognized_name (RFC 6066, section 3): any certificate would be a wrong one, which teaches people to click warnings away, and
// costs a signature for whoever scans addresses. One that names no host gets the cluster's certificate.
func (p *Proxy) secureConfig() *tls.Config {
	proving := &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: suites, NextProtos: []string{sites.ProveProtocol}, SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if t := p.book.Table(); t != nil {
				return t.Proof(hello.ServerName), nil
			}
			return nil, nil
		},
	}
	return &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == sites.ProveProtocol {
				return proving, nil
			}
			return nil, nil
		},
		MinVersion: tls.VersionTLS12, CipherSuites: suites, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if t := p.book.Table(); t != nil {
				return t.Certificate(hello.ServerName), nil // nil becomes unrecognized_name
			}
			return nil, nil
		},
	}
}

// ListenTLS is Listen for clients that speak TLS. The handshake is made when the connection is first read, so within the time that a
// request's head has.
func (p *Proxy) ListenTLS(l net.Listener) net.Listener {
	return secured{p.bounded(l), p.secureConfig()}
}

type secured struct {
	net.Listener
	config *tls.Config
}

// Accept gives a connection whose framing is followed inside of TLS. It is no *tls.Conn, so net/http tells HTTP/2 from HTTP/1.1 by its
// first bytes, as it does without TLS.
func (l secured) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := tls.Server(c, l.config)
	return &framedConn{Conn: &plainTold{Conn: s, under: c}, secure: s}, nil
}

// plainTold tells a client that speaks HTTP without TLS what is wrong, as net/http does. A CA that asks for the proof of a name is told
// nothing behind the handshake (RFC 8737, section 3).
type plainTold struct {
	*tls.Conn
	under net.Conn
	read  bool // something was read: it is no CA
}

func (c *plainTold) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.read && err == nil {
		if c.ConnectionState().NegotiatedProtocol == sites.ProveProtocol {
			return 0, io.EOF
		}
		c.read = true
	}
	var record tls.RecordHeaderError
	if err != nil && errors.As(err, &record) && record.Conn != nil {
		switch {
		case bytes.HasPrefix(record.RecordHeader[:], []byte("GET /")), bytes.HasPrefix(record.RecordHeader[:], []byte("HEAD ")),
			bytes.HasPrefix(record.RecordHeader[:], []byte("POST ")), bytes.HasPrefix(record.RecordHeader[:], []byte("PUT /")):
			c.under.Write([]byte("HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nThis port speaks HTTPS: ask with https://\n"))
		}
	}
	return n, err
}

type secureKey struct{}

// withSecure is ConnContext of connections that TLS is spoken on.
func withSecure(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*framedConn); ok && c.secure != nil {
		return context.WithValue(ctx, secureKey{}, c.secure)
	}
	return ctx
}

// secureOf is the TLS connection of a request, or nil.
func secureOf(r *http.Request) *tls.Conn {
	c, _ := r.Context().Value(secureKey{}).(*tls.Conn)
	return c
}

// misdirected tells whether a request over TLS is for a host that has another certificate than its connection was made with: then it is
// not the one that the client was promised to speak with (RFC 9110, section 15.5.20), and whoever looks at names on the way (a firewall, a
// CDN) would be told another account's. Names with the same certificate share connections (RFC 9113, section 9.1.1).
func misdirected(t *sites.Table, c *tls.Conn, hostHeader string) bool {
	if c == nil {
		return false
	}
	asked, shown := t.Certificate(hostOnly(hostHeader)), t.Certificate(c.ConnectionState().ServerName)
	return asked == nil || shown == nil || asked != shown && !bytes.Equal(asked.Certificate[0], shown.Certificate[0])
}

// hostOnly is a Host header without its port; one that can't be read names nothing that has a certificate.
func hostOnly(h string) string {
	if name, ok := sites.Normalize(h); ok {
		return name
	}
	return "."
}
