package link

import (
	"testing"
	"time"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire/host"
)

func TestAbsence(t *testing.T) {
	const s = time.Second
	away := func(reason string) host.Problem { return host.Problem{Code: unavailable, Reason: reason} }
	no := host.Problem{Code: "denied", Reason: "the host was removed"}
	type try struct {
		at       time.Duration
		endpoint string
		p        host.Problem
		want     string
	}
	for _, c := range []struct {
		name  string
		tries []try
	}{
		{"endpoints in turn",
			[]try{{0, "b:1", away("b:1: refused"), "b:1: refused"}, {s, "a:1", away("a:1 is late"), "a:1 is late; b:1: refused"},
				{2 * s, "b:1", away("b:1: refused"), "a:1 is late; b:1: refused"},
				{3 * s, "a:1", away("a:1 is late"), "a:1 is late; b:1: refused"}}},
		{"a reason that comes and goes", []try{{0, "a:1", away("late"), "late"}, {10 * s, "a:1", away("refused"), "late"},
			{20 * s, "a:1", away("late"), "late"}, {35 * s, "a:1", away("refused"), "late"}, {60 * s, "a:1", away("late"), "late"}}},
		{"another reason that lasts", []try{{0, "a:1", away("late"), "late"}, {10 * s, "a:1", away("refused"), "late"},
			{39 * s, "a:1", away("refused"), "late"}, {40 * s, "a:1", away("refused"), "refused"}}},
		{"the same reason of two", []try{{0, "a:1", away("no route"), "no route"}, {s, "b:1", away("no route"), "no route"}}},
		{"one says no", []try{{0, "a:1", away("late"), "late"}, {s, "b:1", no, "the host was removed"},
			{2 * s, "a:1", away("late"), "the host was removed"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a absence
			began := time.Unix(1000, 0)
			for i, x := range c.tries {
				if got := a.failed(began.Add(x.at), x.endpoint, x.p); got.Reason != x.want {
					t.Errorf("try %d: got %q, want %q", i, got.Reason, x.want)
				}
			}
		})
	}
}

// The status of a host says the same while its orchestrator's endpoints take turns in answering, or in not answering.
func TestStatusDoesNotFlap(t *testing.T) {
	l := &Link{notify: make(chan struct{}, 1)}
	l.log = logging.Or(nil)
	l.update(func(s *Status) { s.Link = "connecting" })
	changes := func(f func(i int)) int {
		before, n := l.Status(), 0
		for i := range 20 {
			f(i)
			if now := l.Status(); now.Link != before.Link || len(now.Problems) != len(before.Problems) ||
				len(now.Problems) > 0 && now.Problems[0] != before.Problems[0] {
				before = now
				n++
			}
		}
		return n
	}
	endpoints := []string{"10.77.0.2:7444", "10.77.0.3:7444"}
	if n := changes(func(i int) { l.reported(endpoints[i%2], host.ReportReply{State: "ACTIVE"}, nil) }); n != 1 {
		t.Errorf("answers from two endpoints change the status %d times, want once", n)
	}
	if s := l.Status(); s.Link != "connected" || !s.Linked {
		t.Errorf("got %q", s.Link)
	}
	late := func(i int) error { return plain(endpoints[i%2], timeout{}) }
	if n := changes(func(i int) { l.reported(endpoints[i%2], host.ReportReply{}, late(i)) }); n > 2 {
		t.Errorf("two endpoints that don't answer change the status %d times, want at most once each", n)
	}
	s := l.Status()
	if want := "10.77.0.2:7444: late; 10.77.0.3:7444: late"; s.Link != "away" || s.Linked || len(s.Problems) != 1 ||
		s.Problems[0].Reason != want {
		t.Errorf("got %q and %+v, want the reason %q", s.Link, s.Problems, want)
	}
}

type timeout struct{}

func (timeout) Error() string { return "late" }
