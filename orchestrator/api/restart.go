package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/ops"
	"hardnode.dev/orchestrator/ops/progress"
)

type restartInput struct {
	Env     wire.EnvName `path:"env" maxLength:"40"`
	IfMatch string       `header:"If-Match" maxLength:"40" doc:"Only if the environment still has this ETag"`
	Key     string       `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
	Body    operator.RestartEnvironment
}

func (s *Server) restartEnvironment(ctx context.Context, c caller, in *restartInput) (*acceptedAnswer, error) {
	rev, err := revision(in.IfMatch)
	if err != nil {
		return nil, err
	}
	return s.accept(ctx, c, ops.Request{Kind: progress.Restart, Env: in.Env, IfMatch: rev, Restart: in.Body}, in.Key,
		fmt.Sprintf("POST /environments/%s/restart %+v", in.Env, in.Body))
}
