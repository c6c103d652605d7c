package health

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire"
)

// A busy host asks few containers at once, and each has its turn.
func TestDue(t *testing.T) {
	c := New(nil, nil, nil)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 20 {
		c.mu.at[wire.CTID(100+i)] = &checked{standing: standing{next: now.Add(time.Duration(i-15) * time.Second)}} // 16 are due
	}
	asked := map[*checked]bool{}
	for range 4 {
		some := c.due(now, 4)
		if len(some) != 4 || len(c.due(now, 4)) != 0 {
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
	if rest := c.due(now, 4); len(rest) != 0 || len(asked) != 16 {
		t.Errorf("%d were asked, and %d more, want the 16 that were due", len(asked), len(rest))
	}
	c.due(now.Add(time.Hour), 8)
	if more := c.due(now.Add(time.Hour), 4); more != nil && len(more) != 0 {
		t.Errorf("8 are being asked, and %d more when 4 may", len(more))
	}
}
