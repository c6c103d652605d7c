package link

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// clientBox calls the host API at the first endpoint that answers, and stays with it until it fails.
type clientBox struct {
	endpoints []string
	trust     identity.Trust
	spoken    host.Protocols
	holder    *identity.Holder
	dial      func(context.Context, string, string) (net.Conn, error)
	current   atomic.Int64
	protocol  agreed
	with      atomic.Pointer[http.Client] // presents the host's certificate
	reports   atomic.Pointer[http.Client] // likewise; its one connection is kept for reports alone
	without   *http.Client                // presents none: enrolment, renewal after expiry
}

func (c *clientBox) init(endpoints []string, t identity.Trust, h *identity.Holder,
	dial func(context.Context, string, string) (net.Conn, error)) {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 5 * time.Second}).DialContext
	}
	c.endpoints, c.trust, c.holder, c.dial = endpoints, t, h, dial
	c.without = c.newClient(nil)
	c.with.Store(c.newClient(h))
	c.reports.Store(c.newClient(h))
}

// renewed makes connections from now on use the new certificate; those in use end with their call.
func (c *clientBox) renewed() {
	for _, p := range []*atomic.Pointer[http.Client]{&c.with, &c.reports} {
		p.Swap(c.newClient(c.holder)).CloseIdleConnections()
	}
}

// newClient speaks HTTP/1.1, one connection a long poll: a stalled one can't hold up the others.
func (c *clientBox) newClient(h *identity.Holder) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:       identity.ClientTLS(c.trust, identity.WantComponent("orchestrator"), h),
		DialContext:           c.dial,
		TLSHandshakeTimeout:   10 * time.Second,
		IdleConnTimeout:       60 * time.Second,
		MaxIdleConnsPerHost:   4,
		ExpectContinueTimeout: time.Second,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// errNothing: the answer was 204.
var errNothing = errors.New("nothing new")

// answer is what a call brought.
type answer struct {
	endpoint string
	body     []byte
	took     time.Duration
}

// maxAnswer bounds an answer; the largest is a Peers document.
const maxAnswer = 16 << 20

// call asks one endpoint after the other until one answers, each within the deadline. An answer that says no is final.
func (c *clientBox) call(ctx context.Context, client *http.Client, method, path string, in any, deadline time.Duration) (answer, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return answer{}, fmt.Errorf("encode request to %s: %v", path, err)
		}
	}
	return c.try(ctx, client, method, path, body, deadline, len(c.endpoints))
}

// unavailable is the code of an orchestrator that can't be asked, or can't answer.
const unavailable = string(operator.Unavailable)

// try asks up to n endpoints, from the current one on. The answer names the endpoint asked last, also when there is an error.
func (c *clientBox) try(ctx context.Context, client *http.Client, method, path string, body []byte, deadline time.Duration,
	n int) (answer, error) {
	errs := make([]error, len(c.endpoints)) // in the order of the configuration, wherever the first try began
	var endpoint string
	for range n {
		at := c.current.Load()
		endpoint = c.endpoints[at]
		a, err := c.once(ctx, client, method, endpoint, path, body, deadline)
		a.endpoint = endpoint
		if _, said := problemOf(err); err == nil || said || errors.Is(err, errNothing) || ctx.Err() != nil {
			return a, err
		}
		errs[at] = err
		c.current.CompareAndSwap(at, (at+1)%int64(len(c.endpoints)))
	}
	return answer{endpoint: endpoint}, either(errs)
}

func (c *clientBox) once(ctx context.Context, client *http.Client, method, endpoint, path string, body []byte,
	deadline time.Duration) (answer, error) {
	at := "https://" + endpoint + path
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, at, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("ask %s: %v", at, err)
	}
	req.Header.Set(host.ProtocolHeader, c.spoken.String())
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, plain(endpoint, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return answer{}, plain(endpoint, err)
	case len(raw) > maxAnswer:
		return answer{}, fmt.Errorf("%s: its answer is longer than %d MiB", endpoint, maxAnswer>>20)
	case resp.StatusCode < 300 && c.inProtocol(resp.Header) == 0:
		return answer{}, fmt.Errorf("%s answers in protocol %q of the host API, this host speaks %s; update this host's release", endpoint,
			resp.Header.Get(host.ProtocolHeader), c.spoken)
	}
	c.protocol.set(c.inProtocol(resp.Header))
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return answer{took: time.Since(began)}, errNothing
	case resp.StatusCode == http.StatusOK:
		return answer{body: raw, took: time.Since(began)}, nil
	}
	return answer{}, refusal(resp, raw)
}

