package limit

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Places are what requests hold while they are at work. As long as one is free, and its owner holds fewer than they may, a request takes it
// at once; a place that becomes free goes to the one of those who wait that holds the fewest. So an owner who sends many requests, however
// slow they are, keeps nobody else waiting for longer than the others' own take. Its number does not change after the first Enter.
type Places struct {
	All int

	mu      sync.Mutex
	taken   int
	held    map[string]int // by owner
	parts   map[part]int
	waiting []*waiter // in the order of their coming
}

// Holder is who takes a place.
type Holder struct {
	Name string
	Most int // that it may hold
	Kept int // that it leaves free for others

	Part       string // of the owner: one token or session
	MostOfPart int    // that Part may hold of the owner's; 0: all
}

type part struct{ owner, part string }

func (h Holder) of() part { return part{h.Name, h.Part} }

type waiter struct {
	Holder
	has   bool // it was given one
	given chan struct{}
}

// Enter waits for a place for h, until ctx ends or so much time has passed. One that was given is given back by leave, once.
func (p *Places) Enter(ctx context.Context, h Holder, wait time.Duration) (leave func(), ok bool) {
	w := &waiter{Holder: h, given: make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, w)
	p.give()
	has := w.has
	p.mu.Unlock()
	if !has {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-w.given:
		case <-t.C:
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.has { // whatever ended the wait, what was given counts
		p.waiting = slices.DeleteFunc(p.waiting, func(o *waiter) bool { return o == w })
		return nil, false
	}
	return func() { p.leave(h) }, true
}

func (p *Places) leave(h Holder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.held[h.Name]--; p.held[h.Name] == 0 {
		delete(p.held, h.Name)
	}
	if p.parts[h.of()]--; p.parts[h.of()] == 0 {
		delete(p.parts, h.of())
	}
	p.give()
}

// Holds is how many places somebody has.
func (p *Places) Holds(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[name]
}

// HoldsPart is how many of them a part of somebody has.
func (p *Places) HoldsPart(h Holder) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.parts[h.of()]
}

// give gives the free places to those who wait. The lock is held.
func (p *Places) give() {
	for at := p.next(); at >= 0; at = p.next() {
		w := p.waiting[at]
		p.waiting = slices.Delete(p.waiting, at, at+1)
		if p.held == nil {
			p.held, p.parts = map[string]int{}, map[part]int{}
		}
		p.taken++
		p.held[w.Name]++
		p.parts[w.of()]++
		w.has = true
		close(w.given)
	}
}

// next is the place in the queue of who gets the next free place: of those who may have it, the first of the owner that holds the fewest;
// -1: nobody.
func (p *Places) next() int {
	best := -1
	for i, w := range p.waiting {
		if w.MostOfPart > 0 && p.parts[w.of()] >= w.MostOfPart || p.held[w.Name] >= w.Most || p.taken >= p.All-w.Kept {
			continue
		}
		if best < 0 || p.held[w.Name] < p.held[p.waiting[best].Name] {
			best = i
		}
	}
	return best
}
