package supervise

import (
	"time"

	"hardnode.dev/internal/run"
)

const (
	// quick: an exit within this time of the start counts towards back-off; a later one is restarted at once.
	quick      = 10 * time.Second
	backoffMin = 250 * time.Millisecond
	backoffMax = 30 * time.Second
	// readyToEnd is how long a service that is started only to end in order may take to be ready.
	readyToEnd = 30 * time.Second
)

// next decides how long to wait before a restart: streak is how many quick exits came in a row before this one, lived how long the
// service ran. The first restart is at once; from the second quick exit on the wait doubles. It returns the new streak.
func next(streak int, lived time.Duration, spread float64) (wait time.Duration, newStreak int) {
	switch {
	case lived >= quick:
		return 0, 0
	case streak == 0:
		return 0, 1
	}
	return run.Backoff(streak-1, backoffMin, backoffMax, spread), streak + 1
}

// extended is when a service that is being stopped is killed: at end, or later when it asks for extend from now, but never more than most
// after it was told to stop.
func extended(began, end, now time.Time, extend, most time.Duration) time.Time {
	later := now.Add(extend)
	if last := began.Add(most); later.After(last) {
		later = last
	}
	if later.After(end) {
		return later
	}
	return end
}

// again says whether a service that did not end in order is started once more to do so, since after it was first told to: if it was
// promised time to work at its end, and enough of that is left for a start.
func again(since, most time.Duration) bool { return most-since > time.Second }
