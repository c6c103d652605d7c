// Package outward makes calls to addresses that others name.
//
// Owns: which addresses such a call may go to; the bounds on its time and on what is answered.
// In: whether addresses inside are meant, which ranges are the cluster's own.
// Out: an HTTP client.
// Never: follows a redirect, uses a proxy, or asks whose name an address has: what is dialed is looked at, after the DNS.
package outward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Rules are where calls may go.
type Rules struct {
	// Inside: also to private and to loopback addresses.
	Inside bool
	// Own are the cluster's own ranges: nothing of them is ever dialed.
	Own []netip.Prefix
}

// Bounds of one call.
const (
	callTime = 10 * time.Second
	most     = 1 << 20 // bytes of an answer
)

// shared is the range of carriers' translators (RFC 6598); the others are of documentation, of tests, and of what is translated to IPv4,
// which an address inside could hide in (RFC 6890, RFC 6052).
var (
	shared   = netip.MustParsePrefix("100.64.0.0/10")
	reserved = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("192.0.0.0/24"),
		netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
		netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"),
		netip.MustParsePrefix("::/96")}
)

// Allowed is nil when a call may go to an address.
func (r Rules) Allowed(a netip.Addr) error {
	a = a.Unmap().WithZone("")
	refused := func(what string) error { return fmt.Errorf("%s is %s: calls don't go there", a, what) }
	switch {
	case !a.IsValid():
		return errors.New("it is no address")
	case a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsInterfaceLocalMulticast():
		return refused("a link-local address")
	case a.IsMulticast() || a.IsUnspecified():
		return refused("no address of one machine")
	}
	for _, p := range r.Own {
		if p.Contains(a) {
			return refused("an address of the cluster's own")
		}
	}
	if a.IsLoopback() || a.IsPrivate() || shared.Contains(a) {
		if r.Inside {
			return nil
		}
		return refused("not a public address")
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return refused("not a public address")
		}
	}
	return nil
}

// control looks at what is dialed, once it is known.
func (r Rules) control(network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s %q: %v", network, address, err)
	}
	return r.Allowed(at.Addr())
}

// Client makes calls within the rules, by TLS 1.2 or later to servers whose certificates are of roots (nil: the usual ones).
func (r Rules) Client(roots *x509.CertPool) *http.Client {
	base := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: callTime, ResponseHeaderTimeout: callTime, IdleConnTimeout: 30 * time.Second, MaxConnsPerHost: 8,
		MaxResponseHeaderBytes: 64 << 10, Proxy: nil,
		DialContext: (&net.Dialer{Timeout: callTime, Control: r.control}).DialContext}
	return &http.Client{Transport: bounded{base}, Timeout: callTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// bounded ends answers that are too long, and lets only https out.
type bounded struct{ base *http.Transport }

// RoundTrip makes one call.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s: calls go by https only", r.URL.Redacted())
	}
	resp, err := b.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &limited{resp.Body, most}
	return resp, nil
}

// CloseIdleConnections ends what is held for the next call.
func (b bounded) CloseIdleConnections() { b.base.CloseIdleConnections() }

type limited struct {
	io.ReadCloser
	left int64
}

// Read reads up to the bound; beyond it is an error, never a shorter answer.
func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", most)
	}
	n, err := l.ReadCloser.Read(p[:min(int64(len(p)), l.left+1)])
	l.left -= int64(n)
	if l.left < 0 {
		return n, fmt.Errorf("the answer has more than %d bytes", most)
	}
	return n, err
}

// Within is a context for one errand of several calls.
func Within(ctx context.Context, calls int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(calls)*callTime)
}
