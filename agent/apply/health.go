package apply

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Checks run often until the first success, then at ease; so many failures in a row make a container that was well failing. One that
// goes on failing is asked at ease too: a host with too much to do must not be given more by its checks.
const (
	checkFirst   = 250 * time.Millisecond
	checkLater   = 2 * time.Second
	checkTimeout = 2 * time.Second
	checkFails   = 3
	checkTries   = 20
)

// checker asks running containers whether they serve.
type checker struct {
	check func(context.Context, netip.Addr, host.Check) error
	hint  func()

	mu struct {
		sync.Mutex
		at map[wire.CTID]*checked
	}
}

// checked is one container under check; a new start makes a new one.
type checked struct {
	addr    netip.Addr
	check   host.Check
	started time.Time

	asking bool
	next   time.Time
	fails  int
	health plan.Health
}

func newChecker(check func(context.Context, netip.Addr, host.Check) error, hint func()) *checker {
	c := &checker{check: check, hint: hint}
	c.mu.at = map[wire.CTID]*checked{}
	return c
}

// watch makes the containers under check those that run and have one.
func (c *checker) watch(work *host.Work, seen map[wire.CTID]plan.Seen, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := map[wire.CTID]bool{}
	if work != nil {
		for _, w := range work.Containers {
			s := seen[w.CTID]
			if w.Check == nil || !s.Running || s.Generation != w.Generation {
				continue
			}
			keep[w.CTID] = true
			if old := c.mu.at[w.CTID]; old == nil || !old.started.Equal(s.Started) || old.check != *w.Check || old.addr != w.IPv4 {
				k := &checked{addr: w.IPv4, check: *w.Check, started: s.Started}
				if old == nil && now.Sub(s.Started) > plan.MinRun { // adopted from an earlier agent: well until shown otherwise
					k.health = plan.Health{Checked: true, OK: true}
				}
				c.mu.at[w.CTID] = k
			}
		}
	}
	for id := range c.mu.at {
		if !keep[id] {
			delete(c.mu.at, id)
		}
	}
}

func (c *checker) results() map[wire.CTID]plan.Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[wire.CTID]plan.Health, len(c.mu.at))
	for id, k := range c.mu.at {
		out[id] = k.health
	}
	return out
}

// run asks whoever is due, each beside the others, until ctx ends.
func (c *checker) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for run.Wait(ctx, checkFirst) {
		for _, k := range c.due(time.Now()) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, checkTimeout)
				defer cancel()
				err := c.check(ctx, k.addr, k.check)
				if c.took(k, err) {
					c.hint()
				}
			})
		}
	}
}

func (c *checker) due(now time.Time) (out []*checked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.mu.at {
		if !k.asking && !now.Before(k.next) {
			k.asking = true
			out = append(out, k)
		}
	}
	return out
}

// took notes an answer; true when the container's health changed.
func (c *checker) took(k *checked, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := k.health
	later := checkLater
	if err == nil && k.check.Every > 0 { // whether it goes on failing shows soon
		later = time.Duration(k.check.Every) * time.Second
	}
	k.asking, k.next = false, time.Now().Add(later)
	if err == nil {
		k.fails, k.health = 0, plan.Health{Checked: true, OK: true}
		return k.health != before
	}
	k.fails++
	if !k.health.OK && k.fails < checkTries {
		k.next = time.Now().Add(checkFirst)
	}
	if !k.health.OK || k.fails >= checkFails {
		k.health = plan.Health{Checked: true, Reason: "check fails: " + err.Error()}
	}
	return k.health != before
}

// probe is the real check: a TCP connection, or an HTTP answer of 200–399.
func probe(ctx context.Context, a netip.Addr, c host.Check) error {
	at := netip.AddrPortFrom(a, c.Port).String()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return fmt.Errorf("connect to port %d: %v", c.Port, err)
	}
	defer conn.Close()
	if c.Path == "" {
		return nil
	}
	// One request on the connection just made: http.Client would keep a pool for nothing.
	if d, ok := ctx.Deadline(); ok {
		conn.SetDeadline(d)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: hardnode-check\r\nConnection: close\r\n\r\n", c.Path, at); err != nil {
		return fmt.Errorf("ask port %d for %s: %v", c.Port, c.Path, err)
	}
	line := make([]byte, 12) // "HTTP/1.1 200"
	for n := 0; n < len(line); {
		m, err := conn.Read(line[n:])
		if n += m; err != nil && n < len(line) {
			return fmt.Errorf("ask port %d for %s: %v", c.Port, c.Path, err)
		}
	}
	var status int
	if _, err := fmt.Sscanf(string(line[8:]), "%d", &status); err != nil || !strings.HasPrefix(string(line), "HTTP/1.") {
		return fmt.Errorf("ask port %d for %s: it does not speak HTTP", c.Port, c.Path)
	}
	if status < 200 || status > 399 {
		return fmt.Errorf("ask port %d for %s: status %d %s", c.Port, c.Path, status, http.StatusText(status))
	}
	return nil
}
