package container

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"hardnode.dev/agent/container/record"
	"hardnode.dev/agent/spawner/call"
	"hardnode.dev/agent/volume"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

func TestJudge(t *testing.T) {
	began := time.Unix(100, 0)
	run := func(pid int, known bool) record.Record {
		return record.Record{Record: call.Record{PID: pid, Started: began, Ended: began.Add(time.Second), Code: 3, Known: known, Starts: 2},
			Note: record.Note{Container: host.Container{CTID: 5, Generation: 2}, UIDBase: 65536, Files: "h"}}
	}
	for _, c := range []struct {
		name string
		f    facts
		want Observed
	}{
		{"runs", facts{rec: run(9, false), known: true, cgroup: true, populated: true,
			disk: volume.Contents{Layers: []int64{1, 2}, Volumes: []string{"v"}}},
			Observed{CTID: 5, State: StateRunning, PID: 9, Generation: 2, UIDBase: 65536, Spec: host.Container{CTID: 5, Generation: 2},
				FilesHash: "h", Started: began,
				Restarts: 1, Volumes: []string{"v"}, Leftovers: []string{"layer of generation 1"}}},
		{"exited", facts{rec: run(0, true), known: true, cgroup: true},
			Observed{CTID: 5, State: StateExited, Generation: 2, UIDBase: 65536, Spec: host.Container{CTID: 5, Generation: 2},
				FilesHash: "h", Started: began,
				Exited: began.Add(time.Second), ExitCode: 3, ExitKnown: true, Restarts: 1}},
		{"only on disk", facts{disk: volume.Contents{Layers: []int64{4}}}, Observed{CTID: 5, State: StateStopped, Generation: 4}},
		{"processes nobody knows", facts{cgroup: true, populated: true}, Observed{CTID: 5, State: StateOrphan}},
		{"its note is damaged", facts{rec: record.Record{Record: run(9, false).Record, Damage: errors.New("torn")}, known: true,
			cgroup: true, populated: true, base: 131072,
			disk: volume.Contents{Layers: []int64{2}}},
			Observed{CTID: 5, State: StateRunning, PID: 9, Generation: 2, UIDBase: 131072, Started: began, Restarts: 1}},
		{"its first process can't end", facts{rec: run(9, false), known: true, stuck: true},
			Observed{CTID: 5, State: StateOrphan, PID: 9, Generation: 2, UIDBase: 65536, Spec: host.Container{CTID: 5, Generation: 2},
				FilesHash: "h", Started: began, Restarts: 1}},
		{"half of a layer", facts{disk: volume.Contents{Rest: []string{"new-layer-1"}}},
			Observed{CTID: 5, State: StateStopped, Leftovers: []string{`"new-layer-1" on disk`}}},
		{"an empty cgroup", facts{cgroup: true}, Observed{CTID: 5, State: StateStopped, Leftovers: []string{"empty cgroup"}}},
	} {
		if got := judge(5, c.f); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

// TestPaused: what is stopped to be started again is seen as stopped, not as one that ended itself, until the last who stops it is done.
func TestPaused(t *testing.T) {
	r := &Runtime{}
	r.mu.pausing = map[wire.CTID]pause{}
	ended := Observed{CTID: 5, State: StateExited, Exited: time.Unix(9, 0), ExitCode: 3, ExitKnown: true, Generation: 2}
	first, second := r.pausing(5), r.pausing(5)
	first()
	r.forget(5)
	look := r.looking()
	if got := r.paused(ended, look); !reflect.DeepEqual(got, Observed{CTID: 5, State: StateStopped, Generation: 2}) {
		t.Errorf("meanwhile: %+v", got)
	}
	if got := r.paused(Observed{CTID: 5, State: StateRunning, PID: 7}, look); got.State != StateRunning {
		t.Errorf("while it runs: %+v", got)
	}
	if got := r.paused(Observed{CTID: 6, State: StateExited}, look); got.State != StateExited {
		t.Errorf("another: %+v", got)
	}
	second()
	if got := r.paused(ended, look); got.State != StateStopped {
		t.Errorf("by who looked while it was stopped: %+v", got)
	}
	if got := r.paused(ended, r.looking()); !reflect.DeepEqual(got, ended) {
		t.Errorf("afterwards: %+v", got)
	}
	if r.forget(5); len(r.mu.pausing) != 0 {
		t.Errorf("of one that is gone there is %v", r.mu.pausing)
	}
}
