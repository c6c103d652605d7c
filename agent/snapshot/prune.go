package snapshot

import (
	"slices"
	"time"

	"hardnode.dev/internal/wire/snapshot"
)

// Prune says which of the snapshots go by the rule. The newest of what was kept from before a restore stays in any case.
func Prune(list []snapshot.Snapshot, r snapshot.Rule) (gone []snapshot.ID) {
	list = newestFirst(list)
	taken := make([]time.Time, len(list))
	for i, s := range list {
		taken[i] = s.Taken
	}
	stays := r.Keeps(taken)
	if i := slices.IndexFunc(list, func(s snapshot.Snapshot) bool { return s.Before != "" }); i >= 0 {
		stays[i] = true
	}
	for i, s := range list {
		if !stays[i] {
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
