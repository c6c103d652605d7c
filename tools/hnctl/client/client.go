// Package client speaks to the orchestrator's API and to a JLS.
//
// Owns: requests with deadlines, the choice of server, errors as operator.Problem, streams of events, WebSockets.
// In: a checked configuration and a token.
// Out: decoded answers.
// Never: trusts a host name (the pinned root, or the pinned key, decides), or repeats a request that may have been carried out:
// its callers do, under an idempotency key.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

const (
	callLimit   = 30 * time.Second // one call, unless the caller's deadline is earlier
	dialLimit   = 8 * time.Second
	maxResponse = 64 << 20
)

// Client calls one API. Make it with Orchestrator or Pinned.
type Client struct {
	servers []string
	token   secret.Text
	http    *http.Client
	stream  *http.Client // no time limit of its own
}

// Orchestrator is a client of the API of the cluster below the pinned root.
func Orchestrator(servers []string, t identity.Trust, token secret.Text) *Client {
	return newClient(servers, token, identity.ClientTLS(t, identity.WantComponent("orchestrator"), nil))
}

// Registry is a client of the registry's own API of the cluster below the pinned root. An import may take as long as the caller allows.
func Registry(server string, t identity.Trust, token secret.Text) *Client {
	c := newClient([]string{server}, token, identity.ClientTLS(t, identity.WantComponent("registry"), nil))
	c.http.Timeout = 0
	c.http.Transport.(*http.Transport).ResponseHeaderTimeout = 0
	return c
}

// Pinned is a client of a server known by its own key.
func Pinned(server, pin string, token secret.Text) *Client {
	return newClient([]string{server}, token, identity.PinnedTLS(pin))
}

func newClient(servers []string, token secret.Text, conf *tls.Config) *Client {
	t := &http.Transport{
		TLSClientConfig: conf, DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, TLSHandshakeTimeout: dialLimit,
		ResponseHeaderTimeout: callLimit, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second,
	}
	c := &Client{token: token, http: &http.Client{Transport: t, Timeout: callLimit}, stream: &http.Client{Transport: t}}
	for _, s := range servers {
		c.servers = append(c.servers, strings.TrimSuffix(s, "/"))
	}
	return c
}

// Call sends in as JSON (nil: no body) and decodes the answer into out (nil: none wanted). An error of the API is a *operator.Problem.
// The next server is tried only when no connection came about.
func (c *Client) Call(ctx context.Context, method, path string, in, out any, header ...string) error {
	_, err := c.call(ctx, method, path, in, out, header)
	return err
}

// Tagged reads a resource into out, and gives back its ETag, for an If-Match; "": it has none.
func (c *Client) Tagged(ctx context.Context, path string, out any) (etag string, err error) {
	head, err := c.call(ctx, http.MethodGet, path, nil, out, nil)
	return head.Get("ETag"), err
}

func (c *Client) call(ctx context.Context, method, path string, in, out any, header []string) (http.Header, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("%s %s: %v", method, path, err)
		}
	}
	resp, w, err := c.send(ctx, c.http, method, path, body, header)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return nil, NoAnswer{w.failed(err)}
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(raw, out); err != nil { // unknown fields are welcome: the server may be newer
		return nil, fmt.Errorf("%s %s: read the answer: %v", method, path, err)
	}
	return resp.Header, nil
}

// The bounds on waiting for a rate limit.
const (
	paceTries = 5
	paceWait  = 10 * time.Second // of one wait
)

// send is sendOnce, again when the API says that the token or its account asks too fast: a request that is refused so has begun nothing.
func (c *Client) send(ctx context.Context, h *http.Client, method, path string, body []byte,
	header []string) (*http.Response, *watch, error) {
	for try := 1; ; try++ {
		resp, w, err := c.sendOnce(ctx, h, method, path, body, header)
		var p *operator.Problem
		if try == paceTries || !errors.As(err, &p) || p.After <= 0 || p.After > paceWait {
			return resp, w, err
		}
		if !run.Wait(ctx, p.After) {
			return nil, w, err
		}
	}
}

