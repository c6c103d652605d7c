package main

import (
	"context"

	"hardnode.dev/agent/jemcall"
	"hardnode.dev/agent/snapshot/answer"
	"hardnode.dev/agent/snapshot/schedule"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/host"
)

// newSchedule makes what takes snapshots of containers by their schedules.
func (a *agent) newSchedule() *schedule.Keeper {
	s := a.snapshots()
	return schedule.New(schedule.Options{Work: a.work, Newest: s.Newest, Take: s.Scheduled, LetGo: s.LetGo, Log: a.log})
}

// snapshots answers what is asked of containers' snapshots.
func (a *agent) snapshots() *answer.Answerer {
	var calls jemcall.Calls
	return &answer.Answerer{Runtime: a.runtime, Store: a.runtime.Snapshots(), Restarts: true, Log: a.log,
		Restored: func(id wire.CTID, elsewhere bool) { a.retune.Restored(id, elsewhere) },
		JEM: func(ctx context.Context, id wire.CTID, action string) (string, error) {
			reply, err := calls.Do(ctx, id, host.JEMRequest{Module: "backup", Action: action}, a.runtime.Told(ctx, id), a.runtime.Exec)
			return reply.Message, err
		}}
}
