package health

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// A busy host asks few containers at once, and each has its turn.
func TestDue(t *testing.T) {
	c := New(nil, nil, nil)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 20 {
		c.mu.at[wire.CTID(100+i)] = &checked{standing: standing{next: now.Add(time.Duration(i-15) * time.Second)}} // 16 are due
	}
	begin := func(now time.Time, atOnce int) []*checked {
		waiting, asked, _ := c.due(now)
		return c.begin(waiting, atOnce-asked)
	}
	asked := map[*checked]bool{}
	for range 4 {
		some := begin(now, 4)
		if len(some) != 4 || len(begin(now, 4)) != 0 {
			t.Fatalf("%d are asked at once, and more, want 4", len(some))
		}
		for _, k := range some {
			if asked[k] {
				t.Fatal("one is asked again before others were")
			}
			asked[k], k.asking = true, false
			k.next = now.Add(time.Minute)
		}
	}
	if rest := begin(now, 4); len(rest) != 0 || len(asked) != 16 {
		t.Errorf("%d were asked, and %d more, want the 16 that were due", len(asked), len(rest))
	}
	begin(now.Add(time.Hour), 8)
	if more := begin(now.Add(time.Hour), 4); len(more) != 0 {
		t.Errorf("8 are being asked, and %d more when 4 may", len(more))
	}
}

// TestNothingDue: how busy the host is is not looked at while no container is to be asked.
func TestNothingDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looked atomic.Int64
		c := New(func(context.Context, netip.Addr, host.Check) error { return nil }, func() {}, func() host.Pressure {
			looked.Add(1)
			return host.Pressure{}
		})
		ctx, cancel := context.WithCancel(t.Context())
		go c.Run(ctx)
		time.Sleep(time.Minute) // of the test's own clock
		if n := looked.Load(); n != 0 {
			t.Errorf("looked %d times", n)
		}
		c.Watch(&host.Work{Containers: []host.Container{{CTID: 101, Generation: 1, Check: &host.Check{Port: 80}}}},
			map[wire.CTID]plan.Seen{101: {Running: true, Generation: 1}}, time.Now())
		synctest.Wait()
		if looked.Load() == 0 {
			t.Error("one is due, and nobody looked")
		}
		cancel()
		synctest.Wait()
	})
}

// TestQuick: a container that has just been started is asked at once, and soon again while it does not serve yet; one that does is asked
// when its turn comes.
func TestQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Duration // since it was to be watched; one check at a time is made
		var begun time.Time
		c := New(func(context.Context, netip.Addr, host.Check) error {
			asked = append(asked, time.Since(begun))
			if len(asked) < 5 {
				return errors.New("connection refused")
			}
			return nil
		}, func() {}, func() host.Pressure { return host.Pressure{} })
		ctx, cancel := context.WithCancel(t.Context())
		go c.Run(ctx)
		time.Sleep(90 * time.Second) // of the test's own clock
		begun = time.Now()
		c.Watch(&host.Work{Containers: []host.Container{{CTID: 101, Generation: 1, Check: &host.Check{Port: 80}}}},
			map[wire.CTID]plan.Seen{101: {Running: true, Generation: 1, Started: begun}}, begun)
		time.Sleep(5 * time.Second)
		cancel()
		synctest.Wait()
		want := []time.Duration{0, quick, 3 * quick, 7 * quick, 7*quick + first}
		if len(asked) < 6 || !slices.Equal(asked[:5], want) {
			t.Fatalf("asked after %v, want %v and then seldom", asked, want)
		}
		for i, at := range asked[5:] {
			if pause := at - asked[4+i]; pause < later || pause > later+2*first {
				t.Errorf("asked again after %s while it serves, want about %s", pause, later)
			}
		}
	})
}
