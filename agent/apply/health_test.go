package apply

import (
	"errors"
	"testing"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire/host"
)

// TestCheckEvery: a check's own interval counts while it passes; that it fails, and that it is over, is found out at the usual pace.
func TestCheckEvery(t *testing.T) {
	c, fails := newChecker(nil, nil), errors.New("connection refused")
	well, ill := plan.Health{Checked: true, OK: true}, plan.Health{Checked: true}
	for _, x := range []struct {
		name  string
		every int
		was   plan.Health
		fails int
		err   error
		want  time.Duration
	}{
		{"passes, without an interval", 0, well, 0, nil, checkLater},
		{"passes", 60, well, 0, nil, time.Minute},
		{"passes again", 60, ill, 5, nil, time.Minute},
		{"more often than usual", 1, well, 0, nil, time.Second},
		{"begins to fail", 60, well, 0, fails, checkLater},
		{"fails before the first success", 60, plan.Health{}, 0, fails, checkFirst},
		{"fails for long", 60, ill, checkTries, fails, checkLater},
	} {
		k := &checked{check: host.Check{Port: 80, Every: x.every}, health: x.was, fails: x.fails, asking: true}
		before := time.Now()
		c.took(k, x.err)
		if k.asking || k.next.Before(before.Add(x.want)) || k.next.After(time.Now().Add(x.want)) {
			t.Errorf("%s: asked again after %s, want %s", x.name, k.next.Sub(before), x.want)
		}
	}
}
