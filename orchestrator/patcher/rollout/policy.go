package rollout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
	if p.Method == "" {
		p.Method = operator.MethodReboot
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
	switch p.Method {
	case "", operator.MethodReboot, operator.MethodKexec, operator.MethodHot, operator.MethodAuto:
	default:
		err = errors.Join(err, fmt.Errorf("method: %q, want %s, %s, %s or %s", p.Method, operator.MethodReboot, operator.MethodKexec,
			operator.MethodHot, operator.MethodAuto))
	}
	for i, w := range p.Windows {
		if _, e := parseWindow(w); e != nil {
			err = errors.Join(err, fmt.Errorf("windows[%d]: %w", i, e))
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

// span is a time of the week in UTC: on these days (none: on each) from one time of the day to another.
type span struct {
	days     []string
	from, to time.Duration
}

// parseWindow reads a window, such as "01:00-05:00" or "sat,sun 22:00-04:00", which ends on the next day.
func parseWindow(text string) (w span, err error) {
	names, hours, ok := strings.Cut(text, " ")
	if !ok {
		names, hours = "", names
	}
	if names != "" {
		w.days = strings.Split(names, ",")
	}
	for _, d := range w.days {
		if !slices.Contains(days, d) {
			return w, fmt.Errorf("%q: day %q, want mon, tue, wed, thu, fri, sat or sun", text, d)
		}
	}
	from, to, ok := strings.Cut(hours, "-")
	if !ok {
		return w, fmt.Errorf("%q: want hours such as 01:00-05:00, or days and hours such as sat,sun 22:00-04:00", text)
	}
	var errTo error
	w.from, err = clock(from)
	w.to, errTo = clock(to)
	if err = errors.Join(err, errTo); err != nil {
		return w, fmt.Errorf("%q: %w", text, err)
	}
	if w.to <= w.from {
		w.to += 24 * time.Hour
	}
	return w, nil
}

// clock is a time of the day.
func clock(text string) (time.Duration, error) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != 5 {
		return 0, fmt.Errorf("%q is no time of the day such as 01:30", text)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// window tells whether visits may begin now, and when they may next if not. Without windows they always may.
func window(windows []string, now time.Time) (open bool, next time.Time) {
	if len(windows) == 0 {
		return true, now
	}
	now = now.UTC()
	today := now.Truncate(24 * time.Hour)
	for _, text := range windows {
		w, err := parseWindow(text)
		if err != nil {
			continue // Check refused it
		}
		for day := -1; day <= 7; day++ {
			begins := today.AddDate(0, 0, day)
			if len(w.days) > 0 && !slices.Contains(w.days, days[begins.Weekday()]) {
				continue
			}
			switch from, to := begins.Add(w.from), begins.Add(w.to); {
			case !now.Before(from) && now.Before(to):
				return true, now
			case from.After(now) && (next.IsZero() || from.Before(next)):
				next = from
			}
		}
	}
	return false, next
}
