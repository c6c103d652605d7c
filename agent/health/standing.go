package health

import (
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire/host"
)

// Checks run often until the first success, most of all at first, since whoever asked for a container waits for it; then less often. So
// many failures in a row make a container that was well failing. One that goes on failing is asked less often too: a host with too much to
// do must not be given more by its checks.
const (
	quick   = 50 * time.Millisecond // after the first failure; then twice as long each time, up to
	first   = 250 * time.Millisecond
	later   = 2 * time.Second
	timeout = 2 * time.Second // of one question, on a host that is not busy
	fails   = 3
	tries   = 20
)

// standing is what the answers so far mean for one container.
type standing struct {
	next   time.Time // when it is asked again
	fails  int       // failures in a row
	health plan.Health
}

// after is the standing once the container has answered; err is why its check failed, nil that it passed.
func (s standing) after(err error, c host.Check, now time.Time) standing {
	if err == nil {
		pause := later
		if c.Every > 0 { // when it begins to fail, it is asked at the usual pace
			pause = time.Duration(c.Every) * time.Second
		}
		return standing{next: now.Add(pause), health: plan.Health{Checked: true, OK: true}}
	}
	s.fails++
	s.next = now.Add(later)
	if !s.health.OK && s.fails < tries {
		s.next = now.Add(min(first, quick<<min(s.fails-1, 8)))
	}
	if !s.health.OK || s.fails >= fails {
		s.health = plan.Health{Checked: true, Reason: "check fails: " + err.Error()}
	}
	return s
}
