package snapshot

import (
	"fmt"
	"slices"
	"time"

	"hardnode.dev/internal/wire/snapshot"
)

// Prune says which of the snapshots go by the rule. The newest of what was kept from before a restore stays in any case.
func Prune(list []snapshot.Snapshot, r snapshot.Rule) (gone []snapshot.ID) {
	list = newestFirst(list)
	stays := map[snapshot.ID]bool{}
	for _, k := range []struct {
		most int
		of   func(time.Time) string
	}{
		{r.Hourly, func(t time.Time) string { return t.Format("2006-01-02 15") }},
		{r.Daily, func(t time.Time) string { return t.Format("2006-01-02") }},
		{r.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, " ", w) }},
	} {
		last, n := "", 0
		for _, s := range list {
			if period := k.of(s.Taken.UTC()); period != last && n < k.most {
				last, stays[s.ID] = period, true
				n++
			}
		}
	}
	if i := slices.IndexFunc(list, func(s snapshot.Snapshot) bool { return s.Before != "" }); i >= 0 {
		stays[list[i].ID] = true
	}
	for _, s := range list {
		if !stays[s.ID] {
			gone = append(gone, s.ID)
		}
	}
	return gone
}

// newestFirst is a sorted copy.
func newestFirst(list []snapshot.Snapshot) []snapshot.Snapshot {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b snapshot.Snapshot) int { return b.Taken.Compare(a.Taken) })
	return list
}
