package nameserver

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// How much is answered over UDP, whose senders nobody can tell: of one network, and of all. The first keeps the server from being turned
// against a network in whose name somebody asks, the second keeps time for pages. One in slip of what is too much is answered that there
// is an answer over TCP, for clients whose network somebody asks in the name of.
const (
	perSecond = 100
	burst     = 200
	allSecond = 10_000
	slip      = 2
)

// places is how many networks are told apart; those that share one share what it has. What is counted does not grow, whoever asks.
const places = 1 << 14

// verdict is what becomes of a packet.
type verdict int

const (
	answered verdict = iota
	shortened
	dropped
)

// rates are those of the last moments. The zero value is ready.
type rates struct {
	mu   sync.Mutex
	seed maphash.Seed
	of   []bucket
	all  bucket
}

type bucket struct {
	used float32 // of what it holds
	at   int64   // nanoseconds: used was true then
	over uint32  // how many came that were too many
}

// take takes one from a bucket, if there is one. A clock that went back gives nothing.
func (b *bucket) take(now int64, perSecond, burst float32) bool {
	if gone := now - b.at; gone > 0 {
		b.used = max(0, b.used-float32(float64(gone)/1e9)*perSecond)
	}
	b.at = now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}

// judge tells what becomes of one more packet of an address.
func (r *rates) judge(from netip.Addr, now time.Time) verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.seed, r.of = maphash.MakeSeed(), make([]bucket, places)
	}
	n := now.UnixNano()
	if !r.all.take(n, allSecond, allSecond) {
		return dropped
	}
	b := &r.of[maphash.Comparable(r.seed, network(from))%places]
	if b.take(n, perSecond, burst) {
		return answered
	}
	if b.over++; b.over%slip == 0 {
		return shortened
	}
	return dropped
}

// network is what counts as one: somebody who asks in others' names has them all.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p
}
