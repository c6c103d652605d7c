package link

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	base := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	now := base
	c := &SystemClock{Path: filepath.Join(t.TempDir(), "clock"), Floor: base.Add(-time.Hour), Now: func() time.Time { return now },
		Set: func(t time.Time) error { now = t; return nil }}
	confirmed := 0
	c.Right = func() { confirmed++ }
	step := func(name string, want time.Time) {
		t.Helper()
		if !now.Equal(want) {
			t.Errorf("%s: got %s, want %s", name, now, want)
		}
	}
	c.Raise()
	step("right already", base)
	now = time.Unix(0, 0)
	c.Raise()
	step("raised to the build time", c.Floor)
	now = base.Add(24 * time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Keep(ctx); err != nil {
		t.Fatal(err)
	}
	now = base
	c.Raise()
	step("raised to the saved time", base.Add(24*time.Hour))
	if confirmed != 0 {
		t.Error("a time that was only saved or built in is called right")
	}
	c.Answer(base, 0)
	step("set back by the orchestrator", base)
	c.Answer(base.Add(900*time.Millisecond), 0)
	step("within the tolerance", base)
	c.Answer(base.Add(time.Hour), 10*time.Second)
	step("an answer that took too long tells nothing", base)
	c.Answer(base.Add(10*time.Second), 2*time.Second)
	step("half the round trip counts", base.Add(11*time.Second))
	if confirmed != 3 {
		t.Errorf("the clock was called right %d times, want 3: an answer that took too long tells nothing", confirmed)
	}
}
