package limit

import (
	"sync"
	"time"
)

// How many buckets are kept, and how many of one owner: what comes beyond them shares one, that of the owner first. A full bucket is as
// good as none, and is dropped before.
const (
	ratesMax = 20000
	ratesOf  = 200
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
}

// Room is what a bucket has after a request was let in or refused.
type Room struct {
	Ask  int           // which of the asks is the tightest
	Left int           // requests that may follow at once
	Wait time.Duration // until one more has room; 0 when Left is over 0
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
	rate Rate
	of   string
	has  float64
	at   time.Time // has was true then
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
		room := Room{Ask: i, Left: int(b.has)}
		if b.has < 1 {
			room.Wait = time.Duration((1 - b.has) / b.rate.PerSecond * float64(time.Second))
		}
		if i == 0 || room.Left < out.Left || room.Left == out.Left && room.Wait > out.Wait {
			out = room
		}
	}
	return out, ok
}

// bucket is that of a, filled to now. The lock is held.
func (r *Rates) bucket(a Ask, now time.Time) *bucket {
	if r.by == nil {
		r.by, r.of = map[string]*bucket{}, map[string]int{}
	}
	full := func() bool { return len(r.by) >= ratesMax || a.Of != "" && r.of[a.Of] >= ratesOf }
	if r.by[a.Key] == nil && full() {
		if now.Sub(r.swept) >= time.Second || now.Before(r.swept) {
			r.sweep(now)
		}
		switch {
		case a.Of != "" && r.of[a.Of] >= ratesOf:
			a.Key, a.Of = "more of "+a.Of, ""
		case len(r.by) >= ratesMax:
			a.Key, a.Of = "", ""
		}
	}
	b := r.by[a.Key]
	if b == nil {
		b = &bucket{of: a.Of, has: float64(a.Rate.Burst), at: now}
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
