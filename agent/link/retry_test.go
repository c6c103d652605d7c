package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// Whatever went before, a host that has joined asks again within five seconds.
func TestRetryIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		said []bool
		most time.Duration
	}{
		"silence":                            {[]bool{false}, 2400 * time.Millisecond},
		"no for an answer":                   {[]bool{true}, 4800 * time.Millisecond},
		"first no after a silence":           {[]bool{false, false, false, false, false, false, false, true}, 4800 * time.Millisecond},
		"in turn":                            {[]bool{false, true}, 4800 * time.Millisecond},
		"silence after many a no for answer": {[]bool{true, true, true, true, true, true, true, true, false}, 4800 * time.Millisecond},
	} {
		for _, spread := range []float64{0, 1} {
			var r retry
			for i := range 1000 {
				if d := r.next(c.said[i%len(c.said)], spread); d <= 0 || d > c.most {
					t.Fatalf("%s: %s before try %d, want at most %s", name, d, i+1, c.most)
				}
			}
			r.ok()
			if d := r.next(false, spread); d > waitFirst*6/5 {
				t.Errorf("%s: after a success the first wait is %s", name, d)
			}
		}
	}
	join := retry{failed: 100, said: true, most: waitJoin}
	if d := join.next(true, 0.5); d != waitJoin {
		t.Errorf("a host that may not join asks again after %s, want %s", d, waitJoin)
	}
}

// Without a good certificate no report is taken, so it is asked for as often as for anything else.
func TestRenewWait(t *testing.T) {
	for _, c := range []struct {
		left, most time.Duration
	}{{time.Hour, 72 * time.Second}, {0, 4800 * time.Millisecond}, {-24 * time.Hour, 4800 * time.Millisecond}} {
		for n := range 100 {
			if d := renewWait(n, c.left, 1); d > c.most {
				t.Fatalf("%s before the end: %s after %d failures, want at most %s", c.left, d, n, c.most)
			}
		}
	}
}

// After an outage a host is heard within the time of one try and one wait for each endpoint; what the orchestrator refuses in the first
// moment costs a second more. How long the outage was plays no part.
func TestHeardSoonAfterAnOutage(t *testing.T) {
	for _, c := range []struct {
		name      string
		fails     time.Duration // how long a try takes while it lasts
		endpoints int           // one of them is the orchestrator; the others never answer
		refusals  int           // after it
		most      time.Duration
	}{
		{"it stands still", reportDeadline, 1, 0, 5400 * time.Millisecond},
		{"its port is closed", 0, 1, 0, 2400 * time.Millisecond},
		{"it says no once", reportDeadline, 1, 1, 6400 * time.Millisecond},
		{"it says no twice", reportDeadline, 1, 2, 8400 * time.Millisecond},
		{"its port is closed, then it says no once", 0, 1, 1, 3400 * time.Millisecond},
		{"another endpoint is dead", reportDeadline, 2, 0, 10800 * time.Millisecond},
	} {
		for outage := time.Second; outage < 10*time.Minute; outage += 700 * time.Millisecond {
			for _, spread := range []float64{0, 1} {
				var r retry
				now, at, refusals := time.Duration(0), 0, c.refusals
				for {
					alive := at%c.endpoints == 0
					if alive && now >= outage && refusals == 0 {
						break
					}
					switch {
					case alive && now >= outage: // the answer is no: it stays with this endpoint
						refusals--
						now += r.next(true, spread)
						continue
					case alive:
						now += c.fails
					default:
						now += reportDeadline
					}
					now += r.next(false, spread)
					at++
				}
				if late := now - outage; late > c.most {
					t.Fatalf("%s: after %s without an answer the host is heard %s late, want at most %s", c.name, outage, late, c.most)
				}
			}
		}
	}
}

// Polls that were held through a long silence are asked anew as soon as a report is answered; a short one changes nothing.
func TestPollsAreAskedAnewAfterALongSilence(t *testing.T) {
	o := newOrchestrator(t)
	l, _, stop := start(t, t.TempDir(), o.join())
	eventually(t, "linked", func() bool { return l.Status().Linked })
	stop() // from here on the link is this test's own
	for _, c := range []struct {
		away time.Duration
		anew bool
	}{{0, false}, {longAway / 2, false}, {2 * longAway, true}} {
		ctx, cancel := context.WithCancel(t.Context())
		l.mu.polls["assignment"] = cancel
		l.reported(o.addr, host.ReportReply{}, errors.New("it did not answer in time"))
		l.away = l.away.Add(-c.away)
		l.reported(o.addr, host.ReportReply{}, operator.NewProblem(operator.Conflict, "report", "not now", ""))
		l.reported(o.addr, host.ReportReply{State: "ACTIVE"}, nil)
		if anew := ctx.Err() != nil; anew != c.anew || !l.away.IsZero() {
			t.Errorf("after %s: asked anew %v, want %v; away since %v", c.away, anew, c.anew, l.away)
		}
		cancel()
	}
	held := make(chan error, 1)
	go func() {
		_, err := l.poll(t.Context(), "assignment", "/never?wait=1h")
		held <- err
	}()
	eventually(t, "the poll is given up", func() bool {
		l.pollAnew()
		select {
		case err := <-held:
			if !errors.Is(err, errNothing) {
				t.Errorf("a poll that was given up says %v", err)
			}
			return true
		default:
			return false
		}
	})
}
