package api

import (
	"context"

	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/world"
)

type hostInput struct {
	Host string `path:"host" maxLength:"63"`
}

func (s *Server) listHosts(_ context.Context, c caller, in *PageInput) (operator.List[operator.Host], error) {
	return page(*in, c.world().Hosts())
}

func (s *Server) getHost(_ context.Context, c caller, in *hostInput) (operator.Host, error) {
	h, ok := c.world().Host(in.Host)
	if !ok {
		return h, noHost(in.Host)
	}
	return h, nil
}

func (s *Server) removeHost(ctx context.Context, c caller, in *hostInput) (*none, error) {
	h, ok := c.world().Host(in.Host)
	if !ok {
		return nil, noHost(in.Host)
	}
	return nil, s.do(c, "host.remove", "hosts/"+h.Name, func() error { return s.Enroll.Remove(ctx, h.ID, h.State) })
}

func (s *Server) createJoinToken(ctx context.Context, c caller, in *body[operator.NewJoinToken]) (made operator.JoinToken, err error) {
	err = s.do(c, "host.token", "hosts/"+in.Body.Name, func() (err error) {
		made, err = s.Enroll.NewToken(ctx, in.Body)
		return err
	})
	return made, err
}

// answering is a host that does what it is asked at this moment.
func answering(w world.World, name string) (operator.Host, error) {
	h, ok := w.Host(name)
	switch {
	case !ok:
		return h, noHost(name)
	case !h.State.Answers():
		return h, operator.NewProblem(operator.Unavailable, "hosts/"+h.Name, "it is "+string(h.State)+why(h.Reason)+"; nothing reaches it",
			"wait for it, or go to its console, its power button or its BMC")
	}
	return h, nil
}

func noHost(name string) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "hosts/"+name, "there is no such host", "see hnctl host list")
}
