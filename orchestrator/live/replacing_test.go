package live

import (
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
)

// A host that replaces its programs is waited for as long as it said, whatever the others say of it; then it is lost as any. Once it is
// back its silence was no trouble, and the next one counts as usual.
func TestReplacing(t *testing.T) {
	m := Member{ID: "h-1", Name: "host1", Joined: at(0)}
	other := Member{ID: "h-2", Name: "host2", Joined: at(0)}
	f, now, seq := NewFleet(ClocksFor(1), at(0), nil), at(0), int64(0)
	report := func(m Member, r host.Report) {
		t.Helper()
		seq++
		r.Boot, r.Seq = "a", seq
		if _, err := f.Report(m, &r, now); err != nil {
			t.Fatal(err)
		}
	}
	passes := func(d time.Duration) Status { // nothing is heard of h-1, and h-2 calls it dead
		t.Helper()
		for end := now.Add(d); now.Before(end); {
			now = now.Add(tick)
			report(other, host.Report{Gossip: []host.GossipView{{Host: m.ID}}})
			f.Tick(now, []Member{m, other})
		}
		return f.Snapshot()[m.ID]
	}
	report(m, host.Report{System: &host.SystemStatus{State: host.SystemSwitching, AwaySec: 60}})
	s := passes(55 * time.Second)
	if s.State.State != operator.HostUnreachable || !s.Serves || !s.Ordered || s.Loss.Lost || s.Deadline.IsZero() ||
		!strings.Contains(s.Reason, "its programs are replaced") || !strings.Contains(s.Loss.Why, "its programs are replaced") {
		t.Errorf("while it replaces its programs: %+v", s)
	}
	report(m, host.Report{System: &host.SystemStatus{State: host.SystemDone}})
	if s = f.Snapshot()[m.ID]; s.State.State != operator.HostActive || s.Away.String() != "" {
		t.Errorf("back: %+v", s)
	}
	if s = passes(10 * time.Second); !s.Loss.Lost || s.Serves {
		t.Errorf("silent after that, for no reason: %+v", s)
	}
	report(m, host.Report{System: &host.SystemStatus{State: host.SystemSwitching, AwaySec: 60}})
	if s = passes(61 * time.Second); !s.Loss.Lost || s.Serves || s.Ordered {
		t.Errorf("not back in time: %+v", s)
	}
	report(m, host.Report{})
	if s = f.Snapshot()[m.ID]; s.Away.String() == "" {
		t.Error("that it came back too late is not told")
	}
	report(m, host.Report{System: &host.SystemStatus{AwaySec: 1 << 40}})
	if s = passes(5 * time.Second); s.Deadline.Sub(now) > host.MostAwaySec*time.Second {
		t.Errorf("it is waited for until %s", s.Deadline)
	}
}
