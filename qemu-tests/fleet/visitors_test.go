//go:build qemu

package fleet

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The time from one visitor to the next: 20 a second come to what must never fail, so that outages of it are measured to 50 ms. To what is
// known to be away for a minute fewer come: an emulated machine has much else to do.
const (
	often     = 50 * time.Millisecond
	sometimes = 250 * time.Millisecond
	seldom    = 500 * time.Millisecond
)

// visit is one visitor's fetch of a page.
type visit struct {
	at   time.Time
	took time.Duration
	bad  string // why it failed; "": it was answered with 200
}

// visitors fetch the front page of an environment, each on a connection of its own, whether or not those before were answered.
type visitors struct {
	stop context.CancelFunc
	all  sync.WaitGroup
	mu   struct {
		sync.Mutex
		list []visit
	}
}

// visit begins to send visitors.
func (c *platform) visit(env string, every time.Duration) *visitors {
	ctx, stop := context.WithCancel(c.t.Context())
	v := &visitors{stop: stop}
	c.t.Cleanup(stop)
	v.all.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case at := <-tick.C:
				v.all.Go(func() { v.note(at, c.fetch(env)) })
			}
		}
	})
	return v
}

// fetch is why a page is not served, or "".
func (c *platform) fetch(env string) string {
	p, err := c.FetchPage(c.t.Context(), env, "/")
	switch {
	case err != nil:
		return err.Error()
	case p.Status != http.StatusOK:
		return fmt.Sprintf("status %d: %.120s", p.Status, strings.TrimSpace(p.Body))
	}
	return ""
}

func (v *visitors) note(at time.Time, bad string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.list = append(v.mu.list, visit{at, time.Since(at), bad})
}

// end waits for the visitors under way, and gives what became of all.
func (v *visitors) end() tally {
	v.stop()
	v.all.Wait()
	list := v.mu.list
	slices.SortFunc(list, func(a, b visit) int { return a.at.Compare(b.at) })
	var out tally
	for i, x := range list {
		out.asked++
		if out.longest = max(out.longest, x.took); x.bad == "" {
			continue
		}
		out.failed++
		if len(out.words) < 5 {
			out.words = append(out.words, x.at.Format("15:04:05.00 ")+x.bad)
		}
		if next := i + 1; next < len(list) {
			out.outage += list[next].at.Sub(x.at)
		}
	}
	return out
}

// tally is what became of visitors.
type tally struct {
	asked, failed int
	outage        time.Duration // from each that failed to the next
	longest       time.Duration // until one was answered
	words         []string      // of the first that failed
}

func (t tally) String() string {
	return fmt.Sprintf("%d of %d requests failed, %.2f s in all; the longest answer took %.2f s", t.failed, t.asked, t.outage.Seconds(),
		t.longest.Seconds())
}
