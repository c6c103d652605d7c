//go:build guest

package container_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hardnode.dev/agent/snapshot/schedule"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	wiresnapshot "hardnode.dev/internal/wire/snapshot"
)

// TestSchedule: in two weeks of a clock that the test sets, a container's schedule makes snapshots that hold what was written by then, and
// deletes those of them, with their subvolumes, that its rule does not keep; each time it is another agent that looks.
func TestSchedule(t *testing.T) {
	g := newRig(t)
	s := g.box(514, 1, 64*mib)
	s.Snapshots = &wiresnapshot.Schedule{Rule: wiresnapshot.Rule{Hourly: 2, Daily: 2, Weekly: 2}}
	g.start(s)
	real, began := time.Now().Round(0), time.Now()
	t.Cleanup(func() { setClock(t, real.Add(time.Since(began))) })
	for _, step := range []struct {
		clock string // of 2027-03, which begins on a Monday
		keeps string // by schedule, the newest first; each is named by the time at which it was taken
	}{
		{"01 10:30", "01 10:30"},
		{"01 10:50", "01 10:30"}, // none is due
		{"01 11:00", "01 11:00, 01 10:30"},
		{"01 12:10", "01 12:10, 01 11:00"},
		{"02 09:00", "02 09:00, 01 12:10"},
		{"03 09:00", "03 09:00, 02 09:00"},
		{"08 09:00", "08 09:00, 03 09:00"},
		{"15 09:00", "15 09:00, 08 09:00"},
		{"15 10:00", "15 10:00, 15 09:00, 08 09:00"}, // an hour and a week
		{"15 11:00", "15 11:00, 15 10:00, 08 09:00"},
	} {
		now, err := time.Parse("2006-01-02 15:04", "2027-03-"+step.clock)
		must(t, err)
		setClock(t, now)
		g.sh(514, "echo "+step.clock+" > /srv/when; sync")
		g.again().keeps(s.Container)
		g.kept(514, step.keeps)
		if step.clock == "01 10:50" { // what is taken by hand is not the schedule's
			g.ask(514, wiresnapshot.Ask{Action: wiresnapshot.Take, Note: "by hand", NoHook: true})
		}
	}
	must(t, g.r.Stop(deadline(t), 514))
	setClock(t, time.Date(2027, 3, 16, 9, 0, 0, 0, time.UTC))
	g.again().keeps(s.Container)
	g.kept(514, "15 11:00, 15 10:00, 08 09:00") // it does not run: nothing of it changes
}

// setClock sets the machine's clock. Timers go on as before.
func setClock(t testing.TB, to time.Time) {
	t.Helper()
	ts := unix.NsecToTimespec(to.UnixNano())
	must(t, unix.ClockSettime(unix.CLOCK_REALTIME, &ts))
}

// keeps has an agent's keeper of schedules look once.
func (g *rig) keeps(c host.Container) {
	g.Helper()
	ctx, looked := context.WithCancel(deadline(g.T))
	defer looked()
	var failed error
	k := schedule.New(schedule.Options{Work: func() *host.Work { return &host.Work{Containers: []host.Container{c}} },
		Newest: func(id wire.CTID) time.Time {
			newest := g.a.Newest(id)
			if !c.Snapshots.Due(newest, time.Now()) {
				looked()
			}
			return newest
		},
		Take: func(ctx context.Context, id wire.CTID, s wiresnapshot.Schedule) (taken bool, err error) {
			defer looked()
			taken, failed = g.a.Scheduled(ctx, id, s)
			if taken == (failed == schedule.ErrNotNow) {
				g.Errorf("taken: %v, %v", taken, failed)
			}
			return taken, failed
		}})
	must(g.T, k.Run(ctx))
	if failed != nil && failed != schedule.ErrNotNow {
		g.Fatal(failed)
	}
}

// kept looks for the snapshots that the schedule has kept, and the one that was taken by hand, in the list and on the disk.
func (g *rig) kept(id wire.CTID, want string) {
	g.Helper()
	var got []string
	there := map[string]bool{}
	for _, s := range g.ask(id, wiresnapshot.Ask{Action: wiresnapshot.List}).Snapshots {
		there[string(s.ID)] = true
		if !s.Scheduled {
			continue
		}
		when, err := os.ReadFile(filepath.Join("/data/snap", id.String(), string(s.ID), "vol-data/when"))
		must(g.T, err)
		if taken := s.Taken.UTC().Format("02 15:04"); taken != strings.TrimSpace(string(when)) {
			g.Errorf("the snapshot of %s holds what was written by %s", taken, when)
		}
		got = append(got, s.Taken.UTC().Format("02 15:04"))
	}
	if list := strings.Join(got, ", "); list != want {
		g.Errorf("the schedule keeps %s, want %s", list, want)
	}
	entries, err := os.ReadDir(filepath.Join("/data/snap", id.String()))
	must(g.T, err)
	for _, e := range entries {
		if !there[e.Name()] {
			g.Errorf("on the disk there is %s, which is no snapshot", e.Name())
		}
	}
	if len(entries) != len(there) {
		g.Errorf("%d snapshots are listed, %d are there", len(there), len(entries))
	}
}
