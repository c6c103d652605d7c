package certify

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// Limits of what a CA answers, and of a call.
const (
	maxAnswer = 1 << 20 // bytes
	callTime  = 15 * time.Second
	stepTime  = 40 * time.Second // of a step, which is several calls
	wrongTime = time.Hour        // that the CA's clock may be off from ours
)

// client speaks with one CA as one account. It may be used by many at the same time.
type client struct {
	*acme.Client
	account acme.Account
	made    any // of which settings
}

// newClient makes one; pemCA are the CAs that the directory's certificate may be of, "" for the usual ones.
func newClient(directory, pemCA string, key *ecdsa.PrivateKey, account string, now func() time.Time) *client {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Time: now}
	if pemCA != "" {
		conf.RootCAs = x509.NewCertPool()
		conf.RootCAs.AppendCertsFromPEM([]byte(pemCA))
	}
	base := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true, TLSHandshakeTimeout: callTime, ResponseHeaderTimeout: callTime,
		IdleConnTimeout: 30 * time.Second, MaxConnsPerHost: maxInFlight,
		DialContext: (&net.Dialer{Timeout: callTime}).DialContext}
	return &client{
		Client: &acme.Client{Directory: directory, UserAgent: "hardnode", PollTimeout: time.Nanosecond,
			HTTPClient: &http.Client{Transport: &witness{base, now}, Timeout: callTime,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}},
		account: acme.Account{PrivateKey: key, Location: account},
	}
}

func (c *client) close() { c.HTTPClient.CloseIdleConnections() }

// answer is what a CA said beside its answers.
type answer struct{ retry time.Time }

type answerKey struct{}

// heard is a context whose calls write down what the CA said last.
func heard(ctx context.Context) (context.Context, *answer) {
	a := &answer{}
	return context.WithValue(ctx, answerKey{}, a), a
}

// clockError is that the CA's clock and ours are too far from each other: what is issued now, and when it is renewed, would be wrong.
type clockError struct{ theirs, ours time.Time }

func (e clockError) Error() string {
	return fmt.Sprintf("the clock is wrong: it is %s here, and %s at the CA", stamp(e.ours), stamp(e.theirs))
}

// witness makes calls, and keeps what is said beside answers.
type witness struct {
	base *http.Transport
	now  func() time.Time
}

func (w *witness) CloseIdleConnections() { w.base.CloseIdleConnections() }

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("the CA names %q, which is no https://", r.URL)
	}
	resp, err := w.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	now := w.now()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil && date.Sub(now).Abs() > wrongTime {
		resp.Body.Close()
		return nil, clockError{date, now}
	}
	if a, ok := r.Context().Value(answerKey{}).(*answer); ok {
		a.retry = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

// retryAfter is the moment of a Retry-After (RFC 9110, section 10.2.3); zero: it says none.
func retryAfter(text string, now time.Time) time.Time {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return now.Add(time.Duration(min(n, int(longHint/time.Second))) * time.Second)
	}
	if t, err := http.ParseTime(text); err == nil {
		return t
	}
	return time.Time{}
}

// trouble is what an error of a call means.
type trouble int

const (
	ofName  trouble = iota // the CA does not certify this name, or not now
	ofCA                   // nothing can be asked of it now
	ofOrder                // the CA knows the order no more
	ofAccount
)

// meaning sorts an error of a call, and says it in words.
func meaning(err error) (trouble, string) {
	var p acme.Problem
	if !errors.As(err, &p) {
		var bad x509.CertificateInvalidError
		var clock clockError
		switch {
		case errors.As(err, &clock):
			return ofCA, clock.Error() + ": set it right"
		case errors.As(err, &bad) && bad.Reason == x509.Expired:
			return ofCA, "the certificate of the CA's directory has ended or has not begun, or the clock here is wrong: " + bad.Error()
		case errors.Is(err, context.DeadlineExceeded):
			return ofCA, "the CA does not answer in time"
		}
		return ofCA, "the CA is not reached: " + root(err)
	}
	words := said(p)
	switch {
	case p.Type == acme.ProblemTypeAccountDoesNotExist:
		return ofAccount, words
	case p.Type == acme.ProblemTypeUserActionRequired, p.Type == acme.ProblemTypeServerInternal, p.Status >= 500:
		return ofCA, words
	case p.Status == http.StatusNotFound:
		return ofOrder, words
	}
	return ofName, words
}

// limited tells whether an error is that the CA takes no more of the cluster for now.
func limited(err error) bool {
	var p acme.Problem
	return errors.As(err, &p) && (p.Type == acme.ProblemTypeRateLimited || p.Status == http.StatusTooManyRequests)
}

// maxWords is how much of a CA's words is kept, in bytes.
const maxWords = 500

// said is a problem as people read it. What a CA says is shown as text alone.
func said(p acme.Problem) string {
	text := p.Detail
	for _, s := range p.Subproblems {
		text += "; " + s.Identifier.Value + ": " + s.Detail
	}
	if text == "" {
		text = p.Type
	}
	return "the CA says: " + plain(text)
}

// plain is a text of somebody else's on one line, and not longer than it has to be.
func plain(text string) string {
	out := make([]rune, 0, len(text))
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		out = append(out, r)
	}
	if len(out) > maxWords {
		out = append(out[:maxWords], '…')
	}
	return string(out)
}

// root is the words of an error that say what happened to a call, and where: what is around them says how often.
func root(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return plain(op.Error())
	}
	at := ""
	var call *url.Error
	if errors.As(err, &call) {
		err, at = call.Err, " ("+call.URL+")"
	}
	return plain(err.Error() + at)
}
