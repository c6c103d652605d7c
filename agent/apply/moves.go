package apply

import (
	"fmt"

	"hardnode.dev/agent/plan"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/move"
)

// stays says why a container must not be started here any more, or nil.
func (a *Applier) stays(id wire.CTID) error {
	work, _ := a.o.Store.Work()
	if work == nil {
		return nil
	}
	for _, c := range plan.Still(work, a.o.Moves.States()).Containers {
		if c.CTID == id && !c.Run && c.Move != nil {
			return fmt.Errorf("container %s is not started: it goes between this host and %s", id, c.Move.Peer)
		}
	}
	return nil
}

// moved says in the statuses how far each has moved.
func moved(statuses []host.ContainerStatus, states map[wire.CTID]*move.State) {
	for i := range statuses {
		statuses[i].Move = states[statuses[i].CTID]
	}
}

// movedOn tells whether more than counters of a move has changed.
func movedOn(a, b *move.State) bool {
	if a == nil || b == nil {
		return a != b
	}
	return a.ID != b.ID || a.Phase != b.Phase || a.Ready != b.Ready || a.Arrived != b.Arrived || a.Waits != b.Waits || a.Error != b.Error ||
		(a.Round == 0) != (b.Round == 0)
}
