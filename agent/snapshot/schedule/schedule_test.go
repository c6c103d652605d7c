package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
	"hardnode.dev/internal/wire/snapshot"
)

// world is a host whose clock is set by the test.
type world struct {
	now    time.Time
	work   *host.Work
	newest map[wire.CTID]time.Time
	err    error // of what is done
	halted map[wire.CTID]bool
	half   bool // the error comes behind the snapshot
	did    []string
}

func (w *world) keeper() *Keeper {
	return New(Options{Work: func() *host.Work { return w.work },
		Newest: func(id wire.CTID) time.Time { return w.newest[id] },
		Take: func(_ context.Context, id wire.CTID, s snapshot.Schedule) (bool, error) {
			if w.halted[id] {
				return false, ErrNotNow
			}
			w.did = append(w.did, fmt.Sprintf("%s %s", w.now.Format("15:04"), id))
			if w.err == nil || w.half {
				w.newest[id] = w.now
			}
			return w.err == nil || w.half, w.err
		}})
}

// until has a keeper look each minute.
func (w *world) until(t *testing.T, k *Keeper, clock string, want ...string) {
	t.Helper()
	end, err := time.Parse("2006-01-02 15:04", "2026-11-27 "+clock)
	if err != nil {
		t.Fatal(err)
	}
	for w.did = nil; w.now.Before(end); w.now = w.now.Add(every) {
		k.look(t.Context(), w.now)
	}
	if fmt.Sprint(w.did) != fmt.Sprint(want) {
		t.Errorf("until %s: %q, want %q", clock, w.did, want)
	}
}

func TestKeeper(t *testing.T) {
	hourly := &snapshot.Schedule{Rule: snapshot.Rule{Hourly: 2}}
	w := &world{now: time.Date(2026, 11, 27, 10, 30, 0, 0, time.UTC), newest: map[wire.CTID]time.Time{}, halted: map[wire.CTID]bool{}}
	k := w.keeper()
	w.until(t, k, "10:32") // nothing is known yet
	w.work = &host.Work{Containers: []host.Container{{CTID: 101, Run: true, Snapshots: hourly}, {CTID: 102, Run: true},
		{CTID: 103, Snapshots: hourly}, {CTID: 104, Run: true, Remove: true, Snapshots: hourly},
		{CTID: 105, Run: true, Snapshots: hourly, Move: &move.Part{}}}}
	w.until(t, k, "10:35", "10:32 101") // at once, and only of what runs, and stays
	w.until(t, k, "12:10", "11:00 101", "12:00 101")

	// Another agent goes on with what there is.
	k = w.keeper()
	w.until(t, k, "12:59")
	w.until(t, k, "13:05", "13:00 101")

	// One that fails is a problem, and tried again.
	w.err = errors.New("no space left on device")
	w.until(t, k, "14:15", "14:00 101", "14:10 101")
	if ps := k.Problems(); len(ps) != 1 || ps[0].CTID != 101 || ps[0].Reason != "no space left on device" ||
		ps[0].Object != snapshot.ScheduleObject(101) || !strings.Contains(ps[0].Next, "hnctl node snapshot list 101") {
		t.Errorf("problems: %+v", ps)
	}
	w.err = nil
	w.until(t, k, "14:25", "14:20 101")
	if ps := k.Problems(); len(ps) != 0 {
		t.Errorf("problems after it was taken: %+v", ps)
	}

	// Where only the deletion of old ones fails, none is taken anew.
	w.err, w.half = errors.New("input/output error"), true
	w.until(t, k, "15:25", "15:00 101")
	w.until(t, k, "16:05", "16:00 101")
	if ps := k.Problems(); len(ps) != 1 {
		t.Errorf("problems of the deletion: %+v", ps)
	}
	w.err, w.half = nil, false

	// What does not run at the time gets one when it does.
	w.halted[101] = true
	w.until(t, k, "17:10")
	if ps := k.Problems(); len(ps) != 0 {
		t.Errorf("problems of one that does not run: %+v", ps)
	}
	delete(w.halted, 101)
	w.until(t, k, "17:15", "17:10 101")

	// A clock that goes back holds it up for ten minutes at most.
	w.err = errors.New("full")
	w.until(t, k, "18:01", "18:00 101")
	w.now, w.err = w.now.Add(-8*time.Hour), nil
	w.until(t, k, "10:05", "10:01 101")

	// The schedule is taken away.
	w.err = errors.New("full")
	w.until(t, k, "11:01", "11:00 101")
	w.work = &host.Work{Containers: []host.Container{{CTID: 101, Run: true}}}
	w.until(t, k, "13:00")
	if ps := k.Problems(); len(ps) != 0 {
		t.Errorf("problems without a schedule: %+v", ps)
	}
}
