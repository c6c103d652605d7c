package live

import (
	"fmt"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/operator"
)

func moved1(t *testing.T, f *Fleet, v *Version) (ids []wire.HostID) {
	t.Helper()
	list, now, over := f.Since(*v)
	select {
	case <-over:
		t.Error("the channel of the newest version is closed")
	default:
	}
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	*v = now
	return ids
}

func going(s move.State) host.ContainerStatus {
	return host.ContainerStatus{CTID: 100, Generation: 1, State: host.CtRunning, Move: &s}
}

// A host moves when something changed that decisions read, and by nothing else.
func TestMoves(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f := NewFleet(ClocksFor(1), start, nil)
	members := []Member{{ID: "h-0", Name: "a", Joined: start}, {ID: "h-1", Name: "b", Joined: start}}
	var v Version
	f.Tick(start, members)
	if ids := moved1(t, f, &v); len(ids) != 2 {
		t.Fatalf("two hosts that join: %v", ids)
	}
	now := start
	rep := host.Report{Boot: "b", Planned: 7, Containers: []host.ContainerStatus{{CTID: 100, Generation: 1, State: host.CtRunning}}}
	report := func(change func(*host.Report)) {
		t.Helper()
		change(&rep)
		rep.Seq++
		now = now.Add(100 * time.Millisecond)
		r := rep
		if _, err := f.Report(members[0], &r, now); err != nil {
			t.Fatal(err)
		}
	}
	containers := func(c ...host.ContainerStatus) func(*host.Report) {
		return func(r *host.Report) { r.Containers = c }
	}
	report(func(*host.Report) {})
	if ids := moved1(t, f, &v); len(ids) != 1 || ids[0] != "h-0" {
		t.Errorf("the first report: %v", ids)
	}
	for i := range 5 {
		report(containers(host.ContainerStatus{CTID: 100, Generation: 1, State: host.CtRunning, MemoryBytes: int64(i), Reason: "it ended",
			NextStart: now.Add(time.Duration(i) * time.Second)}))
		report(func(r *host.Report) { r.Load.UptimeSec = int64(i); r.Sent = now; r.Late = fmt.Sprint(i) })
	}
	if ids := moved1(t, f, &v); len(ids) != 0 {
		t.Errorf("what a container says of its next start moves %v", ids)
	}
	for what, change := range map[string]func(*host.Report){
		"another state":       containers(host.ContainerStatus{CTID: 100, Generation: 1, State: host.CtStopped}),
		"another generation":  containers(host.ContainerStatus{CTID: 100, Generation: 2, State: host.CtRunning}),
		"a container more":    containers(host.ContainerStatus{CTID: 100}, host.ContainerStatus{CTID: 101}),
		"a move":              containers(going(move.State{})),
		"more is copied":      containers(going(move.State{Bytes: 1})),
		"it waits for others": containers(going(move.State{Bytes: 1, Waits: true})),
		"no container":        containers(),
		"planned":             func(r *host.Report) { r.Planned++ },
		"boot":                func(r *host.Report) { r.Boot += "b"; r.Seq = 0 },
		"mesh key":            func(r *host.Report) { r.MeshKey += "k" },
		"memory":              func(r *host.Report) { r.Capacity.MemoryBytes++ },
		"disk":                func(r *host.Report) { r.Capacity.DiskBytes++ },
		"gossip key":          func(r *host.Report) { r.Keys.Use += "k" },
		"accepted key":        func(r *host.Report) { r.Keys.Accept = append(r.Keys.Accept, "k") },
	} {
		report(change)
		if ids := moved1(t, f, &v); len(ids) != 1 || ids[0] != "h-0" {
			t.Errorf("%s moves %v, want h-0", what, ids)
		}
	}
	before := v
	late := now.Add(f.Clocks().Detect + time.Second)
	for at := now; at.Before(late); at = at.Add(tick) {
		f.Tick(at, members)
	}
	list, _, _ := f.Since(before)
	found := map[wire.HostID]operator.HostState{}
	for _, m := range list {
		found[m.ID] = m.Status.State.State
	}
	if found["h-0"] != operator.HostUnreachable {
		t.Errorf("h-0 was not heard of, and is told to be %q", found["h-0"])
	}
	f.Tick(late, members[:1])
	gone := false
	list, _, _ = f.Since(before)
	for _, m := range list {
		gone = gone || m.ID == "h-1" && m.Gone
	}
	if !gone {
		t.Errorf("h-1 was removed, and nobody is told: %v", list)
	}
	if all, _, _ := f.Since(0); len(all) != 2 {
		t.Errorf("since the start: %d hosts, want 2", len(all))
	}
}
