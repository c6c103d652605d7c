package api

import (
	"context"
	"fmt"
	"net/http"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/patch"
)

// Rollouts is what the API needs of the Patcher, which has the rollouts.
type Rollouts interface {
	// Call asks for one of the paths of wire/patch, on behalf of by.
	Call(ctx context.Context, method, path, by string, in, out any) error
}

type rolloutInput struct {
	Rollout string `path:"rollout" maxLength:"40" pattern:"^[a-z0-9-]+$"`
}

func (s *Server) planRollout(ctx context.Context, c caller, in *body[operator.NewRollout]) (out operator.RolloutPlan, err error) {
	err = s.Rollouts.Call(ctx, http.MethodPost, patch.Plan, orderer(c), in.Body, &out)
	return out, err
}

func (s *Server) startRollout(ctx context.Context, c caller, in *body[operator.NewRollout]) (out operator.Rollout, err error) {
	err = s.do(c, "rollout.start", "releases/"+in.Body.Release, func() error {
		return s.Rollouts.Call(ctx, http.MethodPost, patch.Rollouts, orderer(c), in.Body, &out)
	})
	return out, err
}

func (s *Server) listRollouts(ctx context.Context, c caller, in *PageInput) (out operator.List[operator.Rollout], err error) {
	var all operator.List[operator.Rollout]
	if err := s.Rollouts.Call(ctx, http.MethodGet, patch.Rollouts, orderer(c), nil, &all); err != nil {
		return out, err
	}
	return page(*in, listed(all.Items, func(r operator.Rollout) string { // the newest first
		return fmt.Sprintf("%020d %s", 1<<62-r.Created.UnixNano(), r.ID)
	}))
}

func (s *Server) getRollout(ctx context.Context, c caller, in *rolloutInput) (out operator.Rollout, err error) {
	err = s.Rollouts.Call(ctx, http.MethodGet, patch.Rollouts+"/"+in.Rollout, orderer(c), nil, &out)
	return out, err
}

func (s *Server) reportRollout(ctx context.Context, c caller, in *rolloutInput) (out operator.RolloutReport, err error) {
	err = s.Rollouts.Call(ctx, http.MethodGet, patch.Rollouts+"/"+in.Rollout+"/report", orderer(c), nil, &out)
	return out, err
}

// changeRollout is pause, resume and abort.
func (s *Server) changeRollout(verb string) func(context.Context, caller, *rolloutInput) (operator.Rollout, error) {
	return func(ctx context.Context, c caller, in *rolloutInput) (out operator.Rollout, err error) {
		err = s.do(c, "rollout."+verb, "rollouts/"+in.Rollout, func() error {
			return s.Rollouts.Call(ctx, http.MethodPost, patch.Rollouts+"/"+in.Rollout+"/"+verb, orderer(c), nil, &out)
		})
		return out, err
	}
}
