package blocks

import (
	"fmt"
	"net/netip"
)

// Ledger is which blocks of a range are in use, and how often: by a host that has it, by each node with an address in it. It belongs to one
// caller at a time. The zero value has no range.
type Ledger struct {
	range4 netip.Prefix
	used   map[netip.Prefix]int
	inside int // of used, those with a number from 1 on
}

// Within sets the range.
func (l *Ledger) Within(range4 netip.Prefix) {
	if l.range4 == range4 {
		return
	}
	l.range4, l.inside = range4, 0
	for b := range l.used {
		l.inside += l.counts(b)
	}
}

func (l *Ledger) counts(b netip.Prefix) int {
	if n, ok := number(l.range4, b); !ok || n == 0 {
		return 0
	}
	return 1
}

// Use counts uses of a block more, or fewer; the zero Prefix is none.
func (l *Ledger) Use(block netip.Prefix, by int) {
	if !block.IsValid() {
		return
	}
	if l.used == nil {
		l.used = map[netip.Prefix]int{}
	}
	was := l.used[block]
	switch now := was + by; {
	case now <= 0:
		delete(l.used, block)
		if was > 0 {
			l.inside -= l.counts(block)
		}
	default:
		if l.used[block] = now; was == 0 {
			l.inside += l.counts(block)
		}
	}
}

// Len is how many blocks are in use, those outside the range too.
func (l *Ledger) Len() int { return len(l.used) }

// Free is how many blocks can be given.
func (l *Ledger) Free() int { return max(0, Count(l.range4)-1-l.inside) }

// Give is a block that is not in use and has not been given, and what to call it with next time. next is how many were given before, and
// grows with each: all others are given before one that somebody had is given again. False: there is none.
func (l *Ledger) Give(next int, given map[netip.Prefix]bool) (n int, block netip.Prefix, then int, ok bool) {
	all, next := Count(l.range4), max(1, next)
	free := func(n int) bool {
		block, _, _ = Of(l.range4, netip.Prefix{}, n)
		return l.used[block] == 0 && !given[block]
	}
	for n := next; n < all; n++ {
		if free(n) {
			return n, block, n + 1, true
		}
	}
	for n := 1; n < min(next, all); n++ {
		if free(n) {
			return n, block, next + 1, true
		}
	}
	return 0, netip.Prefix{}, next, false
}

// Exhausted says of a range that it has no block left.
func Exhausted(range4 netip.Prefix) string {
	return fmt.Sprintf("range %s has no block of addresses left: all %d are used", range4, Count(range4))
}

// Again is what can be done about that.
const Again = "remove hosts that are gone (hnctl host remove): their blocks are used again; or found another cluster"
