package live

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Each of the other hosts has one say, nobody has one about itself, and a host that is not heard of has none.
func TestVotesAreCountedOnce(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f := NewFleet(ClocksFor(1), start, nil)
	var members []Member
	for i := range 6 {
		members = append(members, Member{ID: wire.HostID(fmt.Sprintf("h-%d", i)), Name: fmt.Sprintf("host-%d", i), Joined: start})
	}
	dead := func(ids ...int) (views []host.GossipView) {
		for _, i := range ids {
			views = append(views, host.GossipView{Host: members[i].ID})
		}
		return views
	}
	seq := int64(0)
	say := func(now time.Time, i int, views []host.GossipView) {
		seq++
		if _, err := f.Report(members[i], &host.Report{Boot: "b", Seq: seq, Gossip: views}, now); err != nil {
			t.Fatal(err)
		}
	}
	for i := range members {
		say(start, i, nil)
	}
	lost := func() Loss { s := f.Snapshot(); return s["h-0"].Loss }
	now := start
	for range 40 { // eight seconds
		now = now.Add(tick)
		say(now, 1, append(dead(0, 0, 0, 0, 1), host.GossipView{Host: "h-0", Alive: true}))
		say(now, 2, dead(0))
		say(now, 3, nil)
		say(now, 4, dead(4, 4))
		f.Tick(now, members)
	}
	// host-5 is not heard of either, and was among those that called nobody dead.
	if l := lost(); l.Lost || !strings.Contains(l.Why, "2 of 4 other hosts call it dead") {
		t.Errorf("half of the others call it dead: %+v", l)
	}
	say(now, 3, dead(0))
	f.Tick(now.Add(tick), members)
	if l := lost(); !l.Lost || l.Why != "3 of 4 other hosts call it dead" {
		t.Errorf("most of the others call it dead: %+v", l)
	}
}

// An unchanged renewal renews the link and is no news, however often it comes.
func TestUnchangedIsNoNews(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f := NewFleet(ClocksFor(1), start, nil)
	m := Member{ID: "h-1", Name: "host1", Joined: start}
	if _, ok := f.Complete("h-1", &host.Report{Boot: "b", Unchanged: "sha256:x"}); ok {
		t.Error("a host that never reported is completed")
	}
	rep := host.Report{Boot: "b", Seq: 1, Containers: []host.ContainerStatus{{CTID: 100, State: host.CtRunning}}}
	rep.Digest = rep.Sum()
	if _, err := f.Report(m, &rep, start); err != nil {
		t.Fatal(err)
	}
	_, _, moved := f.Since(0)
	for i := range 3 {
		next := host.Report{Boot: "b", Seq: int64(i + 2), Load: host.Load{Load1: float64(i)}}
		next.Shorten(rep.Digest)
		if _, ok := f.Complete("h-1", &next); !ok {
			t.Fatal("the renewal is not completed")
		}
		if _, err := f.Report(m, &next, start.Add(time.Duration(i+1)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-moved:
		t.Error("unchanged renewals are moves")
	default:
	}
	s := f.Snapshot()
	if got := s["h-1"]; len(got.Report.Containers) != 1 || !got.Received.Equal(start.Add(3*time.Second)) || got.Report.Load.Load1 != 2 {
		t.Errorf("what is known: %+v", got)
	}
}

// A host that boots anew by order is no trouble for having been away; one that does so by itself, or too late, is.
func TestAwayByOrder(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		order   *Order
		trouble bool
	}{
		{"nobody ordered it", nil, true},
		{"in time", &Order{Boot: "a", At: start, Until: start.Add(5 * time.Minute)}, false},
		{"overdue", &Order{Boot: "a", At: start, Until: start.Add(10 * time.Second)}, true},
		{"ordered in another boot", &Order{Boot: "b", At: start, Until: start.Add(5 * time.Minute)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := NewFleet(ClocksFor(1), start, nil)
			m := Member{ID: "h-1", Name: "host1", Joined: start, Order: c.order}
			report := func(boot string, now time.Time) {
				if _, err := f.Report(m, &host.Report{Boot: boot, Seq: 1}, now); err != nil {
					t.Fatal(err)
				}
			}
			f.Tick(start, []Member{m})
			report("a", start)
			now := start
			for range 100 { // twenty seconds
				now = now.Add(tick)
				f.Tick(now, []Member{m})
			}
			report("b", now)
			if got := f.Snapshot()["h-1"].Away.String(); (got != "") != c.trouble {
				t.Errorf("it is said: %q", got)
			}
		})
	}
}
