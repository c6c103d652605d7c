package edit

import (
	"reflect"
	"slices"
	"time"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/orchestrator/store"
)

// Settled is a node whose edit is at its end and can't be undone any more: volumes that it dropped go, and if it was made anew, what it was
// before is kept for a while from now on.
func Settled(n store.Node, now time.Time) store.Node {
	if b := n.Made.Before; b != nil {
		n.Container.Dropped = Dropped(b.Container, n.Container)
		switch {
		case b.Container.Generation == n.Container.Generation:
		case n.Made.Spec.Redeploy.Undoes() && !reflect.DeepEqual(n.Made.Spec.Redeploy, b.Spec.Redeploy):
			n.Former = nil
		default:
			n.Former = &store.Former{Before: *b, Until: now.Add(store.UndoFor)}
			n.Former.Container.Formers = nil
		}
	}
	n.Container.Formers = Formers(nil, n.Former)
	n.Made = nil
	return n
}

// Formers are what a node's host keeps of it: what it was before an edit that is at work, and before its last redeploy.
func Formers(before *store.Before, last *store.Former) (list []host.Former) {
	for _, b := range []*store.Before{before, last.Was()} {
		if b != nil && !slices.ContainsFunc(list, func(f host.Former) bool { return f.Generation == b.Container.Generation }) {
			list = append(list, host.Former{Generation: b.Container.Generation, Image: b.Container.Image})
		}
	}
	return list
}
