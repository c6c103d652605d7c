package snapshot

import (
	"fmt"
	"time"
)

// Rule says which snapshots stay: of the newest hours, days and weeks that have some, the newest one each. Weeks begin on Monday, in UTC.
type Rule struct {
	Hourly int `json:"hourly"`
	Daily  int `json:"daily"`
	Weekly int `json:"weekly"`
}

// Validate says which number is wrong, or nil.
func (r Rule) Validate() error {
	for name, n := range map[string]int{"hourly": r.Hourly, "daily": r.Daily, "weekly": r.Weekly} {
		if n < 0 || n > Max {
			return fmt.Errorf("%s %d: want 0 to %d", name, n, Max)
		}
	}
	if r.Hourly+r.Daily+r.Weekly == 0 {
		return fmt.Errorf("hourly, daily and weekly are 0: that keeps none; delete by name instead")
	}
	return nil
}

// Keeps says which of those that were taken at these times, the newest first, stay.
func (r Rule) Keeps(taken []time.Time) []bool {
	stays := make([]bool, len(taken))
	for _, k := range []struct {
		most int
		of   func(time.Time) string
	}{
		{r.Hourly, func(t time.Time) string { return t.Format("2006-01-02 15") }},
		{r.Daily, func(t time.Time) string { return t.Format("2006-01-02") }},
		{r.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, " ", w) }},
	} {
		last, n := "", 0
		for i, t := range taken {
			if period := k.of(t.UTC()); period != last && n < k.most {
				last, stays[i] = period, true
				n++
			}
		}
	}
	return stays
}
