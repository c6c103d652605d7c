package ops

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/orchestrator/store"
)

// SetSchedule replaces the schedule of a node's snapshots, for a caller of an account; nil is none. A match of 0 is any revision of its
// environment.
func (o *Ops) SetSchedule(ctx context.Context, id wire.CTID, account wire.Account, s *snapshot.Schedule, match wire.Revision) error {
	if err := s.Validate(); err != nil {
		return operator.NewProblem(operator.Invalid, snapshot.ScheduleObject(id), err.Error(),
			"give other numbers; see hnctl node snapshot schedule --help")
	}
	return o.changeNode(ctx, id, account, match, func(_ *store.Tx, n store.Node, e *store.Environment) error {
		e.SetSchedule(n.Layer, n.Index+1, s)
		return nil
	})
}
