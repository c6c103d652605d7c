package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"hardnode.dev/internal/run"
)

// Page is one answer of the resolver.
type Page struct {
	Status int
	Header http.Header
	Body   string
}

// fetcher keeps no connection open: each fetch is a visitor of its own, who waits about as long as people do.
var fetcher = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// Host is the name an environment is served under.
func (c *Cluster) Host(env string) string { return env + "." + c.Domain }

// FetchPage fetches a path of an environment through the resolver's forwarded port.
func (c *Cluster) FetchPage(ctx context.Context, env, path string) (Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", c.Ports.Pages, path), nil)
	if err != nil {
		return Page{}, err
	}
	req.Host = c.Host(env)
	res, err := fetcher.Do(req)
	if err != nil {
		return Page{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return Page{Status: res.StatusCode, Header: res.Header, Body: string(b)}, err
}

// WaitPage waits until the environment's front page is served with status 200.
func (c *Cluster) WaitPage(ctx context.Context, env string, limit time.Duration) error {
	var last string
	err := c.poll(ctx, limit, 250*time.Millisecond, func(ctx context.Context) (bool, error) {
		once, cancel := context.WithTimeout(ctx, 10*time.Second) // a forwarded port takes connections also while its machine is off
		defer cancel()
		p, err := c.FetchPage(once, env, "/")
		switch {
		case err != nil:
			last = err.Error()
		case p.Status != http.StatusOK:
			last = fmt.Sprintf("status %d: %.200s", p.Status, p.Body)
		}
		return err == nil && p.Status == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("fetch http://%s/: %w; the last answer was %s", c.Host(env), err, last)
	}
	return nil
}

// poll calls f every pause until it says true, fails, a machine is lost, or the limit is over.
func (c *Cluster) poll(ctx context.Context, limit, pause time.Duration, f func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		done, err := f(ctx)
		if done || err != nil {
			return err
		}
		if err := c.lost(); err != nil {
			return err
		}
		if !run.Wait(ctx, pause) {
			if cause := context.Cause(ctx); cause != context.DeadlineExceeded {
				return cause
			}
			return fmt.Errorf("not within %v", limit)
		}
	}
}

// lost names the first machine that is off although nobody switched it off, or whose kernel panicked.
func (c *Cluster) lost() error {
	for _, m := range append([]*Machine{c.Infra}, c.Hosts...) {
		if m != nil {
			if err := m.lost(); err != nil {
				return err
			}
		}
	}
	return nil
}
