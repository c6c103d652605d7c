package rollout

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/release"
)

// soaks are how long a cohort is watched, by the release's severity: the canary, then each other one.
var soaks = map[release.Severity]struct{ canary, other time.Duration }{
	release.Normal:   {30 * time.Minute, 15 * time.Minute},
	release.High:     {10 * time.Minute, 5 * time.Minute},
	release.Critical: {2 * time.Minute, time.Minute},
}

// What counts where a policy says nothing.
const (
	usualRestarts = 3
	usualHealth   = time.Minute
	usualBoot     = 10 * time.Minute
	oneOf         = 50 // hosts: of so many one may be visited, and one be away
	leastBoot     = 30 // seconds; what a host takes for an order
)

// severityOf is one that there is: another is taken for normal.
func severityOf(text string) release.Severity {
	s := release.Severity(text)
	if _, ok := soaks[s]; !ok {
		return release.Normal
	}
	return s
}

// Filled is a policy with what follows from the release's severity and the number of hosts.
func Filled(p operator.RolloutPolicy, severity string, hosts int, rules Rules) operator.RolloutPolicy {
	soak := soaks[severityOf(severity)]
	seconds := func(field *int64, d time.Duration) {
		if *field == 0 {
			*field = int64(rules.scaled(d) / time.Second)
		}
	}
	seconds(&p.CanarySoakSec, soak.canary)
	seconds(&p.SoakSec, soak.other)
	seconds(&p.HealthSec, usualHealth)
	seconds(&p.BootSec, usualBoot)
	if p.Away == 0 {
		p.Away = max(1, hosts/oneOf)
	}
	if p.Budget == 0 {
		p.Budget = hosts / oneOf
	}
	if p.Restarts == 0 {
		p.Restarts = usualRestarts
	}
	if p.Drain == "" {
		p.Drain = operator.DrainReplace
	}
	return p
}

// Check says all that is wrong with a policy, or nil.
func Check(p operator.RolloutPolicy) (err error) {
	for i, n := range p.Cohorts {
		if n < 1 {
			err = errors.Join(err, fmt.Errorf("cohorts[%d]: %d, want at least one host", i, n))
		}
	}
	for name, n := range map[string]int64{"away": int64(p.Away), "budget": int64(p.Budget), "restarts": int64(p.Restarts),
		"canarySoakSec": p.CanarySoakSec, "soakSec": p.SoakSec, "healthSec": p.HealthSec} {
		if n < 0 {
			err = errors.Join(err, fmt.Errorf("%s: %d is negative", name, n))
		}
	}
	if p.BootSec != 0 && p.BootSec < leastBoot {
		err = errors.Join(err, fmt.Errorf("bootSec: %d, want 0 or at least %d", p.BootSec, leastBoot))
	}
	if p.Drain != "" && p.Drain != operator.DrainReplace && p.Drain != operator.DrainStop {
		err = errors.Join(err, fmt.Errorf("drain: %q, want %s or %s", p.Drain, operator.DrainReplace, operator.DrainStop))
	}
	for i, w := range p.Windows {
		if e := checkWindow(w); e != nil {
			err = errors.Join(err, fmt.Errorf("windows[%d].%w", i, e))
		}
	}
	return err
}

// cohortSizes are the sizes of the cohorts of n hosts: the canary, then growing.
func cohortSizes(p operator.RolloutPolicy, n int) (sizes []int) {
	for next := 1; n > 0; n -= sizes[len(sizes)-1] {
		sizes = append(sizes, min(n, next))
		switch i := len(sizes) - 1; {
		case len(p.Cohorts) == 0:
			next *= 2
		default:
			next = p.Cohorts[min(i, len(p.Cohorts)-1)]
		}
	}
	return sizes
}

// soak is how long a cohort is watched.
func soak(p operator.RolloutPolicy, cohort int) time.Duration {
	if cohort == 1 {
		return time.Duration(p.CanarySoakSec) * time.Second
	}
	return time.Duration(p.SoakSec) * time.Second
}

// days are those of a week as windows name them; the index is a time.Weekday.
var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func checkWindow(w operator.RolloutWindow) error {
	for _, d := range w.Days {
		if !slices.Contains(days, d) {
			return fmt.Errorf("days: %q, want mon, tue, wed, thu, fri, sat or sun", d)
		}
	}
	for _, f := range []struct{ name, text string }{{"from", w.From}, {"to", w.To}} {
		if _, err := clock(f.text); err != nil {
			return fmt.Errorf("%s: %v", f.name, err)
		}
	}
	return nil
}

// clock is a time of the day.
func clock(text string) (time.Duration, error) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != 5 {
		return 0, fmt.Errorf("%q, want hh:mm in UTC such as 01:30", text)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// window tells whether visits may begin now, and when they may next if not. Without windows they always may.
func window(windows []operator.RolloutWindow, now time.Time) (open bool, next time.Time) {
	if len(windows) == 0 {
		return true, now
	}
	now = now.UTC()
	today := now.Truncate(24 * time.Hour)
	for day := -1; day <= 7; day++ {
		for _, w := range windows {
			begins := today.AddDate(0, 0, day)
			from, errFrom := clock(w.From)
			to, errTo := clock(w.To)
			if errFrom != nil || errTo != nil || len(w.Days) > 0 && !slices.Contains(w.Days, days[begins.Weekday()]) {
				continue
			}
			if to <= from {
				to += 24 * time.Hour
			}
			a, b := begins.Add(from), begins.Add(to)
			switch {
			case !now.Before(a) && now.Before(b):
				return true, now
			case a.After(now) && (next.IsZero() || a.Before(next)):
				next = a
			}
		}
	}
	return false, next
}
