package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/backup"
	"hardnode.dev/internal/wire/snapshot"
)

// ErrNeeded: others go on from the backup.
var ErrNeeded = errors.New("is needed by others")

// Delete removes a backup of a node that no other one goes on from (else ErrNeeded), and what is left of one that was cut. ErrNone: there
// is neither.
func Delete(ctx context.Context, p Place, node wire.CTID, id backup.ID) error {
	if err := id.Validate(); err != nil {
		return err
	}
	list, bad, err := listed(ctx, p, node)
	if err != nil {
		return err
	}
	for other, err := range bad {
		if other.id != id {
			return fmt.Errorf("backup %s of node %s: whether another one goes on from it is not known: %w", id, node, err)
		}
	}
	var by []string
	for _, m := range list {
		if m.Before == id && m.ID != id {
			by = append(by, string(m.ID))
		}
	}
	if len(by) > 0 {
		return fmt.Errorf("backup %s of node %s: %w: %s goes on from it, delete that first", id, node, ErrNeeded, strings.Join(by, ", "))
	}
	return remove(ctx, p, node, id)
}

// remove removes all of one, its manifest first: what a cut leaves is no backup.
func remove(ctx context.Context, p Place, node wire.CTID, id backup.ID) error {
	fail := func(err error) error { return fmt.Errorf("delete backup %s of node %s: %w", id, node, err) }
	names, err := p.List(ctx, dir(node, id))
	if err != nil {
		return fail(err)
	}
	if len(names) == 0 {
		return fmt.Errorf("backup %s of node %s: %w", id, node, ErrNone)
	}
	for _, name := range append([]string{dir(node, id) + manifest}, names...) {
		if err := p.Delete(ctx, name); err != nil {
			return fail(err)
		}
	}
	return nil
}

// Retention is what a rule makes of a node's backups.
type Retention struct {
	Gone   []Manifest `json:"gone"`   // each before the one that it goes on from
	Needed []Manifest `json:"needed"` // those of Stays that the rule does not keep, but which one that it keeps goes on from
	Stays  []Manifest `json:"stays"`  // the oldest first
}

// Retain says which of a node's backups go by a rule. None goes that one that stays goes on from.
func Retain(list []Manifest, r snapshot.Rule) (out Retention) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Manifest) int { return b.Taken.Compare(a.Taken) })
	at := map[backup.ID]int{}
	taken := make([]time.Time, len(list))
	for i, m := range list {
		at[m.ID], taken[i] = i, m.Taken
	}
	kept := r.Keeps(taken)
	stays := slices.Clone(kept)
	depth := make([]int, len(list)) // how many it goes on from
	for i := range list {
		for k := i; depth[i] < backup.MaxChain; depth[i]++ {
			before, ok := at[list[k].Before]
			if !ok {
				break
			}
			k = before
			stays[k] = stays[k] || kept[i]
		}
	}
	for i, m := range list {
		if !stays[i] {
			out.Gone = append(out.Gone, m)
			continue
		}
		out.Stays = append(out.Stays, m)
		if !kept[i] {
			out.Needed = append(out.Needed, m)
		}
	}
	slices.Reverse(out.Stays)
	slices.SortStableFunc(out.Gone, func(a, b Manifest) int { return depth[at[b.ID]] - depth[at[a.ID]] })
	return out
}

// cutStays is how long one that was cut stays in any case: it may be one that is being written.
const cutStays = 24 * time.Hour

// dropCuts removes what is left of backups that were cut and that newer ones have taken the place of.
func dropCuts(ctx context.Context, p Place, node wire.CTID, stays []Manifest) error {
	cuts, err := Cuts(ctx, p, node)
	for _, c := range cuts {
		if len(stays) > 0 && c.Taken.Before(stays[len(stays)-1].Taken) && time.Since(c.Written) > cutStays {
			err = errors.Join(err, remove(ctx, p, node, c.ID))
		}
	}
	return err
}

// Prune deletes the backups of a node that a rule does not keep, or with dry says which it would. With one that can't be read none goes:
// what it needs is not known.
func Prune(ctx context.Context, p Place, node wire.CTID, r snapshot.Rule, dry bool) (Retention, error) {
	list, err := List(ctx, p, node)
	if err != nil {
		return Retention{}, fmt.Errorf("none is deleted, since what this one goes on from is not known: %w", err)
	}
	out := Retain(list, r)
	if dry {
		return out, nil
	}
	if err := dropCuts(ctx, p, node, out.Stays); err != nil {
		return out, err
	}
	for i, m := range out.Gone {
		if err := remove(ctx, p, node, m.ID); err != nil && !errors.Is(err, ErrNone) {
			out.Gone = out.Gone[:i]
			return out, err
		}
	}
	return out, nil
}
