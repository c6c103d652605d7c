package snapshot

import (
	"strings"
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		rule        Rule
		newest, now string
		want        bool
	}{
		{Rule{Hourly: 1}, "", "2026-11-27 10:00", true},
		{Rule{Hourly: 24, Daily: 7}, "2026-11-27 10:00", "2026-11-27 10:59", false},
		{Rule{Hourly: 24, Daily: 7}, "2026-11-27 10:59", "2026-11-27 11:00", true},
		{Rule{Hourly: 24}, "2026-11-26 10:30", "2026-11-27 10:30", true},
		{Rule{Daily: 7, Weekly: 4}, "2026-11-27 00:00", "2026-11-27 23:59", false},
		{Rule{Daily: 7}, "2026-11-27 23:59", "2026-11-28 00:00", true},
		{Rule{Daily: 7}, "2025-11-27 12:00", "2026-11-27 12:00", true},
		{Rule{Weekly: 4}, "2026-11-23 00:00", "2026-11-29 23:59", false}, // Monday to Sunday
		{Rule{Weekly: 4}, "2026-11-29 23:59", "2026-11-30 00:00", true},
		{Rule{Weekly: 4}, "2026-12-28 00:00", "2027-01-03 12:00", false}, // one week, of two years
		{Rule{Hourly: 1}, "2026-11-27 10:01", "2026-11-27 10:00", false},
		{Rule{Weekly: 1}, "2030-01-01 00:00", "2026-11-27 10:00", true}, // the clock was wrong
	} {
		at := func(s string) (when time.Time) {
			if s != "" {
				var err error
				if when, err = time.Parse("2006-01-02 15:04", s); err != nil {
					t.Fatal(err)
				}
			}
			return when
		}
		s := &Schedule{Rule: c.rule}
		if got := s.Due(at(c.newest), at(c.now)); got != c.want {
			t.Errorf("%+v, newest %q, at %s: due is %v", c.rule, c.newest, c.now, got)
		}
	}
	for want, s := range map[string]*Schedule{"": nil, "keeps none": {NoHook: true}, "daily -1": {Rule: Rule{Daily: -1, Hourly: 2}},
		"together are 49: want 48 at most": {Rule: Rule{Hourly: 24, Daily: 21, Weekly: 4}}} {
		if err := s.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", s, err, want)
		}
	}
	if err := (&Schedule{Rule: Rule{Hourly: 24, Daily: 20, Weekly: 4}}).Validate(); err != nil {
		t.Error(err)
	}
}
