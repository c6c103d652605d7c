package api

import (
	"context"

	"hardnode.dev/internal/wire/operator"
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

func noHost(name string) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "hosts/"+name, "there is no such host", "see hnctl host list")
}
