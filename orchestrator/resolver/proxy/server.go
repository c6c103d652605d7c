package proxy

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"hardnode.dev/internal/limit"
	"hardnode.dev/internal/logging"
)

// Limits of port 80; SECURITY.md has them as a table.
const (
	MaxConnections = 20_000
	MaxEach        = 2_000 // connections, and requests at the same moment, of one address
	maxHeader      = 64 << 10
	headerTime     = 10 * time.Second
	keepAlive      = 75 * time.Second
	maxStreams     = 100 // of one HTTP/2 connection
	pingAfter      = 30 * time.Second
)

// pace of clients. A gRPC call may be silent from its start: what it sends are messages, when there are some.
var pace = func() limit.Pace {
	p := limit.Usual
	p.Stream = isGRPC
	return p
}()

// Server serves p over HTTP/1.1 and, to clients that begin with it, HTTP/2 (RFC 9113, section 3.3: prior knowledge).
func (p *Proxy) Server() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: p.pace.Handler(p), ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug), Protocols: &protocols,
		ReadHeaderTimeout: headerTime, IdleTimeout: keepAlive, MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true,
		ConnContext: withFraming,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, WriteByteTimeout: p.pace.Write},
	}
}

// Listen holds l's clients to the limits of connections, and follows their framing.
func (p *Proxy) Listen(l net.Listener) net.Listener {
	return framed{p.bounded(l)}
}

// bounded holds l's peers to the limits of connections, but for proxies, which speak for many.
func (p *Proxy) bounded(l net.Listener) net.Listener {
	exempt := func(a netip.Addr) bool { return p.trusted.Has(a) || p.Proxied.Has(a) }
	return proxied(limit.Listener(l, &limit.Gate{All: MaxConnections, Each: MaxEach, Exempt: exempt}), p.Proxied)
}

// isGRPC tells whether r is a call of gRPC, which is HTTP/2 at both ends with trailers ("gRPC over HTTP2"). "application/grpc-web" is not.
func isGRPC(r *http.Request) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/grpc")
	return ok && r.ProtoMajor == 2 && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// busy answers a request beyond the limits.
func (p *Proxy) busy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	p.page(w, r, page{code: http.StatusServiceUnavailable, title: "Too many requests at once",
		text: "The resolver serves as many as it can, and no more of one address.", retry: true})
	p.log.Debug("request refused", logging.Addr, r.RemoteAddr, logging.Reason, "too many at once")
}
