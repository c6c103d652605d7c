package api

import (
	"context"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
)

type cordonInput struct {
	Host string `path:"host" maxLength:"63"`
	Body operator.CordonHost
}

// cordonHost keeps new nodes off a host; asked again it changes the reason. It may be one that does not answer.
func (s *Server) cordonHost(ctx context.Context, c caller, in *cordonInput) (operator.Host, error) {
	h, ok := c.world().Host(in.Host)
	if !ok {
		return h, noHost(in.Host)
	}
	if err := upkeep.Line("reason", in.Body.Reason, upkeep.MaxReason); err != nil {
		return h, operator.NewProblem(operator.Invalid, "reason", err.Error(), "give one line of at most 200 bytes")
	}
	if err := s.do(c, "host.cordon", because(h, in.Body.Reason), func() error {
		return s.Ops.Cordon(ctx, h.ID, c.Name, in.Body.Reason)
	}); err != nil {
		return h, err
	}
	return s.getHost(ctx, c, &hostInput{string(h.ID)})
}

func (s *Server) uncordonHost(ctx context.Context, c caller, in *hostInput) (operator.Host, error) {
	h, ok := c.world().Host(in.Host)
	if !ok {
		return h, noHost(in.Host)
	}
	if err := s.do(c, "host.uncordon", because(h, ""), func() error { return s.Ops.Uncordon(ctx, h.ID, c.Name) }); err != nil {
		return h, err
	}
	return s.getHost(ctx, c, &hostInput{string(h.ID)})
}
