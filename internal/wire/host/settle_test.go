package host

import (
	"fmt"
	"testing"
	"time"
)

var sent = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestSettle: what an earlier host counts down becomes a constant reason and a moment.
func TestSettle(t *testing.T) {
	for _, c := range []struct {
		reason string
		next   time.Time
		want   string
		at     time.Time
	}{
		{"exited with code 1; next start in 4.3s", time.Time{}, "exited with code 1", sent.Add(4300 * time.Millisecond)},
		{"no memory; next start in 500ms", time.Time{}, "no memory", sent.Add(500 * time.Millisecond)},
		{"exited with code 1; next start in a while", time.Time{}, "exited with code 1", time.Time{}},
		{"exited with code 1", sent.Add(time.Second), "exited with code 1", sent.Add(time.Second)},
		{"", time.Time{}, "", time.Time{}},
	} {
		list := []ContainerStatus{{CTID: 1, Reason: "other"}, {CTID: 2, Reason: c.reason, NextStart: c.next}}
		r := Report{Sent: sent, Containers: list}
		r.Settle()
		if got := r.Containers[1]; got.Reason != c.want || !got.NextStart.Equal(c.at) || r.Containers[0].Reason != "other" {
			t.Errorf("%q: got %q at %s, want %q at %s", c.reason, got.Reason, got.NextStart, c.want, c.at)
		}
		if list[1].Reason != c.reason {
			t.Errorf("%q: the caller's own list was changed", c.reason)
		}
	}
}

// TestEqualReports: two reports of one wait say the same, whatever of it is left.
func TestEqualReports(t *testing.T) {
	says := func(after time.Duration) string {
		r := Report{Sent: sent.Add(after),
			Containers: []ContainerStatus{{CTID: 1, Reason: fmt.Sprintf("exited with code 1%s%s", counted, 10*time.Second-after)}}}
		r.Settle()
		return fmt.Sprint(r.Containers)
	}
	if a, b := says(0), says(3700*time.Millisecond); a != b {
		t.Errorf("got %s, then %s", a, b)
	}
}

// TestAt: a moment of a clock that is wrong is told by the reader's.
func TestAt(t *testing.T) {
	r := Report{Sent: sent}
	next := sent.Add(4 * time.Second)
	for _, c := range []struct {
		what             string
		moment, received time.Time
		want             time.Time
	}{
		{"the clocks agree", next, sent.Add(200 * time.Millisecond), next},
		{"the host is an hour behind", next, sent.Add(time.Hour), next.Add(time.Hour)},
		{"the host is an hour ahead", next, sent.Add(-time.Hour), next.Add(-time.Hour)},
		{"nothing is waited for", time.Time{}, sent.Add(time.Hour), time.Time{}},
	} {
		if got := r.At(c.moment, c.received); !got.Equal(c.want) {
			t.Errorf("%s: got %s, want %s", c.what, got, c.want)
		}
	}
}
