package health

import (
	"errors"
	"testing"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire/host"
)

// TestAfter: a check's own interval counts while it passes; that it fails, and that it is over, is found out at the usual pace.
func TestAfter(t *testing.T) {
	refused := errors.New("connection refused")
	well, ill := plan.Health{Checked: true, OK: true}, plan.Health{Checked: true, Reason: "check fails: connection refused"}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, x := range []struct {
		name   string
		every  int
		was    plan.Health
		fails  int
		err    error
		pause  time.Duration
		health plan.Health
	}{
		{"passes, without an interval", 0, well, 0, nil, later, well},
		{"passes", 60, well, 0, nil, time.Minute, well},
		{"passes again", 60, ill, 5, nil, time.Minute, well},
		{"more often than usual", 1, well, 0, nil, time.Second, well},
		{"begins to fail", 60, well, 0, refused, later, well},
		{"goes on failing", 60, well, fails - 1, refused, later, ill},
		{"fails before the first success", 60, plan.Health{}, 0, refused, quick, ill},
		{"fails once more before it", 60, ill, 1, refused, 2 * quick, ill},
		{"fails several times before it", 60, ill, 3, refused, first, ill},
		{"fails often before it", 60, ill, tries - 2, refused, first, ill},
		{"fails for long", 60, ill, tries, refused, later, ill},
	} {
		got := standing{health: x.was, fails: x.fails}.after(x.err, host.Check{Port: 80, Every: x.every}, now)
		if got.next.Sub(now) != x.pause || got.health != x.health {
			t.Errorf("%s: asked again after %s, health %+v, want %s, %+v", x.name, got.next.Sub(now), got.health, x.pause, x.health)
		}
	}
}
