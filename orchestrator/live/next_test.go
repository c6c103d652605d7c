package live

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

func TestClocks(t *testing.T) {
	for _, x := range []struct {
		scale                 int
		detect, agreed, alone time.Duration
	}{
		{0, 3500 * time.Millisecond, 6 * time.Second, 30 * time.Second},
		{1, 3500 * time.Millisecond, 6 * time.Second, 30 * time.Second},
		{3, 4500 * time.Millisecond, 12 * time.Second, 90 * time.Second},
	} {
		c := ClocksFor(x.scale)
		if c.Detect != x.detect || c.Detect+tick > 5*time.Second {
			t.Errorf("scale %d: %+v: a dead host must be UNREACHABLE within 5 s", x.scale, c)
		}
		if c.Agreed != x.agreed || c.Alone != x.alone {
			t.Errorf("scale %d: nodes are made anew after %s, or %s without the members' word; want %s and %s", x.scale, c.Agreed, c.Alone,
				x.agreed, x.alone)
		}
		for hosts := range 5000 {
			many := c.For(hosts)
			if 3*many.Renew >= many.Detect || many.Detect+tick > 5*time.Second || many.Agreed < many.Detect {
				t.Fatalf("scale %d, %d hosts: %+v: three lost renewals, and no more, make a host UNREACHABLE, within 5 s", x.scale, hosts,
					many)
			}
		}
		if c.For(1000) != c || c.For(1200).Renew != 1200*time.Millisecond || c.For(5000).Renew != host.ReportAtMost {
			t.Errorf("scale %d: 1000 hosts %+v, 1200 %+v, 5000 %+v", x.scale, c.For(1000), c.For(1200), c.For(5000))
		}
	}
}

func TestNext(t *testing.T) {
	c := ClocksFor(1)
	active := State{State: operator.HostActive, Since: at(0)}
	lost := State{State: operator.HostUnreachable, Since: at(5), Reason: "before"}
	for _, x := range []struct {
		name string
		prev State
		in   Input
		want operator.HostState
	}{
		{"has just joined", State{}, Input{Now: at(10), Started: at(0), Joined: at(9)}, operator.HostJoining},
		{"joined and never reported", State{State: operator.HostJoining}, Input{Now: at(40), Started: at(0), Joined: at(9)},
			operator.HostUnreachable},
		{"first report", State{State: operator.HostJoining}, Input{Now: at(10), Started: at(0), Joined: at(9), Last: at(10)},
			operator.HostActive},
		{"one report late", active, Input{Now: at(12), Started: at(0), Joined: at(0), Last: at(10)}, operator.HostActive},
		{"three renewals lost", active, Input{Now: at(13.5), Started: at(0), Joined: at(0), Last: at(10)}, operator.HostUnreachable},
		{"gossip has no part in it", active, Input{Now: at(13), Started: at(0), Joined: at(0), Last: at(10), Votes: Votes{5, 5}},
			operator.HostActive},
		{"is back", lost, Input{Now: at(20), Started: at(0), Joined: at(0), Last: at(20)}, operator.HostActive},
		{"the orchestrator has just started", State{}, Input{Now: at(101), Started: at(100), Joined: at(0)}, operator.HostJoining},
		{"a whole detection time after the start", State{State: operator.HostJoining},
			Input{Now: at(103.5), Started: at(100), Joined: at(0)}, operator.HostUnreachable},
		{"stays unreachable", lost, Input{Now: at(30), Started: at(0), Joined: at(0)}, operator.HostUnreachable},
	} {
		got := Next(x.prev, x.in, c)
		if got.State != x.want {
			t.Errorf("%s: got %s (%s), want %s", x.name, got.State, got.Reason, x.want)
		}
		if got.State != operator.HostActive && got.Reason == "" {
			t.Errorf("%s: %s has no reason", x.name, got.State)
		}
		if (got.State == operator.HostJoining) == got.Deadline.IsZero() {
			t.Errorf("%s: %s has deadline %s: passing states have one, settled ones none", x.name, got.State, got.Deadline)
		}
		if x.prev.State == got.State && !got.Since.Equal(x.prev.Since) || x.prev.State != got.State && !got.Since.Equal(x.in.Now) {
			t.Errorf("%s: since %s", x.name, got.Since)
		}
	}
}

