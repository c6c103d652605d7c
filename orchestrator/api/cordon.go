package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/internal/wire/upkeep"
	"hardnode.dev/orchestrator/ops"
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

type drainInput struct {
	Host   string `path:"host" maxLength:"63"`
	DryRun bool   `query:"dry_run" doc:"Only say how each node would leave"`
	NoMove bool   `query:"no_move" doc:"Stop nodes with volumes where they are, and move none to another host with its data"`
	Key    string `header:"Idempotency-Key" maxLength:"100" doc:"A repeated request with the same key is answered as the first one, for a day"`
	Body   operator.DrainHost
}

// drainHost empties a host. What can't leave it is found out before anything is stored.
func (s *Server) drainHost(ctx context.Context, c caller, in *drainInput) (*acceptedAnswer, error) {
	h, ok := c.world().Host(in.Host)
	if !ok {
		return nil, noHost(in.Host)
	}
	what := fmt.Sprintf("POST /hosts/%s/drain %v %s", h.ID, in.Body.Stop, in.Body.Reason)
	if in.NoMove {
		what += " no_move"
	}
	if again, err := s.repeated(c, in.Key, what); !in.DryRun && (again != nil || err != nil) {
		return again, err
	}
	if err := upkeep.Line("reason", in.Body.Reason, upkeep.MaxReason); err != nil {
		return nil, operator.NewProblem(operator.Invalid, "reason", err.Error(), "give one line of at most 200 bytes")
	}
	nodes := s.Leaving(h.ID, in.Body.Stop, in.NoMove)
	if in.DryRun {
		return &acceptedAnswer{Status: 200, Body: operator.Accepted{Drain: nodes}}, nil
	}
	if _, err := answering(c.world(), in.Host); err != nil {
		return nil, err
	}
	var op operator.Operation
	err := s.do(c, "host.drain", because(h, in.Body.Reason), func() (err error) {
		if p := operator.Stuck(h.Name, nodes); p != nil {
			return p
		}
		op, err = s.Ops.Drain(ctx, ops.DrainRequest{Host: h.ID, DrainHost: in.Body, NoMove: in.NoMove, By: c.Name,
			Also: remember(c, in.Key, what)})
		return err
	})
	if err != nil {
		return nil, err
	}
	return accepted(op), nil
}
