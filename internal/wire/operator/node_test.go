package operator

import (
	"testing"
	"time"
)

// TestNote: the time of the next start is told in seconds, rounded up, while it is ahead.
func TestNote(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		reason string
		next   time.Time
		want   string
	}{
		{"exited with code 1", now.Add(3200 * time.Millisecond), "exited with code 1; next start in 4 s"},
		{"exited with code 1", now.Add(4 * time.Second), "exited with code 1; next start in 4 s"},
		{"exited with code 1", now, "exited with code 1"},
		{"exited with code 1", now.Add(-time.Hour), "exited with code 1"},
		{"exited with code 1", time.Time{}, "exited with code 1"},
		{"", now.Add(time.Millisecond), "next start in 1 s"},
		{"", time.Time{}, ""},
	} {
		if got := (Node{Reason: c.reason, NextStart: c.next}).Note(now); got != c.want {
			t.Errorf("%q at %s: got %q, want %q", c.reason, c.next, got, c.want)
		}
	}
}
