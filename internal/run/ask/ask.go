// Package ask is how the programs of a host ask each other.
//
// Owns: HTTP over Unix sockets; what a refusal is; how long a program that is not there is waited for.
// In: a socket, a path, a document.
// Out: documents; text as it comes; an *Error with what the other one said.
// Never: asks on a network, or keeps an answer.
package ask

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"hardnode.dev/internal/run"
)

// Client asks one program.
type Client struct {
	Name   string      // for people: "the agent"
	Header http.Header // of each question
	// Patience is for how long a program that is not there is asked again and again; it may be starting. Waiting is told, once for each
	// question, that it was not there at first; nil: nobody is.
	Patience time.Duration
	Waiting  func()
	http     *http.Client
}

// With is the client of another conversation with the same program, whose questions have that header; "" takes it away.
func (c *Client) With(header, value string) *Client {
	other := *c
	if other.Header = c.Header.Clone(); other.Header == nil {
		other.Header = http.Header{}
	}
	if other.Header.Del(header); value != "" {
		other.Header.Set(header, value)
	}
	return &other
}

// Patient is the client of somebody who waits for the program; waiting may be nil.
func (c *Client) Patient(patience time.Duration, waiting func()) *Client {
	other := *c
	other.Patience, other.Waiting = patience, waiting
	return &other
}

// To asks the program that listens on a socket.
func To(name, socket string) *Client {
	return &Client{Name: name, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}}
}

// mostTime is how long a document may take, and again how long after a question that found nobody the next one comes.
const (
	mostTime = 10 * time.Second
	again    = 100 * time.Millisecond
)

// most is how many bytes a document may have, and a refusal.
const (
	most       = 8 << 20
	mostReason = 4 << 10
)

// Error is what was said instead of an answer.
type Error struct {
	Status int // of HTTP; 0: nobody answered
	Text   string
}

func (e *Error) Error() string { return e.Text }

// Refused tells whether err is the answer of that status.
func Refused(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}

// Post has in done, and reads the document that comes back into out. It waits as long as ctx does: a container takes its time to end.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return &Error{Text: err.Error()}
	}
	return c.Send(ctx, path, body, out)
}

// Send has a text done, and reads the document that comes back into out; nil: it is not looked at.
func (c *Client) Send(ctx context.Context, path string, body []byte, out any) error {
	r, err := c.open(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	return c.document(r, out)
}

// Get reads the document at path.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.Patience+mostTime)
	defer cancel()
	r, err := c.Open(ctx, path)
	if err != nil {
		return err
	}
	return c.document(r, out)
}

// Raw is what is at path, as it comes. It waits as long as ctx does.
func (c *Client) Raw(ctx context.Context, path string) ([]byte, error) {
	r, err := c.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return nil, c.away(err)
	}
	return raw, nil
}

// document reads an answer into out.
func (c *Client) document(r io.ReadCloser, out any) error {
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return c.away(err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return &Error{Text: fmt.Sprintf("%s answered what is no document: %v", c.Name, err)}
	}
	return nil
}

// Open reads the text at path as it comes, until ctx ends.
func (c *Client) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.open(ctx, http.MethodGet, path, nil)
}

func (c *Client) open(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	res, err := c.ask(ctx, method, path, body)
	if absent(err) && c.Patience > 0 {
		if c.Waiting != nil {
			c.Waiting()
		}
		for until := time.Now().Add(c.Patience); absent(err) && time.Now().Before(until) && run.Wait(ctx, again); {
			res, err = c.ask(ctx, method, path, body)
		}
	}
	if err != nil {
		return nil, c.away(err)
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		raw, _ := io.ReadAll(io.LimitReader(res.Body, mostReason)) // what can't be read of a reason is not said
		return nil, &Error{Status: res.StatusCode, Text: reason(raw)}
	}
	return res.Body, nil
}

// ask asks once.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://host"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	return c.http.Do(req)
}

// reason is what a refusal says: a text, or a problem (RFC 9457) with a detail.
func reason(raw []byte) string {
	var p struct{ Detail string }
	if json.Unmarshal(raw, &p) == nil && p.Detail != "" {
		return p.Detail
	}
	return strings.TrimSpace(string(raw))
}

// absent tells whether nobody listened: nothing was asked.
func absent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (c *Client) away(err error) error {
	if absent(err) {
		return &Error{Text: c.Name + " does not answer"}
	}
	return &Error{Text: fmt.Sprintf("%s did not answer: %v", c.Name, err)}
}
