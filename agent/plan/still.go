package plan

import (
	"slices"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
)

// Still is Work in which what a move has stand still is not run: its data is kept.
func Still(w *host.Work, states map[wire.CTID]*move.State) *host.Work {
	if w == nil {
		return nil
	}
	out := w
	for i, c := range w.Containers {
		s := states[c.CTID]
		if !c.Run || !c.Move.Still(s != nil && c.Move != nil && s.ID == c.Move.ID && s.Phase == move.Last && s.Arrived) {
			continue
		}
		if out == w {
			next := *w
			next.Containers = slices.Clone(w.Containers)
			out = &next
		}
		out.Containers[i].Run = false
	}
	return out
}
