package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops/progress"
	"hardnode.dev/orchestrator/world"
)

type renameInput struct {
	Env     wire.EnvName `path:"env" maxLength:"40"`
	IfMatch string       `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Body    operator.RenameEnvironment
}

func (s *Server) renameEnvironment(ctx context.Context, c caller, in *renameInput) (*environmentAnswer, error) {
	rev, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if _, there := c.world().Environment(in.Env); !there {
		return nil, noEnvironment(in.Env)
	}
	what := fmt.Sprintf("environments/%s (now %s)", in.Env, in.Body.Name)
	if err := s.do(c, progress.Rename, what, func() error {
		return s.Ops.Rename(ctx, in.Env, in.Body.Name, c.Account, rev)
	}); err != nil {
		return nil, err
	}
	if c.Envs != nil { // the token's list follows, but not the one that this request came in with
		c.world = func() world.World { return s.World(c.Account).Within([]wire.EnvName{in.Body.Name}) }
	}
	return s.getEnvironment(ctx, c, &environmentInput{in.Body.Name})
}
