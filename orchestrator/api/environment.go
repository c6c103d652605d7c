package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"hardnode.dev/internal/logging"
	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/ops"
)

type environmentAnswer struct {
	ETag string `header:"ETag" doc:"The environment's revision, quoted"`
	Body operator.Environment
}

type environmentInput struct {
	Env wire.EnvName `path:"env" maxLength:"40"`
}

type environmentsInput struct {
	PageInput
	Trash bool `query:"trash" doc:"Those in the trash, and no others"`
}

func (s *Server) listEnvironments(_ context.Context, c caller, in *environmentsInput) (operator.List[operator.Environment], error) {
	if in.Trash {
		return page(in.PageInput, c.world().Trash())
	}
	return page(in.PageInput, s.worldOf(c).Environments())
}

func (s *Server) getEnvironment(_ context.Context, c caller, in *environmentInput) (*environmentAnswer, error) {
	e, ok := c.world().Environment(in.Env)
	if !ok {
		return nil, noEnvironment(in.Env)
	}
	return &environmentAnswer{strconv.Quote(e.Revision.String()), e}, nil
}

func noEnvironment(name wire.EnvName) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "environments/"+string(name), "there is no such environment", "see hnctl env list")
}

type createInput struct {
	DryRun bool   `query:"dry_run" doc:"Only say where the nodes would go, or why it can't be"`
	Undo   bool   `query:"undo" doc:"If it fails, remove at once what was made; else it stays broken, with its logs, for a week"`
	Key    string `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
	Body   operator.EnvironmentSpec
}

func (s *Server) createEnvironment(ctx context.Context, c caller, in *createInput) (*acceptedAnswer, error) {
	what := "POST /environments"
	if in.Undo {
		what = "POST /environments?undo=true"
	}
	return s.create(ctx, c, in, what)
}

// create makes an environment. What was asked for, with the spec, is what a repeated request asks for again.
func (s *Server) create(ctx context.Context, c caller, in *createInput, what string) (*acceptedAnswer, error) {
	if p := env.Validate(in.Body); p != nil {
		return nil, s.explained(c, p, in.Body)
	}
	spec, err := s.Secrets.Seal(c.Account, in.Body, nil)
	if err != nil {
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
	if p := ops.Peers(s.Store.View(), c.Account, operator.EnvironmentSpec{}, spec); p != nil {
		return nil, s.explained(c, p, spec)
	}
	plan, problem := s.DryRun(c.Account, spec)
	if problem != nil && problem.Code == operator.NotFound && s.RefreshTemplates != nil {
		// The template may have been pushed a moment ago.
		if err := s.RefreshTemplates(ctx); err != nil {
			logging.Or(s.Log).Info("templates are as last known", logging.Reason, err)
			problem.Reason += "; and the registry was not reached just now: " + err.Error()
		} else {
			plan, problem = s.DryRun(c.Account, spec)
		}
	}
	if problem != nil {
		return nil, s.explained(c, problem, spec)
	}
	if p := s.Accounts.Room(c.Account, spec); p != nil {
		return nil, p
	}
	if in.DryRun {
		return &acceptedAnswer{Status: 200, Body: operator.Accepted{Plan: plan}}, nil
	}
	return s.accept(ctx, c, ops.Request{Kind: "env.create", Env: spec.Name, Spec: &spec, Remove: in.Undo}, in.Key, what)
}

// changeInput is a change of an environment that needs no body.
type changeInput struct {
	Env     wire.EnvName `path:"env" maxLength:"40"`
	IfMatch string       `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Key     string       `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
}

func (s *Server) keepEnvironment(ctx context.Context, c caller, in *environmentInput) (*environmentAnswer, error) {
	if err := s.do(c, "env.keep", "environments/"+string(in.Env), func() error { return s.Ops.Keep(ctx, in.Env, c.Account) }); err != nil {
		return nil, err
	}
	return s.getEnvironment(ctx, c, in)
}

type groupInput struct {
	Env  wire.EnvName `path:"env" maxLength:"40"`
	Body operator.EnvironmentGroup
}

func (s *Server) setGroup(ctx context.Context, c caller, in *groupInput) (*environmentAnswer, error) {
	if _, err := s.getEnvironment(ctx, c, &environmentInput{in.Env}); err != nil {
		return nil, err
	}
	if err := s.do(c, "env.group", "environments/"+string(in.Env), func() error {
		return s.Ops.SetGroup(ctx, in.Env, c.Account, in.Body.Group)
	}); err != nil {
		return nil, err
	}
	return s.getEnvironment(ctx, c, &environmentInput{in.Env})
}

// changeEnvironment is the endpoint of a change that needs no body.
func (s *Server) changeEnvironment(kind string, r route) func(context.Context, caller, *changeInput) (*acceptedAnswer, error) {
	return func(ctx context.Context, c caller, in *changeInput) (*acceptedAnswer, error) {
		rev, err := revision(in.IfMatch)
		if err != nil {
			return nil, err
		}
		return s.accept(ctx, c, ops.Request{Kind: kind, Env: in.Env, IfMatch: rev}, in.Key, r.method+" "+r.path+" "+string(in.Env))
	}
}

func revision(etag string) (wire.Revision, error) {
	if etag == "" || etag == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(etag, "W/"), `"`), 10, 64)
	if err != nil || n < 1 {
		reason := fmt.Sprintf("%q is no ETag of an environment", etag)
		return 0, operator.NewProblem(operator.Invalid, "If-Match", reason, "send the ETag that reading it answered with")
	}
	return wire.Revision(n), nil
}
