package api

import (
	"context"

	"hardnode.dev/internal/build"
	"hardnode.dev/internal/wire/operator"
)

func (s *Server) getCluster(_ context.Context, c caller, _ *none) (operator.Cluster, error) {
	return c.world().Cluster(), nil
}

func (s *Server) rotateGossipKey(ctx context.Context, c caller, _ *none) (operator.Cluster, error) {
	err := s.do(c, "cluster.rotate-gossip-key", "cluster/gossip-key", func() error { return s.RotateGossip(ctx, c.Name) })
	if err != nil {
		return operator.Cluster{}, err
	}
	return c.world().Cluster(), nil
}

func (s *Server) getVersion(context.Context, caller, *none) (operator.Version, error) {
	return operator.Version{Version: build.Version}, nil
}