func TestLose(t *testing.T) {
	away := State{State: operator.HostUnreachable, Since: at(13.5)}
	for _, x := range []struct {
		name  string
		state State
		scale int
		now   float64 // the last report came at 10
		votes Votes
		want  bool
	}{
		{"one report late and all call it dead", State{State: operator.HostActive}, 1, 12, Votes{5, 5}, false},
		{"has just become unreachable and all call it dead", away, 1, 13.5, Votes{5, 5}, false},
		{"away for six seconds and all call it dead", away, 1, 16, Votes{2, 2}, true},
		{"away for six seconds and everybody hears it: it is slow, or only we don't reach it", away, 1, 16, Votes{5, 0}, false},
		{"one liar among many", away, 1, 39, Votes{5, 1}, false},
		{"one liar of two", away, 1, 39, Votes{2, 1}, false},
		{"half of four", away, 1, 39, Votes{4, 2}, false},
		{"three of five", away, 1, 16, Votes{5, 3}, true},
		{"the word of the only other host", away, 1, 16, Votes{1, 1}, true},
		{"nobody left to ask", away, 1, 39, Votes{}, false},
		{"nobody left to ask, half a minute", away, 1, 40, Votes{}, true},
		{"half a minute, though it is heard", away, 1, 40, Votes{5, 0}, true},
		{"emulated: six seconds", away, 3, 16, Votes{2, 2}, false},
		{"emulated: twelve seconds", away, 3, 22, Votes{2, 2}, true},
		{"emulated: half a minute without a word", away, 3, 40, Votes{2, 0}, false},
		{"emulated: a minute and a half", away, 3, 100, Votes{2, 0}, true},
	} {
		in := Input{Now: at(x.now), Started: at(0), Joined: at(-100), Last: at(10), Votes: x.votes}
		got := Lose(x.state, in, ClocksFor(x.scale))
		if got.Lost != x.want || (got.Why == "") != (x.state.State == operator.HostActive) {
			t.Errorf("%s: got %+v, want %v", x.name, got, x.want)
		}
		in.Started, in.Last = at(10), time.Time{}
		if again := Lose(x.state, in, ClocksFor(x.scale)); again.Lost != x.want {
			t.Errorf("%s, counted from the orchestrator's start: got %+v, want %v", x.name, again, x.want)
		}
	}
}

func TestStorm(t *testing.T) {
	fleet := func(alive int, gone ...float64) (out []State) {
		for range alive {
			out = append(out, State{State: operator.HostActive})
		}
		for _, s := range gone {
			out = append(out, State{State: operator.HostUnreachable, Since: at(s)})
		}
		return out
	}
	for _, c := range []struct {
		name   string
		states []State
		want   bool
	}{
		{"two of two", fleet(0, 1, 1), false},
		{"three of three", fleet(0, 1, 2, 3), true},
		{"three of ten within a minute", fleet(7, 1, 30, 61), true},
		{"three of ten, one later", fleet(7, 1, 30, 62), false},
		{"three of thirty", fleet(27, 1, 1, 1), false},
		{"five of thirty", fleet(25, 1, 1, 1, 2, 3), true},
	} {
		if got, alarm := Storm(c.states); got != c.want || got != (alarm != "") {
			t.Errorf("%s: got %v %q, want %v", c.name, got, alarm, c.want)
		}
	}
}

