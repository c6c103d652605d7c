package host

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/strain"
	"hardnode.dev/internal/wire/tune"
	"hardnode.dev/internal/wire/volume"
)

func whole() Report {
	r := Report{Boot: "b", Seq: 7, Work: 3, Containers: []ContainerStatus{
		{CTID: 100, Generation: 1, State: CtRunning, Started: time.Unix(5, 0).UTC(), MemoryBytes: 1, CPUMicros: 2, DiskBytes: 3},
		{CTID: 101, Generation: 1, State: CtFailing, Reason: "exited with code 1", Restarts: 4, ExitCode: 1}},
		Gossip:     []GossipView{{Host: "h-1", Alive: true}, {Host: "h-2"}},
		Protection: &Protection{SecureBoot: "on", Lockdown: "integrity"}}
	r.Digest = r.Sum()
	return r
}

// TestComplete: an unchanged renewal over the wire is the whole report again, with what it says itself; of any other report it is none.
func TestComplete(t *testing.T) {
	last, next := whole(), whole()
	next.Seq, next.Load.Load1, next.Work = 8, 2, 4
	next.Shorten(last.Digest)
	raw, err := json.Marshal(next)
	if err != nil || len(raw) > 700 {
		t.Errorf("%d bytes, %v: want a short report: %s", len(raw), err, raw)
	}
	for _, c := range []struct {
		name   string
		change func(last *Report) *Report
		want   bool
	}{
		{"the one it means", func(r *Report) *Report { return r }, true},
		{"none: the orchestrator has just started", func(*Report) *Report { return nil }, false},
		{"another one", func(r *Report) *Report { r.Seq++; r.Digest = r.Sum(); return r }, false},
		{"of another boot", func(r *Report) *Report { r.Boot = "c"; return r }, false},
		{"of an agent that sends no digests", func(r *Report) *Report { r.Digest = ""; return r }, false},
	} {
		var got Report
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		kept := whole()
		if ok := got.Complete(c.change(&kept)); ok != c.want {
			t.Errorf("%s: %v, want %v", c.name, ok, c.want)
		}
		if !c.want {
			if got.Unchanged != last.Digest || got.Containers != nil {
				t.Errorf("%s: what can't be completed was changed: %+v", c.name, got)
			}
			continue
		}
		if want := whole(); !reflect.DeepEqual(got.Containers, want.Containers) || !reflect.DeepEqual(got.Gossip, want.Gossip) ||
			!reflect.DeepEqual(got.Protection, want.Protection) || got.Digest != want.Digest ||
			got.Unchanged != "" || got.Seq != 8 || got.Work != 4 || got.Load.Load1 != 2 {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
	none := whole()
	none.Unchanged, none.Digest = "", ""
	if none.Complete(&Report{Boot: "b"}) {
		t.Error("a report that names no digest is that of an agent that sends none")
	}
}

// TestSteady: what containers use changes all the time and counts for nothing; every other field counts.
func TestSteady(t *testing.T) {
	a, b := whole(), whole()
	b.Seq, b.Containers[0].MemoryBytes, b.Containers[0].CPUMicros, b.Containers[0].DiskBytes = 9, 8, 8, 8
	b.Containers[0].Volumes = []volume.Use{{Name: "data", Bytes: 8}}
	b.Containers[0].Started = a.Containers[0].Started.In(time.FixedZone("x", 3600))
	if !a.Steady(&b) {
		t.Error("another use of resources counts as a change")
	}
	figures := map[string]bool{"MemoryBytes": true, "CPUMicros": true, "DiskBytes": true, "Volumes": true, "Strain": true}
	for i := range reflect.TypeFor[ContainerStatus]().NumField() {
		f := reflect.TypeFor[ContainerStatus]().Field(i)
		c := whole()
		switch v := reflect.ValueOf(&c.Containers[1]).Elem().Field(i); v.Interface().(type) {
		case time.Time:
			v.Set(reflect.ValueOf(time.Unix(99, 0)))
		case string, ContainerState, wire.Digest:
			v.SetString("another")
		case WentBack:
			v.Set(reflect.ValueOf(WentBack{Generation: 9}))
		case strain.Strain:
			v.Set(reflect.ValueOf(strain.Strain{Kills: 9}))
		case tune.Tuned:
			v.Set(reflect.ValueOf(tune.Tuned{At: 9}))
		case *move.State:
			v.Set(reflect.ValueOf(&move.State{Round: 9}))
		case []volume.Use:
			v.Set(reflect.ValueOf([]volume.Use{{Name: "data"}}))
		default:
			v.SetInt(99)
		}
		if a.Steady(&c) != figures[f.Name] {
			t.Errorf("a change of %s: steady is %v", f.Name, a.Steady(&c))
		}
	}
	c := whole()
	if c.Gossip[0].Alive = false; a.Steady(&c) {
		t.Error("a host that gossip calls dead is no change")
	}
	if c = whole(); func() bool { c.System = &SystemStatus{State: SystemIdle}; return a.Steady(&c) }() {
		t.Error("another state of its system is no change")
	}
	if c = whole(); func() bool { c.Containers = c.Containers[:1]; return a.Steady(&c) }() {
		t.Error("a container less is no change")
	}
	again := a
	again.Seq++
	if n := testing.AllocsPerRun(1000, func() { // often: the runtime has some of its own, which are counted too
		if !a.Steady(&again) {
			t.Error("the same list of containers is a change")
		}
	}); n != 0 {
		t.Errorf("the same list is compared: %.0f allocations", n)
	}
}
