package client

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"hardnode.dev/internal/wire/operator"
)

// TestPaced: a request refused for a rate is sent again when the API says so; other refusals, and a long wait, are not.
func TestPaced(t *testing.T) {
	for _, c := range []struct {
		name, after, policy string
		refusals, asked     int32
		ok                  bool
	}{
		{"a rate", "1", `"token";q=300;w=15`, 1, 2, true},
		{"a rate, for long", "60", `"token";q=300;w=15`, 1, 1, false},
		{"another limit", "1", "", 1, 1, false},
		{"a rate that says no time", "", `"token";q=300;w=15`, 1, 1, false},
		{"a rate again and again", "1", `"token";q=300;w=15`, 99, paceTries, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			addr, pin := pinned(t, func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) > c.refusals {
					w.Write([]byte("{}"))
					return
				}
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				if c.policy != "" {
					w.Header().Set("RateLimit-Policy", c.policy)
				}
				operator.WriteProblem(w, operator.TooMany("x", "too fast", "wait", 0))
			})
			began := time.Now()
			err := Pinned("https://"+addr, pin, "t").Call(t.Context(), "POST", "/x", map[string]int{}, nil)
			if (err == nil) != c.ok || asked.Load() != c.asked {
				t.Errorf("asked %d times, then %v, want %d", asked.Load(), err, c.asked)
			}
			if took := time.Since(began); took < time.Duration(c.asked-1)*time.Second {
				t.Errorf("%d requests within %s", c.asked, took)
			}
		})
	}
}
