package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"hardnode.dev/internal/wire/operator"
)

// Phase is what a request is at. They follow each other in this order; a connection that is used again begins at PhaseAsk.
type Phase int32

// The phases.
const (
	PhaseStart Phase = iota
	PhaseResolve
	PhaseConnect
	PhaseHandshake
	PhaseAsk
	PhaseAnswer
	PhaseRead
)

// phases is each phase as a person reads it, and what to do when it does not end or fails.
var phases = [...]struct{ doing, next string }{
	PhaseStart: {"starting the request", "try again"},
	PhaseResolve: {"resolving the name",
		"check the name in hnctl's configuration and this machine's DNS, or give the address in place of the name"},
	PhaseConnect: {"connecting",
		"check that the infra host runs, that the address in hnctl's configuration is right, and that no firewall is between"},
	PhaseHandshake: {"TLS handshake",
		"the server is overloaded, or it is none of Hardnode's: see the infra host's console, then try again"},
	PhaseAsk: {"sending the request", "the line or the server is overloaded: try again"},
	PhaseAnswer: {"waiting for the answer",
		"the server is reached but busy: see `hnctl cluster status`, try again, or allow more with --timeout"},
	PhaseRead: {"reading the answer", "the line or the server is overloaded: try again"},
}

// Unreachable is why a server gave no answer: which one, at what, why, and after how long.
type Unreachable struct {
	Server string
	At     Phase
	Slow   bool // it took too long, rather than failing
	Took   time.Duration
	Err    error // the cause; what a *net.OpError or *url.Error wraps around it is left out of the text
}

// Error is the server, the phase and the reason.
func (u *Unreachable) Error() string {
	if u.Slow {
		return fmt.Sprintf("%s: %s took too long (%s)", u.Server, phases[u.At].doing, u.Took.Round(time.Millisecond))
	}
	return fmt.Sprintf("%s: %s: %s", u.Server, phases[u.At].doing, reason(u.Err))
}

// Next is what to do about it.
func (u *Unreachable) Next() string {
	var cert *tls.CertificateVerificationError
	if u.At == PhaseAnswer && !u.Slow {
		return "the server went away: see the infra host's console; look what is there now (an order: `hnctl op list`), then try again"
	}
	if u.At == PhaseHandshake && !u.Slow || errors.As(u.Err, &cert) {
		return "check that the address and the pin in hnctl's configuration are of one cluster"
	}
	return phases[u.At].next
}

// Unwrap is the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

// Timeout tells whether it took too long.
func (u *Unreachable) Timeout() bool { return u.Slow }

// Temporary tells whether the cause says that it may pass: those who push images try again then.
func (u *Unreachable) Temporary() bool {
	var t interface{ Temporary() bool }
	return errors.As(u.Err, &t) && t.Temporary()
}

// NoAnswer is all servers that were tried, none of which answered.
type NoAnswer []*Unreachable

// Error is a line for each server.
func (n NoAnswer) Error() string {
	lines := make([]string, len(n))
	for i, u := range n {
		lines[i] = u.Error()
	}
	return strings.Join(lines, "\n")
}

// Next is what to do about the last one: it came furthest.
func (n NoAnswer) Next() string { return n[len(n)-1].Next() }

// Timeout tells whether one of them took too long.
func (n NoAnswer) Timeout() bool {
	for _, u := range n {
		if u.Slow {
			return true
		}
	}
	return false
}

// Unwrap are the causes.
func (n NoAnswer) Unwrap() []error {
	out := make([]error, len(n))
	for i, u := range n {
		out[i] = u
	}
	return out
}

// Lost tells whether err is an answer that was lost: the request was being sent, or was sent, so it may have been carried out.
func Lost(err error) bool {
	var n NoAnswer
	return errors.As(err, &n) && n[len(n)-1].At >= PhaseAsk
}

// Away tells whether err says that no server answers at this moment, or none can yet.
func Away(err error) bool {
	var n NoAnswer
	var p *operator.Problem
	return errors.As(err, &n) || errors.As(err, &p) && p.Code == operator.Unavailable
}

// watch is one request to one server while it runs.
type watch struct {
	server string
	began  time.Time
	at     atomic.Int32
}

// watching is a context whose request tells w how far it is. After the end of ctx nothing more is noted: a server may answer even when the
// connection is being closed.
func watching(ctx context.Context, server string) (context.Context, *watch) {
	w := &watch{server: server, began: time.Now()}
	to := func(p Phase) {
		if ctx.Err() == nil {
			w.at.Store(int32(p))
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { to(PhaseResolve) },
		ConnectStart:         func(string, string) { to(PhaseConnect) },
		TLSHandshakeStart:    func() { to(PhaseHandshake) },
		GotConn:              func(httptrace.GotConnInfo) { to(PhaseAsk) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { to(PhaseAnswer) },
		GotFirstResponseByte: func() { to(PhaseRead) },
	}), w
}

// Watched makes errors of a transport ones that say what it was at: *Unreachable.
func Watched(next http.RoundTripper) http.RoundTripper { return watched{next} }

type watched struct{ next http.RoundTripper }

// RoundTrip sends one request.
func (t watched) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, w := watching(r.Context(), r.URL.Scheme+"://"+r.URL.Host)
	resp, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil && !interrupted(ctx) {
		return nil, w.failed(err)
	}
	return resp, err
}

// failed is err with what the request was at when it came.
func (w *watch) failed(err error) *Unreachable {
	var n net.Error
	u := &Unreachable{Server: w.server, At: Phase(w.at.Load()), Took: time.Since(w.began), Err: err}
	u.Slow = errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
	return u
}

// reason is an error of the network without the parts the phase has said.
func reason(err error) string {
	var u *url.Error
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &u):
		return reason(u.Err)
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("%q is not known", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused: nothing listens there"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to it"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was cut"
	case errors.As(err, &op):
		return reason(op.Err)
	}
	switch s := strings.TrimRight(err.Error(), ": "); s {
	case "EOF", "unexpected EOF":
		return "the connection was closed"
	case "":
		return "it failed"
	default:
		return s
	}
}
