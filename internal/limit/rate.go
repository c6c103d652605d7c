package limit

import (
	"sync"
	"time"
)

// How many buckets are kept, and how many of one owner: what comes beyond them shares one, that of the owner first. A full bucket is as
// good as none, and is dropped before. Beside them there is one for each owner who has more than theirs, and one for all.
const (
	ratesMax   = 20000
	ratesOf    = 200
	ratesFirst = 1000 // beyond ratesMax, for who comes first
)

// Rate is what a bucket gets back and how much it holds. Both are over 0.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Ask is one bucket that a request takes from.
type Ask struct {
	Key  string // whose it is; keys of different kinds differ
	Of   string // who can make such keys: however many, others are not kept out by them; "": nobody
	Rate Rate

	First bool // it has a bucket of its own when others have none any more
}

// Room is what a bucket has after a request was let in or refused.
type Room struct {
	Ask  int           // which of the asks is the tightest
	Left int           // requests that may follow at once
	Wait time.Duration // until one more has room; 0 when Left is over 0

	Shared bool // the bucket is also that of others, for whom there was none of their own
}

// Rates are token buckets by key: a request takes one from each of those it asks, or none from any. The zero value with Now is ready.
type Rates struct {
	Now func() time.Time

	mu    sync.Mutex
	by    map[string]*bucket
	of    map[string]int // buckets by owner
	swept time.Time
}

type bucket struct {
	rate   Rate
	of     string
	has    float64
	at     time.Time // has was true then
	shared bool
}

// fill brings b to now. A clock that went back gives nothing and takes nothing.
func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.has = min(float64(b.rate.Burst), b.has+d.Seconds()*b.rate.PerSecond)
	}
	b.at = now
}

// Take lets a request in when each bucket has room for it. Room is that of the tightest bucket.
func (r *Rates) Take(asks ...Ask) (Room, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	for _, a := range asks {
		if r.by[a.Key] == nil && r.full(a) && (now.Sub(r.swept) >= time.Second || now.Before(r.swept)) {
			r.sweep(now) // before any of the buckets is looked at: none that this request takes from is dropped
		}
	}
	of := make([]*bucket, len(asks))
	ok := true
	for i, a := range asks {
		of[i] = r.bucket(a, now)
		ok = ok && of[i].has >= 1
	}
	var out Room
	for i, b := range of {
		if ok {
			b.has--
		}
		room := Room{Ask: i, Left: int(b.has), Shared: b.shared}
		if b.has < 1 {
			room.Wait = time.Duration((1 - b.has) / b.rate.PerSecond * float64(time.Second))
		}
		if i == 0 || room.Left < out.Left || room.Left == out.Left && room.Wait > out.Wait {
			out = room
		}
	}
	return out, ok
}

// full tells whether there is no new bucket for a. The lock is held.
func (r *Rates) full(a Ask) bool {
	return r.ofFull(a) || len(r.by) >= ratesMax && !(a.First && len(r.by) < ratesMax+ratesFirst)
}

func (r *Rates) ofFull(a Ask) bool { return a.Of != "" && r.of[a.Of] >= ratesOf }

// bucket is that of a, filled to now. The lock is held.
func (r *Rates) bucket(a Ask, now time.Time) *bucket {
	if r.by == nil {
		r.by, r.of = map[string]*bucket{}, map[string]int{}
	}
	shared := false
	if r.by[a.Key] == nil && r.full(a) {
		shared = true
		if r.ofFull(a) {
			a.Key, a.Of = "more of "+a.Of, ""
		} else {
			a.Key, a.Of = "", ""
		}
	}
	b := r.by[a.Key]
	if b == nil {
		b = &bucket{of: a.Of, has: float64(a.Rate.Burst), at: now, shared: shared}
		r.by[a.Key] = b
		if a.Of != "" {
			r.of[a.Of]++
		}
	}
	b.rate = a.Rate
	b.fill(now)
	return b
}

func (r *Rates) sweep(now time.Time) {
	r.swept = now
	for k, b := range r.by {
		if b.fill(now); b.has < float64(b.rate.Burst) {
			continue
		}
		delete(r.by, k)
		if b.of == "" {
			continue
		}
		if r.of[b.of]--; r.of[b.of] == 0 {
			delete(r.of, b.of)
		}
	}
}
