package progress

import (
	"slices"
	"time"

	"hardnode.dev/orchestrator/store"
)

// KeepFinal is how many ended operations are kept, of environments and of imports each, and KeepFor how long.
const (
	KeepFinal = 500
	KeepFor   = 7 * 24 * time.Hour
)

// Expired are the ended operations that are no longer kept.
func Expired(ended []store.Operation, now time.Time) []store.Operation {
	slices.SortFunc(ended, func(a, b store.Operation) int { return b.Updated.Compare(a.Updated) })
	var old []store.Operation
	for i, op := range ended {
		if i >= KeepFinal || now.Sub(op.Updated) > KeepFor {
			old = append(old, op)
		}
	}
	return old
}
