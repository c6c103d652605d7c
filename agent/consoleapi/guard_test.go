package consoleapi

import (
	"errors"
	"testing"
	"time"
)

// watch is a guard with a clock of the test's own.
func watch(kept string, configured bool) (*Guard, *time.Time, *int) {
	now, compared := time.Unix(1000, 0), 0
	return &Guard{Password: func() (string, bool, error) { return kept, configured, nil }, Now: func() time.Time { return now },
		Is: func(kept, typed string) (bool, error) { compared++; return kept == typed, nil }}, &now, &compared
}

// TestGuesses: each wrong password doubles the wait, for everybody; what comes earlier is not even compared, and the right one ends it.
func TestGuesses(t *testing.T) {
	g, now, compared := watch("right", true)
	for _, wait := range []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		if _, err := g.Login("ttyS0", "wrong"); !errors.Is(err, errWrong) {
			t.Fatalf("got %v", err)
		}
		before := *compared
		*now = now.Add(wait*time.Second - time.Millisecond)
		var early tooSoon
		if _, err := g.Login("tty1", "right"); !errors.As(err, &early) || *compared != before {
			t.Fatalf("after almost %d s: %v, compared %d times", wait, err, *compared-before)
		}
		*now = now.Add(time.Millisecond)
	}
	if _, err := g.Login("tty1", "right"); err != nil {
		t.Fatal(err)
	}
	g.Login("tty1", "wrong")
	*now = now.Add(firstWait)
	if _, err := g.Login("tty1", "right"); err != nil {
		t.Errorf("after a right one the wait begins anew: %v", err)
	}
}

func TestSessions(t *testing.T) {
	g, now, _ := watch("right", true)
	if _, err := g.Allow("", false); !errors.Is(err, errLocked) {
		t.Errorf("nobody's session: %v", err)
	}
	id, err := g.Login("ttyS0", "right")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // used, but not for longer than an hour
		*now = now.Add(sessionIdle - time.Second)
		if tty, err := g.Allow(id, false); tty != "ttyS0" || err != nil {
			t.Fatalf("got %q, %v", tty, err)
		}
	}
	*now = now.Add(sessionIdle - time.Second)
	if _, err := g.Allow(id, false); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(sessionIdle - time.Second)
	if _, err := g.Allow(id, false); !errors.Is(err, errLocked) {
		t.Errorf("after more than an hour: %v", err)
	}
	if id, err = g.Login("ttyS0", "right"); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(sessionIdle)
	if _, err := g.Allow(id, false); !errors.Is(err, errLocked) {
		t.Errorf("after ten minutes: %v", err)
	}
	for range 3 * mostSessions {
		if _, err := g.Login("ttyS0", "right"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(g.mu.sessions); n > mostSessions {
		t.Errorf("%d sessions are kept", n)
	}
}

// TestWithoutPassword: a configured host without one can't be changed at all; one without a configuration only in what it needs to get one.
func TestWithoutPassword(t *testing.T) {
	g, _, _ := watch("", true)
	if _, err := g.Login("ttyS0", ""); !errors.Is(err, errNone) {
		t.Errorf("login: %v", err)
	}
	for _, fresh := range []bool{true, false} {
		if _, err := g.Allow("", fresh); !errors.Is(err, errNone) {
			t.Errorf("configured, fresh %v: %v", fresh, err)
		}
	}
	g, _, _ = watch("", false)
	if _, err := g.Login("ttyS0", ""); !errors.Is(err, errNotNeeded) {
		t.Errorf("login: %v", err)
	}
	if _, err := g.Allow("", true); err != nil {
		t.Errorf("unconfigured: %v", err)
	}
	if _, err := g.Allow("", false); !errors.Is(err, errFresh) {
		t.Errorf("unconfigured, what is not for it: %v", err)
	}
	g.Password = func() (string, bool, error) { return "", false, errors.New("the disk broke") }
	if _, err := g.Allow("", true); err == nil {
		t.Error("a configuration that can't be read is none")
	}
}
