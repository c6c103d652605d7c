package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"hardnode.dev/internal/identity"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

// longest is how long a run of hnctl may take in all: more than any operation has.
const longest = time.Hour

// HNCTL runs hnctl against this cluster and returns what it printed on stdout. An error carries what it said on stderr. It ends in any
// case.
func (c *Cluster) HNCTL(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for tries := 1; ; tries++ {
		out, err := c.hnctl(ctx, args)
		// Such a request never left this machine: the infra machine had other work to do. What was accepted before is not asked for again.
		if err == nil || tries == maxTries || !strings.Contains(err.Error(), "TLS handshake t") ||
			strings.Contains(err.Error(), "accept: ") || !run.Wait(ctx, time.Second) {
			return out, err
		}
	}
}

// maxTries is how often a request is begun that the orchestrator doesn't take.
const maxTries = 4

func (c *Cluster) hnctl(ctx context.Context, args []string) ([]byte, error) {
	var out bytes.Buffer
	err := c.HNCTLTo(ctx, &out, args...)
	return out.Bytes(), err
}

// Logs is what a node's programs have said, on both of their streams.
func (c *Cluster) Logs(ctx context.Context, node string) (string, error) {
	var out, talk bytes.Buffer
	err := c.command(ctx, &out, &talk, "node", "logs", node)
	return out.String() + talk.String(), err
}

// Command is hnctl against this cluster, not begun: for what a person leaves with Ctrl-C, or has at a terminal.
func (c *Cluster) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.bin("hnctl"), args...)
	cmd.Env = append(os.Environ(), c.HNCTLEnv()...)
	return cmd
}

// HNCTLTo runs hnctl once and writes what it prints on stdout to out, which may take its time.
func (c *Cluster) HNCTLTo(ctx context.Context, out io.Writer, args ...string) error {
	return c.command(ctx, out, &bytes.Buffer{}, args...)
}

func (c *Cluster) command(ctx context.Context, out io.Writer, talk *bytes.Buffer, args ...string) error {
	began := time.Now()
	cmd := c.Command(ctx, args...)
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdout, cmd.Stderr = out, talk
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("did not end within %s: %w", time.Since(began).Round(time.Second), err)
		}
		return fmt.Errorf("hnctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(talk.String()))
	}
	return nil
}

// Get runs hnctl with -o json and decodes what it prints.
func (c *Cluster) Get(ctx context.Context, v any, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	b, err := c.HNCTL(ctx, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("hnctl %s -o json: %v: %.200s", strings.Join(args, " "), err, b)
	}
	return nil
}

// Refusal sends a request to the API as it is, past hnctl's own checks, and returns the problem it is refused with.
func (c *Cluster) Refusal(ctx context.Context, method, path string, body any) (operator.Problem, error) {
	var p operator.Problem
	res, raw, err := c.request(ctx, method, operator.Prefix+path, body)
	if err != nil {
		return p, err
	}
	if t := res.Header.Get("Content-Type"); t != "application/problem+json" {
		return p, fmt.Errorf("%s %s: status %d with %s, want a problem+json: %.200s", method, path, res.StatusCode, t, raw)
	}
	if err := json.Unmarshal(raw, &p); err != nil || p.Code == "" || p.Reason == "" || p.Next == "" || p.Status != res.StatusCode {
		return p, fmt.Errorf("%s %s: status %d, %v, want code, detail, next and the status in %s", method, path, res.StatusCode, err, raw)
	}
	return p, nil
}

// Clock is the time on the infra VM, a whole second that has begun there: its clock may be some seconds behind the test's.
func (c *Cluster) Clock(ctx context.Context) (time.Time, error) {
	res, _, err := c.request(ctx, "GET", operator.Prefix+"/license", nil)
	if err != nil {
		return time.Time{}, err
	}
	return http.ParseTime(res.Header.Get("Date"))
}

