package live

import (
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/strain"
)

// TestMet: what happened to containers is counted once, whatever starts anew.
func TestMet(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	later := now.Add(time.Hour)
	ct := func(id wire.CTID, started time.Time, kills, throttled int64, restarts int) host.ContainerStatus {
		return host.ContainerStatus{CTID: id, Started: started, Restarts: restarts,
			Strain: strain.Strain{Kills: kills, ThrottledMs: throttled}}
	}
	f := NewFleet(ClocksFor(1), now, nil)
	seq := int64(0)
	for _, c := range []struct {
		what string
		boot string
		list []host.ContainerStatus
		want Met
	}{
		{"what was there before is not news", "a", []host.ContainerStatus{ct(101, now, 5, 100, 2)}, Met{}},
		{"the same again", "a", []host.ContainerStatus{ct(101, now, 5, 100, 2)}, Met{}},
		{"it grows", "a", []host.ContainerStatus{ct(101, now, 6, 150, 2)}, Met{1, 50, 0}},
		{"a new one", "a", []host.ContainerStatus{ct(101, now, 6, 150, 2), ct(102, now, 0, 0, 0)}, Met{1, 50, 0}},
		{"it grows too", "a", []host.ContainerStatus{ct(101, now, 6, 150, 2), ct(102, now, 1, 10, 0)}, Met{2, 60, 0}},
		{"started again, they go on", "a", []host.ContainerStatus{ct(101, later, 7, 150, 3), ct(102, now, 1, 10, 0)}, Met{3, 60, 1}},
		{"the agent began anew", "a", []host.ContainerStatus{ct(101, later, 0, 20, 3), ct(102, now, 1, 10, 0)}, Met{3, 60, 1}},
		{"and goes on", "a", []host.ContainerStatus{ct(101, later, 2, 25, 3), ct(102, now, 1, 10, 0)}, Met{5, 65, 1}},
		{"a new generation", "a", []host.ContainerStatus{ct(101, later.Add(1), 1, 5, 0), ct(102, now, 1, 10, 0)}, Met{6, 70, 1}},
		{"one is removed", "a", []host.ContainerStatus{ct(101, later.Add(1), 1, 5, 0)}, Met{6, 70, 1}},
		{"an agent that has not looked yet", "a", nil, Met{6, 70, 1}},
		{"and then has", "a", []host.ContainerStatus{ct(101, later.Add(1), 1, 5, 0)}, Met{6, 70, 1}},
		{"a boot", "b", []host.ContainerStatus{ct(101, later.Add(2), 0, 4, 0)}, Met{6, 74, 1}},
	} {
		seq++
		m := Member{ID: "h-000000000001", Name: "host-1", Joined: now}
		if _, err := f.Report(m, &host.Report{Boot: c.boot, Seq: seq, Containers: c.list}, now); err != nil {
			t.Fatal(err)
		}
		if got := f.Met(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}