// inProtocol is the protocol that an answer is written in; 0: one that this host does not speak.
func (c *clientBox) inProtocol(h http.Header) int {
	p, err := host.ParseProtocols(h.Get(host.ProtocolHeader))
	if n, ok := c.spoken.Agree(p); err == nil && ok {
		return n
	}
	return 0
}

// agreed is the protocol that was answered in last; the orchestrators behind the endpoints may be of two versions.
type agreed struct {
	mu struct {
		sync.Mutex
		protocol int
		changed  chan struct{}
	}
}

func (a *agreed) set(protocol int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if protocol == 0 || protocol == a.mu.protocol {
		return
	}
	a.mu.protocol = protocol
	if a.mu.changed != nil {
		close(a.mu.changed)
		a.mu.changed = nil
	}
}

// get is the protocol, 0 before the first answer; changed is closed when it is another one.
func (a *agreed) get() (protocol int, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.changed == nil {
		a.mu.changed = make(chan struct{})
	}
	return a.mu.protocol, a.mu.changed
}

// refusal is an answer that says no, as a Problem; an answer without one (a proxy's page) counts as no answer at all.
func refusal(resp *http.Response, raw []byte) error {
	var p operator.Problem
	if strings.HasPrefix(resp.Header.Get("Content-Type"), operator.ProblemType) && json.Unmarshal(raw, &p) == nil && p.Reason != "" {
		if p.Code == "" {
			p.Code = operator.CodeOf(resp.StatusCode)
		}
		if p.Code == operator.Unavailable {
			return errors.New(p.Error())
		}
		return &p
	}
	return fmt.Errorf("%s answered %s: %.200s", resp.Request.URL, resp.Status, bytes.TrimSpace(raw))
}

func problemOf(err error) (*operator.Problem, bool) {
	var p *operator.Problem
	ok := errors.As(err, &p)
	return p, ok
}

// plain says what went wrong with a call the way a person would: the endpoint and the cause, without the layers between.
func plain(endpoint string, err error) error {
	var pin *identity.PinError
	if errors.As(err, &pin) {
		return pin
	}
	var old *identity.ExpiredError
	if errors.As(err, &old) {
		return old
	}
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return fmt.Errorf("%s did not answer in time", endpoint)
		}
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		var call *os.SyscallError
		if err = op.Err; errors.As(err, &call) {
			err = call.Err
		}
	}
	return fmt.Errorf("%s: %v", endpoint, err)
}

// either is several errors, nil where there is none, in one line.
func either(errs []error) error {
	var pin *identity.PinError
	var old *identity.ExpiredError
	var texts []string
	for _, err := range errs {
		if err == nil {
			continue
		}
		if errors.As(err, &pin) || errors.As(err, &old) { // the one that needs a person
			return err
		}
		texts = append(texts, err.Error())
	}
	return errors.New(strings.Join(texts, "; "))
}

// asProblem is err in the words of a host.Problem.
func asProblem(object string, err error, next string) host.Problem {
	if p, ok := problemOf(err); ok {
		return host.Problem{Code: string(p.Code), Object: first(p.Object, object), Reason: p.Reason, Next: first(p.Next, next)}
	}
	var pin *identity.PinError
	if errors.As(err, &pin) {
		return host.Problem{Code: "denied", Object: "join.caPin", Reason: pin.Error(),
			Next: "put the right pin into the host configuration, or correct the address in join.endpoints"}
	}
	var old *identity.ExpiredError
	if errors.As(err, &old) {
		return host.Problem{Code: "denied", Object: object, Reason: old.Error(),
			Next: "set this machine's clock in its firmware, or name a time server in the host configuration (network.ntp)"}
	}
	return host.Problem{Code: unavailable, Object: object, Reason: err.Error(), Next: next}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func spread() float64 { return rand.Float64() }