// WaitAPI waits until the orchestrator answers.
func (c *Cluster) WaitAPI(ctx context.Context, limit time.Duration) error {
	var last error
	err := c.poll(ctx, limit, 500*time.Millisecond, func(ctx context.Context) (bool, error) {
		var cl operator.Cluster
		last = c.Get(ctx, &cl, "cluster", "status")
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the API of %s: %w; the last answer was: %v%s", c.Infra.Name, err, last, c.excerpt(c.Infra))
	}
	return nil
}

// WaitHost waits until the orchestrator shows the host as wanted, and returns it.
func (c *Cluster) WaitHost(ctx context.Context, name string, limit time.Duration, is func(operator.Host) bool) (operator.Host, error) {
	var found operator.Host
	var last error
	err := c.poll(ctx, limit, 500*time.Millisecond, func(ctx context.Context) (bool, error) {
		hosts, err := c.HostList(ctx)
		last = err
		for _, h := range hosts {
			if h.Name == name {
				found = h
				return is(h), nil
			}
		}
		return false, nil
	})
	switch {
	case err == nil:
		return found, nil
	case last != nil:
		err = fmt.Errorf("%w; the last answer was: %v", err, last)
	case found.ID == "":
		err = fmt.Errorf("%w; the orchestrator doesn't know it", err)
	default:
		err = fmt.Errorf("%w; it is %s %s", err, found.State, found.Reason)
	}
	return found, fmt.Errorf("wait for host %s: %w%s", name, err, c.excerpt(c.Machine(name)))
}

// look reads what the API has at a path, over a connection that is kept: waits look again and again, and a handshake each time would be the
// larger part of what an emulated machine has to do.
func (c *Cluster) look(ctx context.Context, v any, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	res, raw, err := c.request(ctx, http.MethodGet, operator.Prefix+path, nil)
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	var p operator.Problem
	if res.StatusCode != http.StatusOK {
		if json.Unmarshal(raw, &p) == nil && p.Reason != "" {
			return &p
		}
		return fmt.Errorf("look at %s: %s: %.200s", path, res.Status, raw)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("look at %s: %v: %.200s", path, err, raw)
	}
	return nil
}

// HostList is all hosts.
func (c *Cluster) HostList(ctx context.Context) ([]operator.Host, error) {
	var hosts operator.List[operator.Host]
	err := c.look(ctx, &hosts, "/hosts")
	return hosts.Items, err
}

// Env is one environment.
func (c *Cluster) Env(ctx context.Context, name string) (operator.Environment, error) {
	var e operator.Environment
	err := c.look(ctx, &e, "/environments/"+url.PathEscape(name))
	return e, err
}

// Operation is one operation.
func (c *Cluster) Operation(ctx context.Context, id wire.OperationID) (operator.Operation, error) {
	var op operator.Operation
	err := c.look(ctx, &op, "/operations/"+url.PathEscape(string(id)))
	return op, err
}

// WaitEnv waits until the environment is as wanted, and returns it.
func (c *Cluster) WaitEnv(ctx context.Context, name string, limit time.Duration,
	is func(operator.Environment) bool) (operator.Environment, error) {
	var e operator.Environment
	var last error
	err := c.poll(ctx, limit, 500*time.Millisecond, func(ctx context.Context) (bool, error) {
		got, err := c.Env(ctx, name)
		if last = err; err == nil {
			e = got
		}
		return err == nil && is(e), nil
	})
	if err != nil {
		var nodes []string
		for _, n := range e.Nodes {
			nodes = append(nodes, fmt.Sprintf("node %s on %s is %s %s", n.CTID, n.HostName, n.State, n.Reason))
		}
		return e, fmt.Errorf("wait for environment %s: %w; it is %s %s; %s; %w", name, err, e.State, e.Reason, strings.Join(nodes, ", "),
			errors.Join(last))
	}
	return e, nil
}

// Hello is the demo's environment.
const Hello = `version: 1
name: hello
layers:
  - name: cp
    template: nginx
    nodes: %d
    cloudlets: {reserved: 1, dynamic: 4}
`

// createHello makes the environment hello with one node on each host (two on a single one) and waits until it runs.
func (c *Cluster) createHello(detail detail) error {
	file := filepath.Join(c.Dir, "hello.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, Hello, 2), 0o600); err != nil {
		return err
	}
	if c.opts.Keep {
		if e, err := c.Env(c.ctx, "hello"); err == nil {
			detail("it is there already, %s", e.State)
			_, err = c.WaitEnv(c.ctx, "hello", joinTime(), func(e operator.Environment) bool { return e.State == operator.EnvRunning })
			return err
		}
	}
	if _, err := c.HNCTL(c.ctx, "env", "create", "-f", file); err != nil {
		return err
	}
	e, err := c.WaitEnv(c.ctx, "hello", joinTime(), func(e operator.Environment) bool { return e.State == operator.EnvRunning })
	if err != nil {
		return err
	}
	for _, n := range e.Nodes {
		detail("node %s on %s: %s", n.CTID, n.HostName, n.Placed)
	}
	return nil
}

func (c *Cluster) excerpt(m *Machine) string {
	if m == nil || m.VM() == nil {
		return ""
	}
	return m.VM().Console.Excerpt(20)
}

// Metrics is what the orchestrator shows to Prometheus.
func (c *Cluster) Metrics(ctx context.Context) (string, error) {
	res, body, err := c.request(ctx, http.MethodGet, "/metrics", nil)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	if err != nil {
		return "", fmt.Errorf("read metrics: %v", err)
	}
	return string(body), nil
}

// Write asks the API for a change with the admin's token; any answer but a success is an error.
func (c *Cluster) Write(ctx context.Context, method, path string, body any) error {
	res, raw, err := c.request(ctx, method, operator.Prefix+path, body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s: %.200s", res.Status, raw)
	}
	return err
}

// request sends the orchestrator one request with the admin's token, and reads the answer whole.
func (c *Cluster) request(ctx context.Context, method, path string, in any) (*http.Response, []byte, error) {
	var body io.Reader // a GET has none: the server closes the connection after one that is left unread
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, nil, err
		}
		body = bytes.NewReader(raw)
	}
	token, err := os.ReadFile(c.TokenFile())
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("https://127.0.0.1:%d%s", c.Ports.API, path), body)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", rand.Text())
	c.connect.Do(func() {
		c.api = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			TLSClientConfig: identity.ClientTLS(identity.Trust{Pin: c.day0.caPin}, identity.WantComponent("orchestrator"), nil)}}
	})
	res, err := c.api.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return res, raw, err
}
