package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// TestBeside: what runs of the resolver in each moment of a trial, where its published ports lead, and what is told of it.
func TestBeside(t *testing.T) {
	version := func(generation int64, trial bool) host.Container {
		return want(4, generation, jelastic, checked, func(c *host.Container) {
			c.Component, c.IPv4 = host.ComponentResolver, netip.MustParseAddr("10.96.0.14")
			if trial {
				c.ConfirmBy = now.Add(time.Minute)
			}
		})
	}
	well, ill := Health{Checked: true, OK: true}, Health{Checked: true, Reason: "connection refused"}
	one, two := wire.CTID(4), wire.CTID(54)
	for _, tt := range []struct {
		name    string
		now     host.Container
		seen    []Seen
		health  map[wire.CTID]Health
		history History // of what is beside
		want    string  // containers with their generations
		leads   wire.CTID
		told    string
	}{
		{"before", version(1, false), []Seen{runs(4, 1)}, map[wire.CTID]Health{one: well}, History{}, "4/1", one, "4/1 running"},
		{"the trial begins", version(2, true), []Seen{runs(4, 1)}, map[wire.CTID]Health{one: well}, History{}, "4/1 54/2", one,
			"4/2 waiting"},
		{"it starts", version(2, true), []Seen{runs(4, 1), runs(54, 2)}, map[wire.CTID]Health{one: well}, History{}, "4/1 54/2", one,
			"4/2 starting"},
		{"it serves", version(2, true), []Seen{runs(4, 1), runs(54, 2)}, map[wire.CTID]Health{one: well, two: well}, History{},
			"4/1 54/2", two, "4/2 running"},
		{"it serves no more", version(2, true), []Seen{runs(4, 1), runs(54, 2)}, map[wire.CTID]Health{one: well, two: ill}, History{},
			"4/1 54/2", one, "4/2 failing"},
		{"it ended", version(2, true), []Seen{runs(4, 1), exited(54, 2, time.Minute, 1)}, map[wire.CTID]Health{one: well}, History{},
			"4/1 54/2", one, "4/2 failing"},
		{"the former one ended meanwhile", version(2, true), []Seen{exited(4, 1, time.Minute, 1), runs(54, 2)},
			map[wire.CTID]Health{two: well}, History{}, "4/1 54/2", two, "4/2 running"},
		{"it ended too often", version(2, true), []Seen{runs(4, 1), exited(54, 2, time.Second, 1)}, map[wire.CTID]Health{one: well},
			History{Generation: 2, Short: 4}, "4/1", one, "4/1 running"},
		{"taken back", version(1, false), []Seen{runs(4, 1), runs(54, 2)}, map[wire.CTID]Health{one: well, two: well}, History{}, "4/1",
			one, "4/1 running"},
		{"confirmed", version(2, false), []Seen{runs(4, 1), runs(54, 2)}, map[wire.CTID]Health{two: well}, History{}, "4/2 54/2", two,
			"4/2 running"},
		{"its own place is taken", version(2, false), []Seen{runs(4, 2), runs(54, 2)}, map[wire.CTID]Health{two: well}, History{},
			"4/2 54/2", two, "4/2 running"},
		{"a check fails meanwhile", version(2, false), []Seen{runs(4, 2), runs(54, 2)}, map[wire.CTID]Health{two: ill}, History{},
			"4/2 54/2", two, "4/2 failing"},
		{"and serves", version(2, false), []Seen{runs(4, 2), runs(54, 2)}, map[wire.CTID]Health{one: well, two: well}, History{}, "4/2",
			one, "4/2 running"},
		{"what is beside ended first", version(2, false), []Seen{runs(4, 2), exited(54, 2, time.Minute, 1)}, nil, History{}, "4/2", one,
			"4/2 starting"},
		{"the power was cut", version(2, false), nil, nil, History{}, "4/2", one, "4/2 waiting"},
		{"the power was cut on trial", version(2, true), nil, nil, History{}, "4/1 54/2", one, "4/2 waiting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := Input{Seen: map[wire.CTID]Seen{}, Images: map[wire.Digest]Image{imgA: {Present: true}}, Health: tt.health, Now: now}
			for _, s := range tt.seen {
				in.Seen[s.CTID] = s
			}
			w := &host.Work{Containers: []host.Container{tt.now, want(104, 1)}}
			trial := Trial{Confirmed: map[wire.CTID]host.Container{4: version(1, false)}, History: map[wire.CTID]History{54: tt.history},
				Here: func(id wire.CTID) bool { return in.Seen[id].CTID != 0 }}
			eff, _, _ := Effective(w, trial, now)
			eff = Relieve(eff, in)
			in.Work = eff
			var got []string
			for _, c := range eff.Containers {
				if c.CTID < 100 {
					got = append(got, fmt.Sprintf("%d/%d", c.CTID, c.Generation))
				}
				if addr := c.IPv4.String(); c.CTID == 54 && addr != "10.96.0.64" {
					t.Errorf("its address is %s", addr)
				}
				v4, _ := SpeaksAs(c)
				if v4.IsValid() != (c.CTID == 54) || v4.IsValid() && v4 != tt.now.IPv4 {
					t.Errorf("container %d speaks as %s", c.CTID, v4)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("what runs: got %q, want %q", s, tt.want)
			}
			for _, id := range []wire.CTID{4, 54, 104} {
				if Leads(eff, in, id) != (id == tt.leads || id == 104) {
					t.Errorf("ports lead to %d: %v", id, Leads(eff, in, id))
				}
			}
			got = nil
			for _, s := range Told(Decide(in).Statuses, eff) {
				if s.CTID < 100 {
					got = append(got, fmt.Sprintf("%d/%d %s", s.CTID, s.Generation, s.State))
				}
			}
			if s := strings.Join(got, ", "); s != tt.told {
				t.Errorf("told: got %q, want %q", s, tt.told)
			}
		})
	}
}
