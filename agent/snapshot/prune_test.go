package snapshot

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"hardnode.dev/internal/wire/snapshot"
)

func TestPrune(t *testing.T) {
	at := func(s string) snapshot.Snapshot {
		when, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return snapshot.Snapshot{ID: snapshot.ID(s), Taken: when}
	}
	before := at("2026-11-01 00:00") // a Sunday
	before.Before = "x"
	older := at("2026-10-31 00:00")
	older.Before = "y"
	day := []snapshot.Snapshot{at("2026-11-27 10:05"), at("2026-11-27 10:50"), at("2026-11-27 11:00"), at("2026-11-26 23:59"),
		at("2026-11-23 00:00"), at("2026-11-22 23:59"), at("2026-11-22 08:00"), at("2026-11-09 08:00")}
	for _, c := range []struct {
		name string
		list []snapshot.Snapshot
		r    snapshot.Rule
		want []snapshot.ID // stay
	}{
		{"none", nil, snapshot.Rule{Hourly: 1}, nil},
		{"one hour", day, snapshot.Rule{Hourly: 1}, []snapshot.ID{"2026-11-27 11:00"}},
		{"the newest of each hour", day, snapshot.Rule{Hourly: 3},
			[]snapshot.ID{"2026-11-27 11:00", "2026-11-27 10:50", "2026-11-26 23:59"}},
		{"days without any don't count", day, snapshot.Rule{Daily: 4},
			[]snapshot.ID{"2026-11-27 11:00", "2026-11-26 23:59", "2026-11-23 00:00", "2026-11-22 23:59"}},
		{"a week begins on Monday", day, snapshot.Rule{Weekly: 2}, []snapshot.ID{"2026-11-27 11:00", "2026-11-22 23:59"}},
		{"more than there are", day, snapshot.Rule{Weekly: 60}, []snapshot.ID{"2026-11-27 11:00", "2026-11-22 23:59", "2026-11-09 08:00"}},
		{"all rules together", day, snapshot.Rule{Hourly: 2, Daily: 2, Weekly: 2},
			[]snapshot.ID{"2026-11-27 11:00", "2026-11-27 10:50", "2026-11-26 23:59", "2026-11-22 23:59"}},
		{"the newest from before a restore", []snapshot.Snapshot{older, before, at("2026-11-27 10:05")}, snapshot.Rule{Hourly: 1},
			[]snapshot.ID{"2026-11-27 10:05", "2026-11-01 00:00"}},
		{"the clock of a new year", []snapshot.Snapshot{at("2027-01-03 10:00"), at("2026-12-28 10:00")}, snapshot.Rule{Weekly: 2},
			[]snapshot.ID{"2027-01-03 10:00"}},
	} {
		gone := Prune(c.list, c.r)
		var stay []snapshot.ID
		for _, s := range newestFirst(c.list) {
			if !slices.Contains(gone, s.ID) {
				stay = append(stay, s.ID)
			}
		}
		if fmt.Sprint(stay) != fmt.Sprint(c.want) || len(gone)+len(stay) != len(c.list) {
			t.Errorf("%s: stay %q, want %q", c.name, stay, c.want)
		}
	}
}
