package history

import (
	"reflect"
	"testing"
	"time"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestRuns: runs shorter than plan.MinRun are counted in a row, each once; a long one ends the row, and so does a new generation.
func TestRuns(t *testing.T) {
	b := New()
	at := t0
	run := func(generation int64, d time.Duration) (noticed time.Time) {
		exited := at.Add(d)
		at = exited.Add(time.Second)
		for range 3 { // seen in round after round
			s := b.Saw(plan.Seen{CTID: 101, Generation: generation, Started: exited.Add(-d), Exited: exited}, at)
			if noticed.IsZero() {
				noticed = s.Exited
			}
			if !s.Exited.Equal(noticed) {
				t.Fatalf("exited %s, then %s", noticed, s.Exited)
			}
			at = at.Add(time.Second)
		}
		return noticed
	}
	for i, x := range []struct {
		generation int64
		ran        time.Duration
		want       int
	}{{1, time.Second, 1}, {1, time.Second, 2}, {1, plan.MinRun, 0}, {1, time.Second, 1}, {1, 0, 2}, {2, time.Second, 1}} {
		before := at.Add(x.ran)
		if noticed := run(x.generation, x.ran); !noticed.After(before) {
			t.Errorf("run %d: the exit counts from %s, want from when it was noticed", i, noticed)
		}
		if h := b.Containers()[101]; h.Short != x.want || h.Generation != x.generation {
			t.Errorf("run %d: got %+v, want %d short", i, h, x.want)
		}
	}
	b.Saw(plan.Seen{CTID: 101, Generation: 2, Running: true, Started: at}, at.Add(plan.MinRun+1))
	if h := b.Containers()[101]; h.Short != 0 {
		t.Errorf("it runs for long: got %+v, want none short", h)
	}
}

// TestSteps: what each kind of step leaves when it fails and when it succeeds.
func TestSteps(t *testing.T) {
	step := func(k plan.Kind) plan.Step {
		return plan.Step{Kind: k, CTID: 101, Want: host.Container{CTID: 101, Generation: 2}}
	}
	ill := plan.History{Generation: 2, Short: 3, StartErr: "a", StopErr: "b", FailedAt: t0, Permanent: true}
	now := t0.Add(time.Minute)
	for name, x := range map[string]struct {
		was  plan.History
		step plan.Step
		out  Outcome
		want plan.History
	}{
		"start fails": {plan.History{Generation: 2, Short: 1}, step(plan.Start), Outcome{Err: "x"},
			plan.History{Generation: 2, Short: 2, StartErr: "x", FailedAt: now}},
		"start can't succeed": {plan.History{Generation: 2}, step(plan.Start), Outcome{"x", true},
			plan.History{Generation: 2, Short: 1, StartErr: "x", FailedAt: now, Permanent: true}},
		"another generation": {plan.History{Generation: 1, Short: 9, StopErr: "b"}, step(plan.Start), Outcome{Err: "x"},
			plan.History{Generation: 2, Short: 1, StartErr: "x", FailedAt: now}},
		"start succeeds": {ill, step(plan.Start), Outcome{},
			plan.History{Generation: 2, Short: 3, StopErr: "b", FailedAt: t0}},
		"resize fails": {plan.History{Generation: 2}, step(plan.Resize), Outcome{Err: "x"},
			plan.History{Generation: 2, StopErr: "x", FailedAt: now}},
		"resize succeeds": {ill, step(plan.Resize), Outcome{},
			plan.History{Generation: 2, Short: 3, StartErr: "a", FailedAt: t0, Permanent: true}},
		"stop fails": {plan.History{Generation: 2}, step(plan.Stop), Outcome{Err: "x"},
			plan.History{Generation: 2, Short: 1, StopErr: "x", FailedAt: now}},
		"stop succeeds": {ill, step(plan.Stop), Outcome{}, plan.History{Generation: 2, FailedAt: t0}},
		"removed":       {ill, step(plan.Remove), Outcome{}, plan.History{}},
		"container not removed": {plan.History{}, step(plan.Remove), Outcome{Err: "x"},
			plan.History{Short: 1, StopErr: "x", FailedAt: now}},
	} {
		b := New()
		b.containers[101] = x.was
		b.Did(x.step, x.out, now)
		if got := b.Containers()[101]; got != x.want {
			t.Errorf("%s: got %+v, want %+v", name, got, x.want)
		}
	}
}

// TestFetches: the pauses double; wrong content waits longer; what is not wanted any more is forgotten.
func TestFetches(t *testing.T) {
	b := New()
	d := wire.Digest("sha256:aa")
	fetch := plan.Step{Kind: plan.Fetch, CTID: 101, Want: host.Container{Image: host.Image{Digest: d}}}
	var got []time.Duration
	for range 7 {
		b.Did(fetch, Outcome{Err: "x"}, t0)
		got = append(got, b.Failed()[d].RetryAt.Sub(t0))
	}
	const s = time.Second
	if want := []time.Duration{s / 2, s, 2 * s, 4 * s, 8 * s, 15 * s, 15 * s}; !reflect.DeepEqual(got, want) {
		t.Errorf("pauses: got %v, want %v", got, want)
	}
	b.Did(fetch, Outcome{"wrong", true}, t0)
	if got, want := b.Failed()[d], (plan.Image{Err: "wrong", Wrong: true, RetryAt: t0.Add(30 * s)}); got != want {
		t.Errorf("wrong content: got %+v, want %+v", got, want)
	}
	b.Forget(&host.Work{Containers: []host.Container{{Image: host.Image{Digest: d}}}})
	if len(b.Failed()) != 1 {
		t.Error("a wanted image's failure is forgotten")
	}
	b.Forget(&host.Work{Containers: []host.Container{{Image: host.Image{Digest: d}, Remove: true}}})
	b.Did(fetch, Outcome{Err: "x"}, t0)
	if got := b.Failed()[d].RetryAt.Sub(t0); got != s/2 {
		t.Errorf("wanted again: the first pause is %s, want %s", got, s/2)
	}
	b.Did(fetch, Outcome{}, t0)
	if len(b.Failed()) != 0 {
		t.Errorf("fetched: got %v, want none failed", b.Failed())
	}
}
