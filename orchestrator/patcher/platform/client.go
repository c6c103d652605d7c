// Package platform is the cluster as the Patcher sees it: the public API, with a token of its own.
//
// Owns: the requests, their deadlines, how an answer becomes what package rollout decides from.
// In: the API's addresses, the pinned root, the token.
// Out: rollout.Seen; deeds; errors, of which Final tells those that no second try heals.
// Never: knows another way to the platform than the API that people have, or decides anything.
package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/secret"
	"hardnode.dev/internal/wire/operator"
)

// Limits of one request.
const (
	callLimit   = 30 * time.Second
	dialLimit   = 5 * time.Second
	maxResponse = 64 << 20
)

// Client calls the API. Make it with New.
type Client struct {
	servers []string // https://host:port, tried in order
	token   secret.Text
	http    *http.Client
}

// New is a client of the API of the cluster below the pinned root, at host:port each.
func New(servers []string, t identity.Trust, token secret.Text) *Client {
	c := &Client{token: token, http: &http.Client{Timeout: callLimit, Transport: &http.Transport{
		TLSClientConfig: identity.ClientTLS(t, identity.WantComponent("orchestrator"), nil), TLSHandshakeTimeout: dialLimit,
		DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, MaxIdleConnsPerHost: 2 * asks, IdleConnTimeout: 30 * time.Second}}}
	for _, s := range servers {
		c.servers = append(c.servers, "https://"+s)
	}
	return c
}

// Final tells whether an error is a refusal that stays one: the platform was there and said no.
func Final(err error) bool {
	var p *operator.Problem
	return errors.As(err, &p) && p.Code != operator.Unavailable && p.Code != operator.Internal && p.Status != http.StatusTooManyRequests
}

// is tells whether err is a refusal with that code.
func is(err error, code operator.Code) bool {
	var p *operator.Problem
	return errors.As(err, &p) && p.Code == code
}

// call sends in as JSON (nil: no body) and decodes the answer into out (nil: none wanted). Fields that this program does not know are let
// pass: the orchestrator may be newer.
func (c *Client) call(ctx context.Context, method, path string, in, out any, header ...string) (err error) {
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("%s %s: %v", method, path, err)
		}
	}
	for _, server := range c.servers {
		var tried bool
		if tried, err = c.ask(ctx, method, server+operator.Prefix+path, body, out, header); tried {
			return err
		}
	}
	return err
}

// ask asks one server. tried: it may have been carried out, so no other server is asked.
func (c *Client) ask(ctx context.Context, method, at string, body []byte, out any, header []string) (tried bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return true, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	req.Header.Set("User-Agent", "patcher/"+build.Version)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		return !errors.As(err, &op) || op.Op != "dial", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return true, fmt.Errorf("%s %s: %w", method, at, err)
	}
	if resp.StatusCode >= 300 {
		var p operator.Problem
		if json.Unmarshal(raw, &p) != nil || p.Code == "" {
			return true, operator.NewProblem(operator.CodeOf(resp.StatusCode), req.URL.Path, "the server answered "+resp.Status, "")
		}
		return true, &p
	}
	if out == nil {
		return true, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return true, fmt.Errorf("%s %s: read the answer: %v", method, at, err)
	}
	return true, nil
}

// items reads a list, all its parts.
func items[T any](ctx context.Context, c *Client, path string, query url.Values) (all []T, err error) {
	for {
		var l operator.List[T]
		if err := c.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &l); err != nil {
			return nil, err
		}
		all = append(all, l.Items...)
		if l.Next == "" || l.Next == query.Get("cursor") {
			return all, nil
		}
		query.Set("cursor", l.Next)
	}
}
