package authz

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hardnode.dev/internal/wire/operator"
)

func TestWrongTokensAreSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var records []operator.Audit
		g := &Guesses{Now: time.Now, Record: func(a operator.Audit) error { records = append(records, a); return nil }}
		_, refusal := unknown("the token is not known")
		took := func(from string) time.Duration {
			began := time.Now()
			if p := g.Wrong(t.Context(), from, refusal); p != refusal {
				t.Fatalf("got %v", p)
			}
			return time.Since(began)
		}
		for i, want := range []time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000} {
			if got := took("192.0.2.1:1000"); got != want*time.Millisecond {
				t.Errorf("wrong token %d was answered after %s, want %d ms", i+1, got, want)
			}
		}
		if got := took("192.0.2.2:1000"); got != firstWait {
			t.Errorf("another client waited %s", got)
		}
		if len(records) != 2 || !strings.Contains(records[0].Result, "(1 times)") || records[0].From != "192.0.2.1:1000" {
			t.Errorf("records are %+v, want one of each client", records)
		}
		// Many at once: some wait, the rest is told to go away, and none of it fills the record.
		var wg sync.WaitGroup
		var mu sync.Mutex
		status := map[int]int{}
		for range 30 {
			wg.Go(func() {
				p := g.Wrong(t.Context(), "192.0.2.1:2000", refusal)
				mu.Lock()
				defer mu.Unlock()
				status[p.Status]++
			})
		}
		wg.Wait()
		if status[401] != waitsAt || status[429] != 30-waitsAt || len(records) != 2 {
			t.Errorf("answers are %v, records %d", status, len(records))
		}
		time.Sleep(forget + time.Second)
		if got := took("192.0.2.1:1000"); got != firstWait {
			t.Errorf("after %s of peace the client waited %s", forget, got)
		}
		if last := records[len(records)-1]; len(records) != 3 || !strings.Contains(last.Result, "(38 times)") {
			t.Errorf("the last record is %+v, want all that were not told", last)
		}
		g.mu.clients = nil
		for i := range clientsMax + 5 {
			g.begin(client(i))
		}
		if n := len(g.mu.clients); n > clientsMax+1 {
			t.Errorf("%d clients are remembered", n)
		}
	})
}

func client(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}
