//go:build qemu

package components

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hardnode.dev/internal/run"
)

// work is all that goes on while components are patched.
type work struct {
	pages, writes *load
	names         *names
}

// cost is what became of it.
type cost struct {
	pages, writes tally
	asked, lost   int // names
}

func (w work) end() cost {
	c := cost{pages: w.pages.end(), writes: w.writes.end()}
	c.asked, c.lost = w.names.end()
	return c
}

// String is for a line that begins with "figure:".
func (c cost) String() string {
	return fmt.Sprintf("%d of %d pages lost, the longest took %.1f s; %d of %d answers of DNS lost; the longest time without a write to "+
		"the API %.1f s, in all %.1f s of %d writes that failed", len(c.pages.lost), c.pages.all, c.pages.took.Seconds(), c.lost, c.asked,
		c.writes.gap.Seconds(), c.writes.away.Seconds(), len(c.writes.lost))
}

// noneLost fails the test if a page or a name was.
func (c cost) noneLost(t *testing.T) {
	t.Helper()
	if n := len(c.pages.lost); n > 0 || c.pages.all == 0 {
		t.Errorf("of %d pages %d were lost: %q", c.pages.all, n, c.pages.lost[:min(n, 20)])
	}
	if c.lost > 0 || c.asked == 0 {
		t.Errorf("of %d names %d were not answered", c.asked, c.lost)
	}
	n := len(c.writes.lost)
	if c.writes.all == n {
		t.Errorf("none of %d writes succeeded", n)
	}
	t.Logf("the first writes that failed: %q", c.writes.lost[:min(n, 3)])
}

// load is something done again and again.
type load struct {
	stop context.CancelFunc
	work sync.WaitGroup
	mu   struct {
		sync.Mutex
		tally
		last time.Time // success
	}
}

// tally is what became of a load.
type tally struct {
	all  int
	lost []string
	took time.Duration // the longest that succeeded
	gap  time.Duration // the longest between two that succeeded
	away time.Duration // all such times in which one failed
	fell bool          // one failed since the last that succeeded
}

// begin does something every so often, at most so many at once.
func begin(t *testing.T, every time.Duration, most int, do func(context.Context, int) error) *load {
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	began, room := time.Now(), make(chan struct{}, most)
	l.mu.last = began
	l.work.Go(func() {
		for n := 0; run.Wait(ctx, every); n++ {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			l.work.Go(func() {
				defer func() { <-room }()
				at := time.Now()
				err := do(context.WithoutCancel(ctx), n)
				l.did(at.Sub(began), time.Since(at), err)
			})
		}
	})
	t.Cleanup(stop)
	return l
}

func (l *load) did(at, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.all++
	if err != nil {
		l.mu.lost, l.mu.fell = append(l.mu.lost, fmt.Sprintf("+%.1f s: %v", at.Seconds(), err)), true
		return
	}
	now := time.Now()
	gap := now.Sub(l.mu.last)
	if l.mu.fell {
		l.mu.away += gap
	}
	l.mu.took, l.mu.gap, l.mu.last, l.mu.fell = max(l.mu.took, took), max(l.mu.gap, gap), now, false
}

// end ends it.
func (l *load) end() tally {
	l.stop()
	l.work.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.tally
}

// names asks for a node by its name in a container: what serves DNS there is its host's agent.
type names struct {
	stop context.CancelFunc
	work sync.WaitGroup
	said bytes.Buffer // the loop's own until end
}

// asks is run in the container for some seconds at a time: each command ends with the session that began it, and the sessions go through
// the orchestrator.
const asks = `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
if wget -q -O /dev/null http://node%s.hello.internal/; then echo answered; else echo lost; fi; sleep 0.5; done`

func (c *platform) ask(t *testing.T, node string) *names {
	ctx, stop := context.WithCancel(t.Context())
	n := &names{stop: stop}
	n.work.Go(func() {
		for ctx.Err() == nil {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			if err := c.HNCTLTo(ctx, &n.said, "node", "exec", node, "--", "sh", "-c", fmt.Sprintf(asks, node)); err != nil {
				run.Wait(ctx, time.Second) // the API is away
			}
			cancel()
		}
	})
	t.Cleanup(stop)
	return n
}

func (n *names) end() (asked, lost int) {
	n.stop()
	n.work.Wait()
	lost = strings.Count(n.said.String(), "lost\n")
	return lost + strings.Count(n.said.String(), "answered\n"), lost
}
