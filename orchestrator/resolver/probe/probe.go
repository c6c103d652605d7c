// Package probe checks the backends on its own, so that a dead node leaves the rotation without the orchestrator.
//
// Owns: one loop for each backend of the table in force; what counts as dead.
// In: the book of sites.
// Out: Backend.SetUp; a log line when a backend goes down or comes back.
// Never: sends more than one request at a time to a backend, or reads more of an answer than its head.
package probe

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/run"
	"hardnode.dev/orchestrator/resolver/sites"
)

// The clocks: a dead backend is out within Interval + 2 × Timeout = 2.5 s. Until then it costs a request a time-out of connecting.
const (
	Interval = 500 * time.Millisecond
	Timeout  = time.Second
	follow   = 100 * time.Millisecond // how soon a new table's backends are looked at
	perRound = 1000                   // more backends than this are checked less often
)

// Agent is the User-Agent of HTTP checks; templates leave it out of their logs.
const Agent = "hardnode-check/1"

// Prober runs the checks.
type Prober struct {
	Book *sites.Book
	Log  *slog.Logger
}

// Run checks until ctx ends.
func (p *Prober) Run(ctx context.Context) error {
	log := logging.Or(p.Log)
	client := &http.Client{
		Timeout:       Timeout,
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	running := map[*sites.Backend]job{}
	defer func() {
		for _, j := range running {
			j.stop()
		}
	}()
	var last *sites.Table
	return run.Every(ctx, follow, func(ctx context.Context) error {
		t := p.Book.Table()
		if t == nil || t == last {
			return nil
		}
		last = t
		want := map[*sites.Backend]*sites.Site{}
		for _, s := range t.Sites() {
			for _, b := range s.Backends {
				want[b] = s
			}
		}
		for b, j := range running {
			if s := want[b]; s == nil || s.Check != j.path {
				j.stop()
				delete(running, b)
			}
		}
		every := Interval * time.Duration(1+len(want)/perRound)
		for b, s := range want {
			if _, ok := running[b]; ok {
				continue
			}
			jctx, stop := context.WithCancel(ctx)
			running[b] = job{s.Check, stop}
			wg.Add(1)
			go func() {
				defer wg.Done()
				watch(jctx, client, b, s, every, log)
			}()
		}
		return nil
	})
}

type job struct {
	path string
	stop context.CancelFunc
}

// watch checks one backend. A failure is tried once more at once: two in a row take it out.
func watch(ctx context.Context, client *http.Client, b *sites.Backend, s *sites.Site, every time.Duration, log *slog.Logger) {
	log = log.With(logging.Env, s.Env, logging.Container, b.CTID, logging.Addr, b.Addr)
	for {
		err := check(ctx, client, b.Addr, s)
		if err != nil && b.Up() {
			err = check(ctx, client, b.Addr, s)
		}
		if ctx.Err() != nil {
			return
		}
		if b.SetUp(err == nil) {
			if err == nil {
				log.Info("node is back in rotation")
			} else {
				log.Warn("node is out of rotation", logging.Reason, err)
			}
		}
		if !run.Wait(ctx, every) {
			return
		}
	}
}

// check asks once. Any answer to an HTTP check but a 5xx will do: the host's agent judges the application.
func check(ctx context.Context, client *http.Client, addr string, s *sites.Site) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if s.Check == "" {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+s.Check, nil)
	if err != nil {
		return err
	}
	req.Host = s.Domain
	req.Header.Set("User-Agent", Agent)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode >= 500 {
		return fmt.Errorf("check %s answers %s", s.Check, resp.Status)
	}
	return nil
}
