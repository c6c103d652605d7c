package observe

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"hardnode.dev/agent/container"
	"hardnode.dev/agent/container/limits"
	"hardnode.dev/agent/container/shortage"
	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/tune"
	"hardnode.dev/internal/wire/volume"
)

func untuned(wire.CTID) tune.Tuned { return tune.Tuned{} }

func TestContainers(t *testing.T) {
	began, ended := time.Unix(100, 0), time.Unix(200, 0)
	small, big := host.Limits{MemoryMax: 1 << 20}, host.Limits{MemoryMax: 2 << 20}
	spec := host.Container{Limits: small}
	tests := []struct {
		name string
		o    container.Observed
		want plan.Seen
	}{
		{"running", container.Observed{State: container.StateRunning, Generation: 2, Started: began, Spec: spec, Restarts: 3},
			plan.Seen{Generation: 2, Running: true, Started: began, Restarts: 3}},
		{"exited",
			container.Observed{State: container.StateExited, Started: began, Exited: ended, ExitCode: 137, ExitKnown: true, Spec: spec},
			plan.Seen{Started: began, Exited: ended, ExitCode: 137}},
		{"exited, nobody saw when", container.Observed{State: container.StateExited, Started: began, Spec: spec},
			plan.Seen{Started: began, Exited: began}},
		{"out of memory", container.Observed{State: container.StateExited, Started: began, Exited: ended, ExitCode: 137, ExitKnown: true,
			OOMKilled: true,
			OOM:       shortage.OOM{Kills: 5, Times: 2, At: ended, Process: "java", Bytes: 125 << 20, Limit: 128 << 20}},
			plan.Seen{Started: began, Exited: ended, ExitCode: 137,
				Memory: plan.Memory{Times: 2, Last: "out of memory: process java used 125 MiB of 128 MiB", At: ended, Ended: true}}},
		{"data only", container.Observed{State: container.StateStopped, Generation: 2}, plan.Seen{Generation: 2}},
		{"not all is seen", container.Observed{State: container.StateStopped, Trouble: "quota"}, plan.Seen{Trouble: "quota"}},
		{"orphan", container.Observed{State: container.StateOrphan}, plan.Seen{Orphan: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.CTID, tt.want.CTID = 101, 101
			if got := Containers([]container.Observed{tt.o}, nil, nil)[101]; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	// What the kernel has counts, not what the container was started with.
	work := &host.Work{Containers: []host.Container{{CTID: 101, Limits: big}}}
	micros := func(mhz int64) int64 { return mhz * 10 }
	for _, c := range []struct {
		name string
		set  limits.Set
		want string
	}{
		{"as wanted", limits.Of(big, 0), ""},
		{"as started", limits.Of(small, 0), "memory.max is 1048576, wanted 2097152; memory.swap.max is 524288, wanted 1048576"},
		{"a ceiling is left", limits.Of(big, 5000), "cpu.max is 5000 100000, wanted max 100000"},
		{"not known", limits.Set{}, ""},
	} {
		if got := Containers([]container.Observed{{CTID: 101, State: container.StateRunning, Spec: spec, Set: c.set}}, work,
			micros)[101].Drift; got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestVolumeDrift: a volume with another quota than the wanted one is no more as it shall be than another limit.
func TestVolumeDrift(t *testing.T) {
	work := &host.Work{Containers: []host.Container{{CTID: 101, Volumes: []host.Volume{{Name: "data", Bytes: 2}}}}}
	micros := func(mhz int64) int64 { return mhz * 10 }
	for limit, want := range map[int64]string{2: "", 1: `quota of volume "data" is 1, wanted 2`} {
		o := container.Observed{CTID: 101, State: container.StateRunning, InVolumes: []volume.Use{{Name: "data", Limit: limit}}}
		if got := Containers([]container.Observed{o}, work, micros)[101].Drift; got != want {
			t.Errorf("limit %d: %q, want %q", limit, got, want)
		}
		st := []host.ContainerStatus{{CTID: 101}}
		if Count(st, []container.Observed{o}, nil, untuned); len(st[0].Volumes) != 1 || st[0].Volumes[0].Limit != limit {
			t.Errorf("status: %+v", st[0])
		}
	}
}

func TestImagesAndCounters(t *testing.T) {
	work := &host.Work{Containers: []host.Container{{Image: host.Image{Digest: "a"}}, {Image: host.Image{Digest: "b"}},
		{Image: host.Image{Digest: "b"}}}}
	path := func(d wire.Digest) (string, bool) { return "", d == "a" }
	got := Images(work, path, map[wire.Digest]plan.Image{"a": {Err: "old"}, "b": {Err: "away"}, "c": {Err: "nobody wants it"}})
	if len(got) != 2 || got["a"] != (plan.Image{Present: true}) || got["b"].Err != "away" {
		t.Errorf("got %+v", got)
	}
	st := []host.ContainerStatus{{CTID: 1}, {CTID: 2}}
	Count(st, []container.Observed{{CTID: 2, MemoryBytes: 5, CPUMicros: 6, DiskBytes: 7}}, map[wire.CTID]bool{1: true, 2: true}, untuned)
	if st[0].MemoryBytes != 0 || st[1].MemoryBytes != 5 || st[1].CPUMicros != 6 || st[1].DiskBytes != 7 {
		t.Errorf("got %+v", st)
	}
	if st[0].Strain.Connections != 0 || st[1].Strain.Connections != 1 {
		t.Errorf("got %+v; want that the second has too many connections, and nothing of one that is not there", st)
	}
}

func TestProblems(t *testing.T) {
	now := time.Unix(1e6, 0)
	got := Problems([]container.Observed{
		{CTID: 1},
		{CTID: 2, OOM: shortage.OOM{Kills: 1, Times: 1, At: now, Process: "dd", Bytes: 126 << 20, Limit: 128 << 20, Command: true}},
		{CTID: 3, OOM: shortage.OOM{Times: 7, At: now.Add(-time.Minute), Process: "java", Bytes: 90 << 20}},
		{CTID: 4, OOM: shortage.OOM{Kills: 1, Times: 1, At: now.Add(-2 * plan.MemoryNews), Process: "old"}},
		{CTID: 7, Spec: host.Container{Component: "resolver"}, OOM: shortage.OOM{Kills: 1, Times: 1, At: now, Process: "resolver",
			Bytes: 64 << 20, Limit: 64 << 20}},
		{CTID: 5, OOM: shortage.OOM{Kills: 1, Limit: 64 << 20}}, // nobody knows when
	}, now)
	want := []struct{ says, next string }{
		{"container 2: out of memory: process dd of a command used 126 MiB of 128 MiB", "hnctl node resize 2 --memory MIB"},
		{"container 3: out of memory: process java used 90 MiB; 7 times within an hour", "(hnctl node top 3)"},
		{"container 7: out of memory: process resolver used 64 MiB of 64 MiB", "hnctl node logs resolver"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, p := range got {
		if s := p.Object + ": " + p.Reason; s != want[i].says || !strings.Contains(p.Next, want[i].next) {
			t.Errorf("got %q, next %q; want %q", s, p.Next, want[i])
		}
	}
}
