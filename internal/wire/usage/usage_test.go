package usage

import (
	"testing"

	"hardnode.dev/internal/testkit/golden"
)

func TestGolden(t *testing.T) {
	golden.Wire[Ask](t, "ask")
	golden.Wire[Answer](t, "answer")
}

func TestValidate(t *testing.T) {
	for want, a := range map[bool][]Ask{true: {{Step: Minute}, {Step: Hour, Since: 7, From: 1, CTID: 101}, {Step: Sample}},
		false: {{}, {Step: "day"}, {Step: Hour, Since: -1}, {Step: Hour, From: -1}, {Step: Hour, CTID: -1}}} {
		for _, a := range a {
			if err := a.Validate(); (err == nil) != want {
				t.Errorf("%+v: %v", a, err)
			}
		}
	}
}

func TestAdd(t *testing.T) {
	a := Record{CTID: 7, End: 60, Seconds: 60, MemoryMean: 100, MemoryPeak: 500, CPUMicros: 5, CPUPeak: 3, Read: 1, Written: 2, Reads: 3,
		Writes: 4, NetIn: 5, NetOut: 6, Disk: 9, RAMMean: 10, RAMPeak: 50, RAMPeakAt: 33, Env: "shop", Account: "alice", Reserved: 4}
	b := Record{CTID: 7, End: 80, Seconds: 20, MemoryMean: 500, MemoryPeak: 400, CPUMicros: 1, CPUPeak: 9, Read: 1, Written: 1, Reads: 1,
		Writes: 1, NetIn: 1, NetOut: 1, Disk: 2, RAMMean: 50, RAMPeak: 50, RAMPeakAt: 77, Env: "shop", Account: "bob", Reserved: 1}
	want := Record{CTID: 7, End: 80, Seconds: 80, MemoryMean: 200, MemoryPeak: 500, CPUMicros: 6, CPUPeak: 9, Read: 2, Written: 3, Reads: 4,
		Writes: 5, NetIn: 6, NetOut: 7, Disk: 2, RAMMean: 20, RAMPeak: 50, RAMPeakAt: 33, Env: "shop", Account: "bob", Reserved: 1}
	if got := a.Add(b); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := (Record{}).Add(a); got != a {
		t.Errorf("to nothing: %+v", got)
	}
	stopped := Record{CTID: 7, End: 140, Seconds: 60, Disk: 9}
	if got := a.Add(stopped); got.RAMPeak != 50 || got.RAMPeakAt != 33 || got.RAMMean != 5 || got.Seconds != 120 || got.Disk != 9 {
		t.Errorf("and then it was stopped: %+v", got)
	}
	if got := stopped.Add(Record{Seconds: 5, RAMPeakAt: 145}); got.RAMPeakAt != 145 {
		t.Errorf("a peak of nothing is one: %+v", got)
	}
}
