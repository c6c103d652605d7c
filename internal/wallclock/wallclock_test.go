package wallclock

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStamp(t *testing.T) {
	east := time.FixedZone("", 5*3600)
	for _, c := range []struct {
		now   time.Time
		up    time.Duration
		known bool
		want  string
	}{
		{time.Date(2026, 11, 25, 3, 4, 5, 6e6, east), time.Hour, true, "2026-11-24 22:04:05.006Z"},
		{time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), 1234 * time.Millisecond, false, "[   1.234]"},
		{time.Time{}, 40 * 24 * time.Hour, false, "[3456000.000]"},
	} {
		if got := Stamp(c.now, c.up, c.known); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestKnown(t *testing.T) {
	for _, c := range []struct {
		state  int
		status int32
		want   bool
	}{
		{unix.TIME_OK, 0, true},
		{unix.TIME_INS, 0, true}, // a leap second comes
		{unix.TIME_ERROR, unix.STA_UNSYNC, false},
		{unix.TIME_OK, unix.STA_UNSYNC, false},
		{unix.TIME_ERROR, 0, false},
	} {
		if got := known(c.state, c.status); got != c.want {
			t.Errorf("state %d, status %#x: %v", c.state, c.status, got)
		}
	}
}
