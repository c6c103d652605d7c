// Package hot replaces programs while the machine runs, and goes back to those from before unless the others turn out well.
//
// Owns: the one order that is carried out, how far it is, and which programs ran before.
// In: orders; the word of the new agent that it is well; how the services are.
// Out: services that run other programs; a boot.Hot.
// Never: makes a root, judges whether a release may be hot (the agent does), or touches what is not among an order's programs.
//
//	order → replacing → trying → kept
//	            └──────────┴──→ back: one is not ready, ends again and again, or the agent does not keep them in time
package hot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"hardnode.dev/init/supervise"
	"hardnode.dev/internal/run"
	"hardnode.dev/internal/wire/boot"
)

// Service is a service whose program can be replaced.
type Service interface {
	Swap(ctx context.Context, program string) error
	Status() boot.ServiceStatus
}

// Options are what a Replacer needs.
type Options struct {
	Services func(name string) Service // nil: there is none of the name
	Dir      string                    // before the paths of orders; "" but in tests
	Tick     time.Duration             // how often services are looked at; 0 is 100 ms
	Say      func(format string, args ...any)
}

// Replacer carries out orders.
type Replacer struct {
	o      Options
	orders chan boot.HotOrder
	mu     struct {
		sync.Mutex
		hot   *boot.Hot
		under bool          // an order is carried out
		keep  chan struct{} // closed by Keep
	}
}

// New makes one.
func New(o Options) *Replacer {
	if o.Tick == 0 {
		o.Tick = 100 * time.Millisecond
	}
	return &Replacer{o: o, orders: make(chan boot.HotOrder, 1)}
}

// Bounds of an order.
const (
	// oneReady is how long one program may take to be ready. It is short for the agent's sake: a host without one is gone, for all others.
	oneReady = 30 * time.Second
	// mostEnds is how often a new program may end before it is given up.
	mostEnds = 3
)

// ErrBusy: another order is carried out.
var ErrBusy = errors.New("programs are being replaced already")

// Order takes an order, which Run carries out.
func (r *Replacer) Order(o boot.HotOrder) error {
	if err := o.Validate(); err != nil {
		return err
	}
	for _, name := range o.Programs {
		if r.o.Services(name) == nil {
			return fmt.Errorf("programs: %q is no service that runs here", name)
		}
		if st, err := os.Stat(r.program(o, name)); err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			return fmt.Errorf("programs: %q is no program of root %q", name, o.Root)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.under {
		return ErrBusy
	}
	next := boot.Hot{Release: o.Release, Root: o.Root, State: boot.HotReplacing}
	if r.mu.hot != nil {
		next.Runs = r.mu.hot.Runs
	}
	r.mu.hot, r.mu.under, r.mu.keep = &next, true, make(chan struct{})
	r.orders <- o
	return nil
}

func (r *Replacer) program(o boot.HotOrder, name string) string {
	return filepath.Join(r.o.Dir, o.Program(name))
}

// Keep says that the programs of the root, which are tried, are well.
func (r *Replacer) Keep(root string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.mu.hot
	if h == nil || h.Root != root || h.State != boot.HotTrying && h.State != boot.HotKept {
		return fmt.Errorf("keep programs of root %q: they are not tried", root)
	}
	if h.State == boot.HotTrying {
		r.mu.hot = &boot.Hot{Runs: h.Release, Release: h.Release, Root: h.Root, State: boot.HotKept}
		close(r.mu.keep)
	}
	return nil
}

// Status is how far it is; nil when nothing was ever ordered. It must not be changed.
func (r *Replacer) Status() *boot.Hot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.hot
}

// state makes another state of the order known, unless it is kept; false: it is.
func (r *Replacer) state(s boot.HotState, reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.hot.State == boot.HotKept {
		return false
	}
	next := *r.mu.hot
	next.State, next.Reason = s, reason
	r.mu.hot = &next
	return true
}

// Run carries out orders until ctx ends.
func (r *Replacer) Run(ctx context.Context) error {
	for {
		select {
		case o := <-r.orders:
			r.carry(ctx, o)
			r.mu.Lock()
			r.mu.under = false
			r.mu.Unlock()
		case <-ctx.Done():
			return nil
		}
	}
}

// was is a program that another one has taken the place of.
type was struct {
	name, program string
	restarts      int // when the other began
}

// carry replaces the programs of an order, and goes back if that does not come to a good end.
func (r *Replacer) carry(ctx context.Context, o boot.HotOrder) {
	r.o.Say("hot: release %s: %v are replaced", o.Release, o.Programs)
	began := time.Now()
	end := began.Add(time.Duration(o.WithinSec) * time.Second)
	done, err := r.replace(ctx, o, end)
	if err == nil {
		r.state(boot.HotTrying, "")
		err = r.try(ctx, done, end)
	}
	if ctx.Err() != nil {
		return // the machine is being left
	}
	if err == nil || !r.state(boot.HotReplacing, "going back: "+err.Error()) {
		r.o.Say("hot: release %s: its programs are kept (%s)", o.Release, time.Since(began).Round(time.Second/10))
		return
	}
	r.o.Say("hot: release %s: going back: %v", o.Release, err)
	reason := err.Error()
	for _, w := range slices.Backward(done) {
		if err := r.one(ctx, w.name, w.program, time.Now().Add(oneReady)); err != nil {
			r.o.Say("hot: go back: %v", err)
			reason += "; going back: " + err.Error()
		}
	}
	r.state(boot.HotBack, reason)
}

// replace replaces one program after the other. done are those that were begun.
func (r *Replacer) replace(ctx context.Context, o boot.HotOrder, end time.Time) (done []was, err error) {
	for _, name := range o.Programs {
		st := r.o.Services(name).Status()
		done = append(done, was{name, st.Program, st.Restarts})
		limit := time.Now().Add(oneReady)
		if end.Before(limit) {
			limit = end
		}
		if err := r.one(ctx, name, r.program(o, name), limit); err != nil {
			return done, err
		}
	}
	return done, nil
}

// one has a service run a program, and waits until that is ready.
func (r *Replacer) one(ctx context.Context, name, program string, limit time.Time) error {
	s := r.o.Services(name)
	before := s.Status().Restarts
	if err := s.Swap(ctx, program); err != nil {
		return err
	}
	for {
		st := s.Status()
		switch {
		case st.State == supervise.Ready && st.Program == program:
			return nil
		case st.Restarts-before >= mostEnds:
			return fmt.Errorf("%s: ended %d times, the last time: %s", name, st.Restarts-before, st.LastExit)
		case time.Now().After(limit):
			return fmt.Errorf("%s: not ready in time", name)
		case !run.Wait(ctx, r.o.Tick):
			return ctx.Err()
		}
	}
}

// try waits until the programs are kept.
func (r *Replacer) try(ctx context.Context, done []was, end time.Time) error {
	tick := time.NewTicker(r.o.Tick)
	defer tick.Stop()
	for {
		select {
		case <-r.mu.keep: // set before the order came, never while it is carried out
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for _, w := range done {
			if st := r.o.Services(w.name).Status(); st.Restarts-w.restarts >= mostEnds {
				return fmt.Errorf("%s: ended %d times, the last time: %s", w.name, st.Restarts-w.restarts, st.LastExit)
			}
		}
		if time.Now().After(end) {
			return errors.New("the new agent did not say in time that it is well")
		}
	}
}
