// Package health asks running containers whether they serve, as their check says.
//
// Owns: which containers are under check, when each is asked next, what its answers mean.
// In: what is wanted and what runs; the containers' answers over TCP and HTTP.
// Out: plan.Health of each; a hint when one changes.
// Never: restarts a container, or lets one that does not answer hold up the others.
package health

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Checker keeps asking the containers it is told to watch. New makes one; its methods may be called at once.
type Checker struct {
	check    func(context.Context, netip.Addr, host.Check) error
	hint     func()
	pressure func() host.Pressure
	changed  chan struct{} // there is something to look at sooner than was thought

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
	standing
}

// New makes a Checker that Run starts. check asks one container, Probe outside tests; hint is called when a container's health has changed;
// pressure is the host's now.
func New(check func(context.Context, netip.Addr, host.Check) error, hint func(), pressure func() host.Pressure) *Checker {
	c := &Checker{check: check, hint: hint, pressure: pressure, changed: make(chan struct{}, 1)}
	c.mu.at = map[wire.CTID]*checked{}
	return c
}

// Watch makes the containers under check those of work that run and have one. A nil work has none.
func (c *Checker) Watch(work *host.Work, seen map[wire.CTID]plan.Seen, now time.Time) {
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
				c.look()
			}
		}
	}
	for id := range c.mu.at {
		if !keep[id] {
			delete(c.mu.at, id)
		}
	}
}

// Results is the health of each container under check.
func (c *Checker) Results() map[wire.CTID]plan.Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[wire.CTID]plan.Health, len(c.mu.at))
	for id, k := range c.mu.at {
		out[id] = k.health
	}
	return out
}

// Run asks each container that is due, as many at the same time as the host's pressure allows (plan.Checks), until ctx ends; then it waits
// for the answers.
func (c *Checker) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		waiting, asked, next := c.due(time.Now())
		if len(waiting) == 0 { // how busy the host is costs reading
			c.rest(ctx, next)
			continue
		}
		atOnce, patience := plan.Checks(c.pressure())
		for _, k := range c.begin(waiting, atOnce-asked) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, timeout*time.Duration(patience))
				defer cancel()
				err := c.check(ctx, k.addr, k.check)
				if c.took(k, err, time.Now()) {
					c.hint()
				}
			})
		}
		c.rest(ctx, first)
	}
}

// rest waits for as long, or until there is something to look at sooner.
func (c *Checker) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-c.changed:
	case <-t.C:
	}
}

// look has Run look again.
func (c *Checker) look() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// due are the containers to be asked now, those first that wait the longest, and how many are being asked; and when there are none, how
// long to rest: they are asked together, so that many that are well cost no more wakeups than one.
func (c *Checker) due(now time.Time) (waiting []*checked, asked int, next time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = time.Minute // one that comes has it end
	for _, k := range c.mu.at {
		switch {
		case k.asking:
			asked++
		case !now.Before(k.next):
			waiting = append(waiting, k)
		default:
			next = min(next, k.next.Sub(now))
		}
	}
	slices.SortFunc(waiting, func(a, b *checked) int { return a.next.Compare(b.next) })
	if next = max(next, first); asked > 0 { // their turn is not known yet
		next = first
	}
	return waiting, asked, next
}

// begin notes that the first few are being asked.
func (c *Checker) begin(waiting []*checked, most int) []*checked {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := waiting[:max(0, min(len(waiting), most))]
	for _, k := range out {
		k.asking = true
	}
	return out
}

// took notes an answer; true when the container's health changed.
func (c *Checker) took(k *checked, err error, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := k.health
	k.asking, k.standing = false, k.standing.after(err, k.check, now)
	if again := k.next.Sub(now); again < first {
		time.AfterFunc(again, c.look)
	}
	return k.health != before
}