func (c *Client) sendOnce(ctx context.Context, h *http.Client, method, path string, body []byte,
	header []string) (*http.Response, *watch, error) {
	var failed NoAnswer
	for _, server := range c.servers {
		traced, w := watching(ctx, server)
		req, err := http.NewRequestWithContext(traced, method, server+path, bytes.NewReader(body))
		if err != nil {
			return nil, nil, fmt.Errorf("%s %s: %v", method, path, err)
		}
		c.dress(req.Header)
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := h.Do(req)
		switch {
		case err == nil && resp.StatusCode >= 300:
			defer resp.Body.Close()
			return nil, w, problem(resp)
		case err == nil:
			return resp, w, nil
		case interrupted(ctx):
			return nil, w, context.Cause(ctx)
		}
		failed = append(failed, w.failed(err))
		var op *net.OpError
		if ctx.Err() != nil || !errors.As(err, &op) || op.Op != "dial" {
			break // out of time, or it may have been carried out
		}
	}
	return nil, nil, failed
}

// interrupted tells whether the caller wants no answer any more, other than by running out of time.
func interrupted(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

func (c *Client) dress(h http.Header) {
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	h.Set("User-Agent", "hnctl/"+build.Version)
	h.Set("Accept", "application/json")
}

// problem is a refusal as the API words it, or in our words when something else answered.
func problem(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", resp.Request.Method, resp.Request.URL.Path, err)
	}
	var p operator.Problem
	if json.Unmarshal(raw, &p) != nil || p.Code == "" {
		return operator.NewProblem(operator.CodeOf(resp.StatusCode), resp.Request.URL.Path, "the server answered "+resp.Status, "")
	}
	p.After = 0
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && p.Status == http.StatusTooManyRequests &&
		resp.Header.Get("RateLimit-Policy") != "" { // other limits are not over by waiting: those of sign-in, of what is open
		p.After = time.Duration(s) * time.Second
	}
	return &p
}

// Download writes the body of an answer to w, until its end or the end of ctx.
func (c *Client) Download(ctx context.Context, path string, w io.Writer) error {
	resp, _, err := c.send(ctx, c.stream, http.MethodGet, path, nil, []string{"Accept", "*/*"})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		if interrupted(ctx) {
			return context.Cause(ctx)
		}
		return fmt.Errorf("GET %s: the answer broke off: %w", path, err)
	}
	return nil
}

// Events reads server-sent events (WHATWG HTML, section 9.2) from path and gives each one's data to f until f returns false, the
// stream ends, or ctx ends.
func (c *Client) Events(ctx context.Context, path string, f func(data []byte) bool) error {
	resp, _, err := c.send(ctx, c.stream, http.MethodGet, path, nil, []string{"Accept", "text/event-stream"})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return readEvents(resp.Body, f)
}

// Dial opens a WebSocket; a refusal is a *operator.Problem.
func (c *Client) Dial(ctx context.Context, path string, query url.Values) (*websocket.Conn, error) {
	var failed NoAnswer
	for _, server := range c.servers {
		h := http.Header{}
		c.dress(h)
		dial, cancel := context.WithTimeout(ctx, callLimit)
		traced, w := watching(dial, server)
		conn, resp, err := websocket.Dial(traced, server+path+"?"+query.Encode(), &websocket.DialOptions{
			HTTPClient:      c.stream,
			HTTPHeader:      h,
			Subprotocols:    []string{host.SessionProtocol},
			CompressionMode: websocket.CompressionDisabled,
		})
		cancel()
		switch {
		case err == nil:
			return conn, nil
		case interrupted(ctx):
			return nil, context.Cause(ctx)
		case resp != nil && resp.StatusCode >= 300:
			return nil, problem(resp)
		}
		if failed = append(failed, w.failed(err)); ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}
