package api

import (
	"context"
	"encoding/json"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/store"
	"hardnode.dev/orchestrator/world"
)

type editInput struct {
	Env        wire.EnvName `path:"env" maxLength:"40"`
	DryRun     bool         `query:"dry_run" doc:"Only say what would be done to each node, or why it can't be"`
	RemoveData bool         `query:"remove_data" doc:"Nodes with volumes, and volumes, may go with their data; else that is refused"`
	IfMatch    string       `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Key        string       `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
	Knows      string       `header:"Hardnode-Knows" maxLength:"200" doc:"The fields of a layer that the sender knows, of after, links, firewall and place, separated by commas: without one of them here an edit is refused that would take it away from a layer"`
	Body       operator.EnvironmentSpec
}

// editEnvironment makes an environment what a spec says.
func (s *Server) editEnvironment(ctx context.Context, c caller, in *editInput) (*acceptedAnswer, error) {
	rev, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	spec, w := in.Body, c.world()
	if p := env.Validate(spec); p != nil {
		return nil, s.explained(c, p, spec)
	}
	what := fmt.Sprintf("PUT /environments/%s %v", in.Env, in.RemoveData)
	if _, there := w.Environment(in.Env); !there {
		switch {
		case rev != 0:
			return nil, noEnvironment(in.Env)
		case spec.Name != in.Env:
			why := fmt.Sprintf("%q is not the environment that is asked for, %q", spec.Name, in.Env)
			return nil, operator.NewProblem(operator.Invalid, "name", why, "write the same name")
		}
		return s.create(ctx, c, &createInput{DryRun: in.DryRun, Key: in.Key, Body: spec}, what)
	}
	e, _ := store.Envs.Get(w.View, string(in.Env))
	if p := operator.Unmeant(e.Declared(), spec, in.Knows); p != nil {
		return nil, p
	}
	if spec, err = s.Secrets.Seal(e.Account, spec, &e.Spec); err != nil {
		return nil, err
	}
	fingerprint, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	what += " " + string(fingerprint)
	if !in.DryRun {
		if again, err := s.repeated(c, in.Key, what); again != nil || err != nil {
			return again, err
		}
	}
	s.templates.RLock()
	defer s.templates.RUnlock()
	if p := progress.Refusal(progress.Edit, in.Env, &e, store.Envs.Revision(w.View, string(in.Env)), rev); p != nil {
		return nil, p
	}
	r := ops.Edit{RemoveData: in.RemoveData, Memory: memoryOf(w)}
	plan, p := ops.PlanEdit(w.View, e, spec, r)
	var placed []operator.Node
	if p == nil {
		placed, p = s.DryRunEdit(e.Account, spec)
	}
	if p != nil {
		return nil, s.explained(c, p, spec)
	}
	if in.DryRun {
		return &acceptedAnswer{Status: 200, Body: operator.Accepted{Plan: placed, Edit: &plan}}, nil
	}
	return s.accept(ctx, c, ops.Request{Kind: progress.Edit, Env: in.Env, Spec: &spec, IfMatch: rev, Edit: r}, in.Key, what)
}

// memoryOf says how much memory a host has in all; 0: it does not say.
func memoryOf(w world.World) func(wire.HostID) int64 {
	return func(on wire.HostID) int64 {
		if said := w.Live[on].Report; said != nil {
			return said.Capacity.MemoryBytes
		}
		return 0
	}
}
