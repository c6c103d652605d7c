package users

import (
	"fmt"
	"sync"
	"time"

	"hardnode.dev/internal/wire/operator"
)

// The bounds on wrong passwords and codes, counted from before one is looked at until it is known to be right. Who guesses from one place
// gets few tries. Who guesses from many places can't lock a user out: the bound on all places together does not count those where the user
// signed in before.
var (
	ofPlaceAndUser = bound{10, 15 * time.Minute}
	ofPlace        = bound{40, 15 * time.Minute}
	ofUser         = bound{100, time.Hour} // of all places where they did not sign in before
)

// triesMax is how many places and users are remembered; beyond them, all others together are one.
const triesMax = 20000

// bound is so many tries in a time, from the first of them.
type bound struct {
	most int
	in   time.Duration
}

// tries counts what may be a guess.
type tries struct {
	mu struct {
		sync.Mutex
		by map[string]*try
	}
}

type try struct {
	n   int
	end time.Time // of the time that they are counted in
}

// begin counts a try at a user (by the key of their record, which need not be there) from a place, or is the Problem to send in its place.
// right takes it back.
func (t *tries) begin(now time.Time, user, place string, known bool) (right func(), p *operator.Problem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(now)
	type counted struct {
		key string
		bound
	}
	all := []counted{{"both " + user + " " + place, ofPlaceAndUser}, {"place " + place, ofPlace}}
	if !known {
		all = append(all, counted{"user " + user, ofUser})
	}
	took := make([]*try, len(all))
	for i, c := range all {
		x := t.of(c.key, now, c.in)
		if x.n >= c.most {
			after := x.end.Sub(now)
			return nil, operator.TooMany("session", "too many wrong passwords or codes", fmt.Sprintf("try again in %s",
				after.Round(time.Second)), after)
		}
		took[i] = x
	}
	for _, x := range took {
		x.n++
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		took[0].n = 0
		for _, x := range took[1:] {
			x.n = max(0, x.n-1)
		}
	}, nil
}

// forget makes room. The lock is held.
func (t *tries) forget(now time.Time) {
	if len(t.mu.by) < triesMax {
		return
	}
	for k, x := range t.mu.by {
		if !now.Before(x.end) {
			delete(t.mu.by, k)
		}
	}
}

// of is what is counted under a key. The lock is held.
func (t *tries) of(key string, now time.Time, in time.Duration) *try {
	if t.mu.by == nil {
		t.mu.by = map[string]*try{}
	}
	x := t.mu.by[key]
	if x == nil {
		if len(t.mu.by) >= triesMax {
			key = "others " + in.String()
			x = t.mu.by[key]
		}
		if x == nil {
			x = &try{}
			t.mu.by[key] = x
		}
	}
	if !now.Before(x.end) {
		x.n, x.end = 0, now.Add(in)
	}
	return x
}
