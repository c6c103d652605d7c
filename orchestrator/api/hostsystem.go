package api

import (
	"context"
	"fmt"

	"hardnode.dev/internal/wire/operator"
)

type systemInput struct {
	Host string `path:"host" maxLength:"63"`
	Body operator.OrderSystem
}

func (s *Server) hostSystem(_ context.Context, c caller, in *hostInput) (operator.HostSystem, error) {
	out, ok := c.world().HostSystem(in.Host)
	if !ok {
		return out, noHost(in.Host)
	}
	out.Image = s.Systems.Image(out.Status)
	return out, nil
}

func (s *Server) orderHostSystem(ctx context.Context, c caller, in *systemInput) (out operator.HostSystem, err error) {
	w := c.world()
	h, ok := w.Host(in.Host)
	if !ok {
		return out, noHost(in.Host)
	}
	object := fmt.Sprintf("hosts/%s %s %s", h.Name, in.Body.Step, in.Body.Release)
	if in.Body.Reason != "" {
		object += fmt.Sprintf(" %q", in.Body.Reason)
	}
	is, _ := w.HostSystem(in.Host)
	err = s.do(c, "host.system", object, func() error { return s.Systems.Order(ctx, h.ID, h.Name, h.Boot, is.Status, in.Body, orderer(c)) })
	if err != nil {
		return out, err
	}
	out, _ = c.world().HostSystem(in.Host)
	return out, nil
}

func (s *Server) takeBackHostSystem(ctx context.Context, c caller, in *hostInput) (out operator.HostSystem, err error) {
	h, ok := c.world().Host(in.Host)
	if !ok {
		return out, noHost(in.Host)
	}
	if err := s.do(c, "host.system", "hosts/"+h.Name+" none", func() error { return s.Systems.TakeBack(ctx, h.ID) }); err != nil {
		return out, err
	}
	out, _ = c.world().HostSystem(in.Host)
	return out, nil
}
