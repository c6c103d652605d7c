package snapshot

import (
	"fmt"
	"time"

	"hardnode.dev/internal/wire"
)

// Schedule has a container's host take snapshots by itself while it runs, and delete those of them that the rule does not keep; others it
// leaves alone.
type Schedule struct {
	Rule
	NoHook bool `json:"noHook,omitempty"` // JEM's actions backup before and after are left out
}

// MaxScheduled is the most that a schedule may keep: so that there is room for those that are taken by hand.
const MaxScheduled = 48

// Validate says which number is wrong, or nil. A nil schedule is none.
func (s *Schedule) Validate() error {
	if s == nil {
		return nil
	}
	if err := s.Rule.Validate(); err != nil {
		return fmt.Errorf("schedule of snapshots: %w", err)
	}
	if n := s.Hourly + s.Daily + s.Weekly; n > MaxScheduled {
		return fmt.Errorf("schedule of snapshots: hourly, daily and weekly together are %d: want %d at most, of the %d that a node may "+
			"have", n, MaxScheduled, Max)
	}
	return nil
}

// Due tells whether one is to be taken now, the newest being of that time; zero: there is none. There is one in each hour, or, where the
// rule keeps none of hours, in each day or week. A newest one of the future, which a clock that was wrong has left, counts as none.
func (s *Schedule) Due(newest, now time.Time) bool {
	newest, now = newest.UTC(), now.UTC()
	if newest.IsZero() || newest.After(now.Add(time.Minute)) {
		return true
	}
	y, w := newest.ISOWeek()
	ny, nw := now.ISOWeek()
	switch {
	case s.Hourly > 0:
		return !newest.Truncate(time.Hour).Equal(now.Truncate(time.Hour))
	case s.Daily > 0:
		return newest.YearDay() != now.YearDay() || newest.Year() != now.Year()
	}
	return y != ny || w != nw
}

// ScheduleObject is that of a host's problem with a container's schedule.
func ScheduleObject(id wire.CTID) string { return "nodes/" + id.String() + "/snapshots/schedule" }
