package api

import (
	"context"
	"encoding/json"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
)

type redeployInput struct {
	Env     wire.EnvName `path:"env" maxLength:"40"`
	DryRun  bool         `query:"dry_run" doc:"Only say what would be done to each node, or why it can't be"`
	IfMatch string       `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Key     string       `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
	Body    operator.RedeployEnvironment
}

// redeployEnvironment makes the nodes of layers anew from an image: it is an edit of these layers alone.
func (s *Server) redeployEnvironment(ctx context.Context, c caller, in *redeployInput) (*acceptedAnswer, error) {
	rev, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	fingerprint, err := json.Marshal(in.Body)
	if err != nil {
		return nil, err
	}
	r := ops.Edit{Redeploy: &in.Body}
	return s.anew(ctx, c, in.Env, rev, r, in.DryRun, in.Key, fmt.Sprintf("POST /environments/%s/redeploy %s", in.Env, fingerprint))
}

// anew takes an edit in that has no spec of its own: it goes by the environment's.
func (s *Server) anew(ctx context.Context, c caller, name wire.EnvName, rev wire.Revision, r ops.Edit, dry bool, key, what string) (
	*acceptedAnswer, error) {
	w := c.world()
	if _, there := w.Environment(name); !there {
		return nil, noEnvironment(name)
	}
	if !dry {
		if again, err := s.repeated(c, key, what); again != nil || err != nil {
			return again, err
		}
	}
	s.templates.RLock()
	defer s.templates.RUnlock()
	e, _ := store.Envs.Get(w.View, string(name))
	if p := progress.Refusal(progress.Edit, name, &e, store.Envs.Revision(w.View, string(name)), rev); p != nil {
		return nil, p
	}
	r.Memory = memoryOf(w)
	plan, p := ops.PlanEdit(w.View, e, e.Declared(), r)
	if p != nil {
		return nil, p
	}
	if dry {
		return &acceptedAnswer{Status: 200, Body: operator.Accepted{Edit: &plan}}, nil
	}
	return s.accept(ctx, c, ops.Request{Kind: progress.Edit, Env: name, IfMatch: rev, Edit: r}, key, what)
}

type undoInput struct {
	Env     wire.EnvName `path:"env" maxLength:"40"`
	DryRun  bool         `query:"dry_run" doc:"Only say what would be done to each node, and what would go"`
	IfMatch string       `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Key     string       `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
	Body    operator.UndoRedeploy
}

// undoRedeploy makes nodes again what they were before the last redeploy of their layer.
func (s *Server) undoRedeploy(ctx context.Context, c caller, in *undoInput) (*acceptedAnswer, error) {
	rev, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	r := ops.Edit{Undo: &in.Body}
	return s.anew(ctx, c, in.Env, rev, r, in.DryRun, in.Key, fmt.Sprintf("POST /environments/%s/undo %v", in.Env, in.Body.Volumes))
}
