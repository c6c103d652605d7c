package license

import (
	"errors"
	"fmt"
	"time"
)

// State is where a licence stands.
type State string

// The states, in the order time takes them. Only StateNone, StateLimited and StateExpired limit anything, and then only what is added:
// new hosts and new environments. Nothing that runs is ever stopped, and backup, restore, export, login and security updates go on.
//
//	         lease or licence ends         3 days           30 days
//	active ───────────────────────▶ due ─────────▶ grace ──────────▶ limited (lease) or expired (licence)
//	   ▲                             │               │                  │
//	   └──────────── a new lease, or a new licence ──┴──────────────────┘
const (
	StateNone    State = "none"    // no licence, or none that verifies
	StateActive  State = "active"  // all is well
	StateDue     State = "due"     // should have been renewed: nobody is bothered yet
	StateGrace   State = "grace"   // a banner asks for renewal
	StateLimited State = "limited" // the JLS has not been reached for too long
	StateExpired State = "expired" // the licence itself ended, and so did its grace
)

// How long each state lasts. All are lower bounds on what a customer gets.
const (
	LeaseFor   = 14 * 24 * time.Hour // a lease; also how long a new licence runs before its first lease
	RenewEvery = 24 * time.Hour
	DueFor     = 3 * 24 * time.Hour
	GraceFor   = 30 * 24 * time.Hour
)

// MayGrow tells whether hosts and environments may be added.
func (s State) MayGrow() bool { return s == StateActive || s == StateDue || s == StateGrace }

// Standing is what is remembered between two looks at the licence; the zero value is "never looked". Store it.
type Standing struct {
	License string    `json:"license"`          // ID of the licence it is about
	Since   time.Time `json:"since,omitzero"`   // when that licence was first seen
	Seen    time.Time `json:"seen,omitzero"`    // the latest time believed: no clock that is set back undoes it
	Synced  time.Time `json:"synced,omitzero"`  // Issued of the newest lease: the last time told by the JLS
	State   State     `json:"state"`            // where it stands
	Until   time.Time `json:"until,omitzero"`   // when the state changes by itself; zero: never
	Reason  string    `json:"reason,omitempty"` // why, for a person; "" when active
}

// Input is what one look sees.
type Input struct {
	Now     time.Time     // the clock
	Elapsed time.Duration // monotonic time since the last look; 0 right after a start
	License License       // as Verify returned it, also with ErrExpired
	Err     error         // what Verify returned; ErrExpired and ErrNotYet are judged here, by the time believed
	Lease   Lease         // the newest lease that verified (also one that has ended); zero if none yet
	Refused string        // why the JLS refused the last renewal; "" if it did not
}

// Next is the standing after a look. It is pure.
//
// Time never runs backwards in it: with the clock set back, time goes on from the latest believed one by the monotonic clock. A clock
// that was once wrong in the future is forgiven by the next lease, which carries the JLS's time.
func (s Standing) Next(in Input) Standing {
	now := s.believed(in)
	if reason := in.unusable(now); reason != "" {
		next := s
		next.Seen, next.State, next.Until, next.Reason = now, StateNone, time.Time{}, reason
		return next
	}
	next := Standing{License: in.License.ID, Since: s.Since, Seen: now, Synced: s.Synced}
	if s.License != in.License.ID || s.Since.IsZero() {
		next.Since = now
	}
	if in.Lease.Issued.After(s.Synced) {
		next.Synced = in.Lease.Issued
	}
	leased := later(in.leased(), next.Since.Add(LeaseFor))
	end, why, last := leased, "the JLS has not renewed the lease", StateLimited
	if in.Refused != "" {
		why = "the JLS refuses to renew the lease: " + in.Refused
	}
	good := end
	if in.License.Expires.Before(end) {
		end = in.License.Expires
	}
	if !now.Before(in.License.Expires) {
		good, why, last = in.License.Expires, "the licence ended", StateExpired
	}
	next.State, next.Until = stateAt(now, end, last)
	if next.State != StateActive {
		next.Reason = fmt.Sprintf("%s; it was good until %s", why, stamp(good))
	} else if in.Refused != "" {
		next.Reason = why
	}
	return next
}

func (in Input) unusable(now time.Time) string {
	switch {
	case in.Err != nil && !errors.Is(in.Err, ErrExpired) && !errors.Is(in.Err, ErrNotYet):
		return in.Err.Error()
	case in.License.ID == "":
		return "no licence"
	case now.Add(MaxClockDrift).Before(in.License.Issued):
		return fmt.Sprintf("licence %s: %v: it was issued at %s, the clock says %s", in.License.ID, ErrNotYet, stamp(in.License.Issued),
			stamp(now))
	}
	return ""
}

// leased is the end of the newest lease, if it is for this licence.
func (in Input) leased() time.Time {
	if in.Lease.License != in.License.ID {
		return time.Time{}
	}
	return in.Lease.Expires
}

// believed is the time taken for now.
func (s Standing) believed(in Input) time.Time {
	floor := s.Seen.Add(in.Elapsed)
	if s.Seen.IsZero() {
		floor = s.Seen
	}
	if in.Lease.Issued.After(s.Synced) {
		floor = in.Lease.Issued // a new lease tells the time: forget what was believed before it
	}
	return later(in.Now, floor)
}

func stateAt(now, end time.Time, last State) (State, time.Time) {
	due, grace := end.Add(DueFor), end.Add(DueFor+GraceFor)
	switch {
	case now.Before(end):
		return StateActive, end
	case now.Before(due):
		return StateDue, due
	case now.Before(grace):
		return StateGrace, grace
	}
	return last, time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
