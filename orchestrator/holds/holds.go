// Package holds knows what resolvers say of the nodes whose requests they hold.
//
// Owns: what each resolver has said last.
// In: what a resolver says with each poll for routes.
// Out: of a node, whether all resolvers that are there hold it, and how many requests are under way to it.
// Never: waits for a resolver: whoever asks has a bound of its own.
package holds

import (
	"sync"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/hold"
)

// Heard is how long a resolver counts since its last poll: a poll is held for half a minute.
const Heard = 45 * time.Second

// State is what is said of a node.
type State struct {
	There bool // there are resolvers
	Held  bool // each resolver that is there holds what comes for it; false if none is there
	Busy  int  // requests that are under way to it, of all resolvers
}

// Book is what resolvers say. The zero value has heard of none, nor does a nil Book ever. Its methods may be called at once.
type Book struct {
	mu struct {
		sync.Mutex
		said map[wire.CTID]said // by the resolver's own number
		over chan struct{}
	}
}

type said struct {
	at   time.Time
	busy map[wire.CTID]int // by the nodes that it holds
}

// Say notes what a resolver holds: all of it.
func (b *Book) Say(resolver wire.CTID, nodes []hold.Node, now time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.said == nil {
		b.mu.said = map[wire.CTID]said{}
	}
	s := said{at: now, busy: make(map[wire.CTID]int, len(nodes))}
	for _, n := range nodes {
		s.busy[n.CTID] = n.Busy
	}
	b.mu.said[resolver] = s
	for id, s := range b.mu.said {
		if now.Sub(s.at) > Heard {
			delete(b.mu.said, id)
		}
	}
	if len(nodes) > 0 && b.mu.over != nil {
		close(b.mu.over)
		b.mu.over = nil
	}
}

// Over is closed the next time that a resolver says that it holds something.
func (b *Book) Over() <-chan struct{} {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.over == nil {
		b.mu.over = make(chan struct{})
	}
	return b.mu.over
}

// Of is what is said of a node now.
func (b *Book) Of(id wire.CTID, now time.Time) State {
	if b == nil {
		return State{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var out State
	there, hold := 0, 0
	for _, s := range b.mu.said {
		if now.Sub(s.at) > Heard {
			continue
		}
		there++
		if busy, held := s.busy[id]; held {
			hold++
			out.Busy += busy
		}
	}
	out.There, out.Held = there > 0, there > 0 && hold == there
	return out
}