func TestFleet(t *testing.T) {
	f := NewFleet(ClocksFor(1), at(0), nil)
	members := []Member{{"h-a", "a", at(-100), netip.Addr{}, nil}, {"h-b", "b", at(-100), netip.Addr{}, nil}}
	report := func(i int, seq int64, now time.Time, views ...host.GossipView) error {
		_, err := f.Report(members[i], &host.Report{Boot: "1", Seq: seq, Gossip: views}, now)
		return err
	}
	state := func(id wire.HostID) operator.HostState { s := f.Snapshot(); return s[id].State.State }
	for i := range 3 {
		now := at(1 + float64(i)/2)
		f.Tick(now, members)
		for j := range members {
			if err := report(j, int64(i+1), now); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _, changed := f.Since(math.MaxInt64)
	if err := report(0, 4, at(2.1)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("a report that says nothing new woke everybody up")
	default:
	}
	if err := report(0, 4, at(2.2)); err != nil {
		t.Errorf("a report whose answer was lost, sent again: %v", err)
	}
	if err := report(0, 3, at(2.2)); err == nil || !strings.Contains(err.Error(), "older than report 4") {
		t.Errorf("a report from the past: %v", err)
	}
	// b falls silent; a goes on and hears it: b is shown as UNREACHABLE, and keeps its nodes. Then a calls it dead.
	snapshot := func(id wire.HostID) Status { s := f.Snapshot(); return s[id] }
	for n := int64(0); n < 31; n++ {
		now := at(2.2 + float64(n)*0.2)
		f.Tick(now, members)
		if err := report(0, 10+n, now, host.GossipView{Host: "h-b", Alive: n < 20}); err != nil {
			t.Fatal(err)
		}
		since := now.Sub(at(2))
		if got, want := state("h-b"), operator.HostUnreachable; (since >= f.Clocks().Detect) != (got == want) {
			t.Errorf("b is %s, silent for %s", got, since)
		}
		if got := snapshot("h-b").Loss; got.Lost != (since >= f.Clocks().Agreed) {
			t.Errorf("b's nodes, %s after its last report: %+v", since, got)
		}
	}
	_, _, changed = f.Since(math.MaxInt64)
	if _, err := f.Report(members[1], &host.Report{Boot: "1", Seq: 99, Late: "the host was too busy",
		Load: host.Load{Pressure: host.Pressure{CPU: 98.6}}}, at(8.5)); err != nil {
		t.Fatal(err)
	}
	if got, want := snapshot("h-b").Away.String(), "nothing was heard of it for 6.5s until 12:00:08Z: the host was too busy (pressure "+
		"there: CPU 99 %, memory 0 %, disk 0 %)"; got != want {
		t.Errorf("why b was away: got %q, want %q", got, want)
	}
	if got := snapshot("h-b"); got.Loss != (Loss{}) || got.State.State != operator.HostActive {
		t.Errorf("b is back: %+v", got)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told that b is back")
	}
	// The orchestrator stands still for ten seconds: nobody is missed for that.
	f.Tick(at(14), members)
	if got := state("h-a"); got != operator.HostActive {
		t.Errorf("a is %s after our own stall", got)
	}
	f.Tick(at(14.2), members[:1])
	if s := f.Snapshot(); len(s) != 1 {
		t.Errorf("a removed host is still there: %v", s)
	}
}

// A host that reboots by order is waited for until it is expected back, and no longer; one that is switched off by order is not.
func TestOrdered(t *testing.T) {
	c := ClocksFor(1)
	reboot := &Order{Leave: upkeep.Leave{By: "ann", Reason: "new fan"}, Boot: "a", At: at(0), Until: at(300)}
	off := &Order{Leave: upkeep.Leave{By: "ann", PowerOff: true}, Boot: "a", At: at(0)}
	for _, x := range []struct {
		name    string
		order   *Order
		now     float64
		ordered bool
		lost    bool
		reason  string
	}{
		{"reboot", reboot, 100, true, false, "rebooting, ordered by ann (new fan), back expected within 5m0s, until 12:05:00Z"},
		{"reboot, the last moment", reboot, 299, true, false, "rebooting, ordered by ann"},
		{"reboot, overdue", reboot, 300, false, true, "it was ordered to reboot, ordered by ann (new fan), and is not back: it was "},
		{"switched off", off, 100, true, true, "switched off, ordered by ann"},
		{"nobody ordered it", nil, 100, false, true, "no report for"},
	} {
		in := Input{Now: at(x.now), Started: at(0), Joined: at(0), Last: at(1), Votes: Votes{2, 2}, Order: x.order}
		s := Next(State{State: operator.HostUnreachable, Since: at(5)}, in, c)
		if l := Lose(s, in, c); s.State != operator.HostUnreachable || s.Ordered != x.ordered || l.Lost != x.lost || l.Why == "" ||
			!strings.HasPrefix(s.Reason, x.reason) {
			t.Errorf("%s: %+v, %+v", x.name, s, l)
		}
		if storm, _ := Storm([]State{s, s, s}); storm == x.ordered {
			t.Errorf("%s: three of three at once are a storm: %v", x.name, storm)
		}
	}
	in := Input{Now: at(2), Started: at(0), Joined: at(0), Last: at(2), Order: reboot}
	if s := Next(State{State: operator.HostActive}, in, c); s.State != operator.HostActive || s.Reason != "" {
		t.Errorf("while it still answers: %+v", s)
	}
}
