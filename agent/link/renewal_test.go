package link

import (
	"errors"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/smart"
)

// TestRenewals: what goes out, one report after the other.
func TestRenewals(t *testing.T) {
	t0 := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	lost, no := errors.New("did not answer in time"), operator.NewProblem(operator.Invalid, "body", "field is missing", "")
	// Each step: what is so, "kept" or how the report before ended; w is a whole report, u an unchanged renewal, and ! that the next
	// follows at once.
	for _, c := range []struct{ name, steps, want string }{
		{"quiet", "kept kept kept kept", "w u u u"},
		{"an earlier orchestrator", "old old old", "w w w"},
		{"a container changes", "kept kept change kept kept", "w u w u u"},
		{"gossip changes", "kept gossip kept", "w w u"},
		{"figures alone", "kept figures figures", "w u u"},
		{"figures of ten seconds ago, newer ones are there", "kept kept figures+later kept kept", "w u w u u"},
		{"figures of ten seconds ago, which are the newest", "kept kept later kept kept", "w u u u u"},
		{"its disks are as they were", "kept kept disks kept", "w u u u"},
		{"they are not, ten seconds later", "kept disks later kept", "w u w u"},
		{"once in a while it is whole", "kept later later later later later later kept", "w u u u u u w u"},
		{"the answer to a whole one is lost", "lost kept kept", "w w u"},
		{"the answer to a renewal is lost", "kept lost kept", "w u u"},
		{"the orchestrator starts again", "kept kept forgot kept kept", "w u u! w u"},
		{"it was rolled back", "kept kept no old old", "w u u! w w"},
		{"a whole one is refused", "kept change+no kept kept", "w w w u"},
		{"it keeps another one", "kept other kept kept", "w u! w u"},
	} {
		var n renewal
		r := host.Report{Boot: "b", Containers: []host.ContainerStatus{{CTID: 100, State: host.CtRunning}}}
		now, got := t0, []string{}
		for _, step := range strings.Fields(c.steps) {
			now = now.Add(time.Second)
			r.Seq++
			switch {
			case strings.HasPrefix(step, "change"):
				r.Containers = []host.ContainerStatus{{CTID: 100, State: host.CtFailing, Restarts: int(r.Seq)}}
			case step == "gossip":
				r.Gossip = []host.GossipView{{Host: "h-1"}}
			case strings.HasPrefix(step, "figures"):
				r.Containers = []host.ContainerStatus{{CTID: 100, State: host.CtRunning, CPUMicros: r.Seq}}
			case step == "disks":
				r.Disks = []smart.Health{{}}
			}
			if strings.HasSuffix(step, "later") {
				now = now.Add(host.WholeEvery)
			}
			sent := n.next(r, now)
			text, reply, err := "w", host.ReportReply{Kept: sent.Digest}, error(nil)
			if sent.Unchanged != "" {
				text, reply.Kept = "u", sent.Unchanged
				if sent.Containers != nil || sent.Gossip != nil || sent.Digest != "" || sent.Seq != r.Seq {
					t.Errorf("%s: an unchanged renewal is %+v", c.name, sent)
				}
			}
			switch {
			case step == "old":
				reply.Kept = ""
			case step == "forgot" && sent.Unchanged != "":
				reply.Kept = ""
			case step == "other":
				reply.Kept = "sha256:" + host.ReportReply{}.Kept
			case step == "lost":
				err = lost
			case strings.HasSuffix(step, "no"):
				err = no
			}
			if !n.answered(sent, reply, err) {
				text += "!"
			}
			got = append(got, text)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s (%s): %s, want %s", c.name, c.steps, s, c.want)
		}
	}
}

// TestUnchangedRenewals: a link says everything once, then that it is unchanged; an orchestrator that lost it, or is an earlier one, has
// all of it at once and not with the next report's time, and the host is never away for it.
func TestUnchangedRenewals(t *testing.T) {
	o := newOrchestrator(t)
	o.keeps = true
	l, _, _ := start(t, t.TempDir(), o.join())
	last := func() host.Report { o.mu.Lock(); defer o.mu.Unlock(); return o.reports[len(o.reports)-1] }
	for _, c := range []struct {
		what string
		lose func()
	}{
		{"started again", func() { o.kept = host.Report{} }},
		{"rolled back to one that knows no renewals", func() { o.kept, o.keeps = host.Report{}, false }},
	} {
		// follows is how long after the renewal the whole report went out.
		follows := func() time.Duration {
			o.mu.Lock()
			o.keeps = true
			o.mu.Unlock()
			eventually(t, "an unchanged renewal", func() bool { return o.count() > 1 && last().Unchanged != "" })
			o.mu.Lock()
			c.lose()
			n := len(o.reports)
			var whole time.Time // the last one
			for _, r := range o.reports {
				if r.Unchanged == "" {
					whole = r.Sent
				}
			}
			o.mu.Unlock()
			eventually(t, "a whole report to one that was "+c.what, func() bool { return o.count() > n+1 && last().Unchanged == "" })
			o.mu.Lock()
			first, second := o.reports[n], o.reports[n+1]
			o.mu.Unlock()
			if first.Unchanged == "" && first.Sent.Sub(whole) >= host.WholeEvery {
				return time.Hour // a whole one was due anyway: this try says nothing
			}
			if first.Unchanged == "" || second.Unchanged != "" || second.Containers == nil || second.Seq <= first.Seq {
				t.Errorf("%s: got %+v, then %+v; want an unchanged renewal and then a whole report", c.what, first, second)
			}
			if s := l.Status(); !s.Linked || len(s.Problems) > 0 {
				t.Errorf("%s: %+v, want a link without problems", c.what, s)
			}
			return second.Sent.Sub(first.Sent)
		}
		// A busy machine may take as long for one as the pause would be, but not each time.
		least := time.Hour
		for end := time.Now().Add(time.Minute); least >= host.ReportEvery/2 && !t.Failed() && time.Now().Before(end); {
			least = min(least, follows())
		}
		if least >= host.ReportEvery/2 {
			t.Errorf("%s: the whole report followed %s after at the earliest, want at once", c.what, least)
		}
	}
}
