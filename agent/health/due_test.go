package health

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
		waiting, asked := c.due(now)
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
		c.mu.Lock()
		c.mu.at[101] = &checked{standing: standing{next: time.Now()}}
		c.mu.Unlock()
		time.Sleep(time.Second)
		if looked.Load() == 0 {
			t.Error("one is due, and nobody looked")
		}
		cancel()
		synctest.Wait()
	})
}
