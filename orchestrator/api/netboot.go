package api

import (
	"cmp"
	"context"

	"hardnode.dev/internal/wire/host"
	"hardnode.dev/internal/wire/operator"
	"hardnode.dev/orchestrator/env"
	"hardnode.dev/orchestrator/store"
)

func (s *Server) getNetboot(_ context.Context, c caller, _ *none) (operator.Netboot, error) {
	return s.netboot(c), nil
}

// netboot is the setting with what its component is at.
func (s *Server) netboot(c caller) operator.Netboot {
	out, w := s.Netboot.Show(), c.world()
	for n := range store.NodesOf.Of(w.View, string(env.System)) {
		if n.Container.Component == host.ComponentNetboot {
			shown := w.NodeOf(n)
			out.CTID, out.State, out.Reason = shown.CTID, shown.State, cmp.Or(out.Reason, shown.Note(w.Now))
		}
	}
	return out
}

func (s *Server) enableNetboot(ctx context.Context, c caller, in *body[operator.NewNetboot]) (operator.Netboot, error) {
	err := s.do(c, "netboot.enable", "cluster/netboot", func() error { return s.Netboot.Enable(ctx, c.Name, in.Body) })
	if err != nil {
		return operator.Netboot{}, err
	}
	return s.netboot(c), nil
}

func (s *Server) disableNetboot(ctx context.Context, c caller, _ *none) (*struct{}, error) {
	return &struct{}{}, s.do(c, "netboot.disable", "cluster/netboot", func() error { return s.Netboot.Disable(ctx) })
}
