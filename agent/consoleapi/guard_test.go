package consoleapi

import (
	"errors"
	"testing"
	"time"

	"hardnode.dev/internal/secret/challenge"
)

// watch is a guard with a clock of the test's own.
func watch(kept string, configured bool) (*Guard, *time.Time, *int) {
	now, compared := time.Unix(1000, 0), 0
	return &Guard{Now: func() time.Time { return now },
		Known: func() (Known, error) { return Known{Configured: configured, Password: kept}, nil },
		Is:    func(kept, typed string) (bool, error) { compared++; return kept == typed, nil }}, &now, &compared
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

// TestAnswers: the answer to a challenge begins a session, once and in its time; a wrong one ends the challenge and counts as a guess.
func TestAnswers(t *testing.T) {
	private, public := challenge.NewKey()
	g, now, _ := watch("", true)
	if _, _, err := g.Ask(); !errors.Is(err, errNone) {
		t.Errorf("neither password nor key: %v", err)
	}
	g.Known = func() (Known, error) { return Known{Configured: true, Password: "kept"}, nil }
	if _, _, err := g.Ask(); !errors.Is(err, errNoKey) {
		t.Errorf("a password alone: %v", err)
	}
	g.Known = func() (Known, error) { return Known{Configured: true, Key: public, Host: "host-1"}, nil }
	if _, err := g.Login("ttyS0", ""); !errors.Is(err, errNoPassword) {
		t.Errorf("a key alone: %v", err)
	}
	if _, err := g.Allow("", true); !errors.Is(err, errLocked) {
		t.Errorf("without a session: %v", err)
	}
	ask := func() (text, answer string) {
		t.Helper()
		text, host, err := g.Ask()
		if err != nil {
			t.Fatal(err)
		}
		if answer, err = challenge.Answer(private, host, text); err != nil {
			t.Fatal(err)
		}
		return text, answer
	}
	text, answer := ask()
	id, err := g.Answer("tty1", text, answer)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err := g.Allow(id, false); tty != "tty1" || err != nil {
		t.Errorf("the session: %q, %v", tty, err)
	}
	if _, err := g.Answer("tty1", text, answer); !errors.Is(err, errOver) {
		t.Errorf("the same answer again: %v", err)
	}
	text, answer = ask()
	*now = now.Add(answerWithin)
	if _, err := g.Answer("tty1", text, answer); !errors.Is(err, errOver) {
		t.Errorf("after its time: %v", err)
	}
	text, answer = ask()
	if _, err := g.Answer("tty1", text, "AAAA-AAAA-AAAA"); !errors.Is(err, errAnswer) {
		t.Errorf("a wrong one: %v", err)
	}
	var early tooSoon
	if _, err := g.Answer("tty1", text, answer); !errors.As(err, &early) {
		t.Errorf("at once after a wrong one: %v", err)
	}
	*now = now.Add(firstWait)
	if _, err := g.Answer("tty1", text, answer); !errors.Is(err, errOver) {
		t.Errorf("the right one after a wrong one: %v", err)
	}
	first, right := ask()
	for range mostAsked {
		*now = now.Add(time.Second)
		ask()
	}
	if _, err := g.Answer("tty1", first, right); !errors.Is(err, errOver) || len(g.mu.asked) > mostAsked {
		t.Errorf("the oldest of too many: %v; %d are kept", err, len(g.mu.asked))
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
	g.Known = func() (Known, error) { return Known{}, errors.New("the disk broke") }
	if _, err := g.Allow("", true); err == nil {
		t.Error("a configuration that can't be read is none")
	}
}
