package apply

import (
	"sync"
	"time"
)

// sayAgain is how often something that goes on and on is said again.
const sayAgain = 15 * time.Minute

// said keeps what is repeated each round from filling the log: it is said once, and then with a count. Its zero value is ready.
type said struct {
	mu struct {
		sync.Mutex
		at map[string]*remark
	}
}

type remark struct {
	text  string
	times int // heard in all
	last  time.Time
}

// news tells whether text is to be said of what key names: it is new, or was last said long ago. times is how often it was heard in a row.
func (s *said) news(key, text string, now time.Time) (times int, tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.at == nil {
		s.mu.at = map[string]*remark{}
	}
	r := s.mu.at[key]
	if r == nil || r.text != text {
		s.mu.at[key] = &remark{text, 1, now}
		return 1, true
	}
	r.times++
	if now.Sub(r.last) < sayAgain {
		return r.times, false
	}
	r.last = now
	return r.times, true
}

// over forgets what was said of key, and tells how often it was heard.
func (s *said) over(key string) (times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.mu.at[key]; r != nil {
		times = r.times
		delete(s.mu.at, key)
	}
	return times
}

// tells whether b says something a does not, counters and the seconds of a back-off aside.
func tells(a, b Report) bool {
	if a.Work != b.Work || a.Planned != b.Planned || a.Peers != b.Peers || len(a.Containers) != len(b.Containers) ||
		len(a.Problems) != len(b.Problems) {
		return true
	}
	for i := range a.Containers {
		x, y := a.Containers[i], b.Containers[i]
		if x.CTID != y.CTID || x.Generation != y.Generation || x.Boot != y.Boot || x.State != y.State || x.Restarts != y.Restarts ||
			x.Tuned != y.Tuned || movedOn(x.Move, y.Move) {
			return true
		}
	}
	return false
}
