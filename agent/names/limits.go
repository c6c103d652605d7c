package names

import (
	"net/netip"
	"sync"
	"time"
)

// What one container may ask. There is no other cost than these: nothing is kept of an answer.
const (
	perSecond = 500 // queries, on average
	burst     = 1000
	waiting   = 512 // queries of all that wait for other servers; each holds a socket
	fewest    = 2   // of them anybody may have while there is room
	callers   = 4096
	tellEvery = time.Minute
)

// limits count by caller: a container can't send from another address than its own. The zero value is ready.
type limits struct {
	mu      sync.Mutex
	by      map[netip.Addr]*share
	waiting int
}

// share is one caller's.
type share struct {
	tokens  float64 // queries it may ask at once
	at      time.Time
	waiting int
	dropped int // since it was told of last
	told    time.Time
}

// ask takes one query of a caller's, if it has one left.
func (l *limits) ask(a netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.share(a, now)
	if s == nil {
		return false
	}
	s.tokens = min(burst, s.tokens+now.Sub(s.at).Seconds()*perSecond)
	s.at = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

// drop counts a query that was not answered. tell is how many there were, when that is to be logged: at the first one, then each minute.
func (l *limits) drop(a netip.Addr, now time.Time) (tell int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.by[a]
	if s == nil {
		return 0
	}
	s.dropped++
	if now.Sub(s.told) < tellEvery {
		return 0
	}
	tell, s.dropped, s.told = s.dropped, 0, now
	return tell
}

// share finds a caller's share, or makes it. Those that have been silent long enough to have all of theirs again make room; nil: there is
// none.
func (l *limits) share(a netip.Addr, now time.Time) *share {
	if s := l.by[a]; s != nil {
		return s
	}
	if len(l.by) >= callers {
		for k, s := range l.by {
			if s.waiting == 0 && s.tokens+now.Sub(s.at).Seconds()*perSecond >= burst {
				delete(l.by, k)
			}
		}
		if len(l.by) >= callers {
			return nil
		}
	}
	if l.by == nil {
		l.by = map[netip.Addr]*share{}
	}
	s := &share{tokens: burst, at: now}
	l.by[a] = s
	return s
}

// enter takes a place among those who wait for another server; leave gives it back. A caller may have an eighth of the places that are
// free: the fuller it is the less, so that even many greedy ones leave room for the next.
func (l *limits) enter(a netip.Addr) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.by[a]
	if free := waiting - l.waiting; s == nil || free == 0 || s.waiting >= max(fewest, free/8) {
		return nil, false
	}
	s.waiting++
	l.waiting++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		s.waiting--
		l.waiting--
	}, true
}
