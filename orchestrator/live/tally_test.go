package live

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// Whatever hosts say, and whoever falls silent, comes back or is removed: what is kept of it is what counting everything anew finds.
func TestTallyIsTheLongWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
		f := NewFleet(ClocksFor(1), now, nil)
		var all []Member
		for i := range 5 {
			all = append(all, Member{ID: wire.HostID(fmt.Sprintf("h-%d", i)), Name: fmt.Sprintf("host-%d", i), Joined: now})
		}
		members, seq := all, int64(0)
		views := map[wire.HostID][]host.GossipView{}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			m := all[rapid.IntRange(0, 4).Draw(t, "host")]
			switch rapid.SampledFrom([]string{"say", "say", "again", "tick", "members"}).Draw(t, "what") {
			case "say":
				views[m.ID] = nil
				for i := range 5 {
					if rapid.Bool().Draw(t, "dead") {
						views[m.ID] = append(views[m.ID], host.GossipView{Host: all[i].ID})
					}
				}
				fallthrough
			case "again":
				seq++
				if _, err := f.Report(m, &host.Report{Boot: "b", Seq: seq, Gossip: views[m.ID]}, now); err != nil {
					t.Fatal(err)
				}
			case "tick":
				now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "ticks")) * tick)
				f.Tick(now, members)
			case "members":
				members = all[:rapid.IntRange(0, 5).Draw(t, "members")]
			}
			asked, dead := 0, map[wire.HostID]int{}
			for _, r := range f.mu.hosts {
				if r.voting {
					asked++
					for id := range r.dead {
						dead[id]++
					}
				}
			}
			if f.mu.votes.asked != asked || !maps.Equal(f.mu.votes.dead, dead) {
				t.Fatalf("kept: %+v, counted anew: %d asked, %v", f.mu.votes, asked, dead)
			}
		}
		f.Tick(now, members)
		for id, r := range f.mu.hosts {
			if r.voting != r.fresh(now, f.mu.clocks) {
				t.Fatalf("%s has a say: %v, its report is fresh: %v", id, r.voting, r.fresh(now, f.mu.clocks))
			}
		}
	})
}

// TestFigures measures a tick of liveness, on one thread; its figures are for make bench-orchestrator.
func TestFigures(t *testing.T) {
	if os.Getenv("HARDNODE_BENCH") == "" {
		t.Skip("HARDNODE_BENCH is not set: figures are measured by make bench-orchestrator")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	each := map[int]float64{}
	for _, hosts := range []int{500, 5000} {
		now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
		f := NewFleet(ClocksFor(1), now, nil)
		var members []Member
		var dead []host.GossipView
		for i := range hosts {
			m := Member{ID: wire.HostID(fmt.Sprintf("h-%012x", i)), Name: fmt.Sprintf("host%d", i), Joined: now}
			if members = append(members, m); i%10 == 0 {
				dead = append(dead, host.GossipView{Host: m.ID})
			}
		}
		for i, m := range members {
			r := &host.Report{Boot: "b", Seq: 1}
			if i%10 != 0 {
				r.Gossip = dead
			}
			if _, err := f.Report(m, r, now); err != nil {
				t.Fatal(err)
			}
		}
		f.Tick(now, members)
		const ticks = 50
		began := time.Now()
		for range ticks {
			now = now.Add(tick / ticks)
			f.Tick(now, members)
		}
		each[hosts] = time.Since(began).Seconds() * 1000 / ticks
		fmt.Printf("FIGURE a tick of liveness, %d hosts of which nine in ten call the tenth dead: %.2f ms\n", hosts, each[hosts])
	}
	fmt.Printf("FIGURE a tick of liveness, growth per host from 500 to 5000: %.2f ×\n", each[5000]/each[500]/10)
}
