package link

import (
	"cmp"
	"errors"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
)

// The orchestrator stands still for one report: the link asks anew in time to keep it, and says afterwards why nothing was heard.
func TestLateReportSaysWhy(t *testing.T) {
	o := newOrchestrator(t)
	l, _, _ := start(t, t.TempDir(), o.join())
	eventually(t, "linked", func() bool { return l.Status().Linked })
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	o.mu.Lock()
	o.hold = stuck
	n := len(o.reports)
	if first := o.reports[0].Late; first != "the agent has just started" {
		t.Errorf("the first report says %q", first)
	}
	o.mu.Unlock()
	eventually(t, "another report", func() bool { return o.count() > n+1 })
	o.mu.Lock()
	defer o.mu.Unlock()
	if got := o.reports[n+1].Late; !strings.HasPrefix(got, "1 reports in ") ||
		!strings.HasSuffix(got, "were not answered, the last: "+o.addr+" did not answer in time") {
		t.Errorf("the report after the one that was not answered says %q", got)
	}
}

func TestLateness(t *testing.T) {
	t0 := time.Now()
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	for _, c := range []struct {
		name string
		l    lateness
		now  float64
		want string
	}{
		{"the first", lateness{started: at(0)}, 0.1, "the agent has just started"},
		{"the first was refused", lateness{started: at(0), ended: at(1), failed: 1, last: errors.New("no")}, 1.2,
			"1 reports in 1.2s were not answered, the last: no"},
		{"in time", lateness{answered: at(0), ended: at(0)}, 1, ""},
		{"a failure that was made good in time", lateness{answered: at(0), ended: at(1.1), failed: 1, last: errors.New("reset")}, 1.3, ""},
		{"in time in a large cluster", lateness{answered: at(0), ended: at(0), every: host.ReportAtMost}, 2.9, ""},
		{"too busy", lateness{answered: at(0), ended: at(0)}, 4.2, "the host was too busy to make a report for 4.2s"},
		{"away", lateness{answered: at(0), ended: at(60), failed: 31, last: errors.New("no route")}, 61,
			"31 reports in 1m1s were not answered, the last: no route"},
	} {
		c.l.every = cmp.Or(c.l.every, host.ReportEvery)
		if got := c.l.why(at(c.now)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	l := lateness{started: at(0), every: host.ReportEvery}
	l.tried(at(1), errors.New("no"))
	l.tried(at(2), nil)
	if got := l.why(at(3)); got != "" {
		t.Errorf("after an answer: %q", got)
	}
}
