package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/snapshot"
	"hardnode.dev/orchestrator/authz"
	"hardnode.dev/orchestrator/store"
)

func (s *Server) scheduleOperations() {
	const path = "/nodes/{ctid}/snapshots/schedule"
	serve(s, route{"getSnapshotSchedule", "GET", path, "When a node's host takes snapshots of it by itself", authz.Read, 200},
		s.getSchedule)
	serve(s, route{"setSnapshotSchedule", "PUT", path, "Have a node's host take snapshots of it by itself, and delete the old ones of them",
		authz.Write, 200}, s.setSchedule)
}

func (s *Server) getSchedule(_ context.Context, c caller, in *nodeInput) (operator.NodeSchedule, error) {
	w := c.world()
	n, there := store.Nodes.Get(w.View, in.CTID.String())
	e, known := store.Envs.Get(w.View, string(n.Env))
	if !there || !known || n.Gone || !c.Account.Sees(e.Account) {
		return operator.NodeSchedule{}, noNode(in.CTID)
	}
	out := operator.NodeSchedule{CTID: n.CTID, Revision: store.Envs.Revision(w.View, string(n.Env))}
	if now := e.ScheduleOf(n.Layer, n.Index+1); now != nil {
		out.SnapshotSchedule = operator.SnapshotSchedule{Hourly: now.Hourly, Daily: now.Daily, Weekly: now.Weekly, NoHook: now.NoHook}
	}
	if r := w.Live[n.Host].Report; r != nil {
		for _, said := range r.Problems {
			if said.CTID == n.CTID && said.Object == snapshot.ScheduleObject(n.CTID) {
				out.Problem = said.Reason
			}
		}
	}
	return out, nil
}

type scheduleInput struct {
	CTID    wire.CTID `path:"ctid" minimum:"1"`
	IfMatch string    `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Body    operator.SnapshotSchedule
}

// setSchedule replaces the schedule of a node's snapshots.
func (s *Server) setSchedule(ctx context.Context, c caller, in *scheduleInput) (out operator.NodeSchedule, err error) {
	rev, err := revision(in.IfMatch)
	if err == nil {
		_, err = s.getSchedule(ctx, c, &nodeInput{in.CTID})
	}
	if err != nil {
		return out, err
	}
	var want *snapshot.Schedule
	if b := in.Body; b != (operator.SnapshotSchedule{}) {
		want = &snapshot.Schedule{Rule: snapshot.Rule{Hourly: b.Hourly, Daily: b.Daily, Weekly: b.Weekly}, NoHook: b.NoHook}
	}
	if err := s.do(c, "node.snapshot.schedule", "nodes/"+in.CTID.String(), func() error {
		return s.Ops.SetSchedule(ctx, in.CTID, c.Account, want, rev)
	}); err != nil {
		return out, err
	}
	return s.getSchedule(ctx, c, &nodeInput{in.CTID})
}
