package operator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// mostSince is the longest way back that makes sense: nothing of the platform is older.
const mostSince = 10 * 365 * 24 * time.Hour

// ParseSince reads a moment in the past: how long ago (Go's durations, and days: 90s, 15m, 2h30m, 7d), a time (RFC 3339), or a date, which
// begins in UTC. The error says what is wrong and what is wanted.
func ParseSince(text string, now time.Time) (time.Time, error) {
	if d, err := parseAgo(text); err == nil {
		if d < 0 || d > mostSince {
			return time.Time{}, fmt.Errorf("%q is no time in the past: give 0s to 3650d", text)
		}
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		t, err := time.Parse(layout, strings.ToUpper(text))
		switch {
		case err != nil:
			continue
		case t.After(now.Add(time.Minute)): // clocks differ
			return time.Time{}, fmt.Errorf("%q is in the future", text)
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time: give how long ago, such as 15m, 2h or 7d, or a time such as %s", text,
		now.UTC().Format(time.RFC3339))
}

func parseAgo(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, err
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 {
		return 0, fmt.Errorf("%q", rest)
	}
	return d + more, nil
}
