package api

import (
	"context"

	"hardnode.dev/internal/wire"
	"hardnode.dev/internal/wire/operator"
)

type nodesInput struct {
	Env  wire.EnvName `query:"env" maxLength:"40" doc:"Of this environment only"`
	Host string       `query:"host" maxLength:"63" doc:"On this host only, by id or name"`
	PageInput
}

func (s *Server) listNodes(_ context.Context, c caller, in *nodesInput) (operator.List[operator.Node], error) {
	return page(in.PageInput, s.worldOf(c).Nodes(in.Env, in.Host))
}

type nodeInput struct {
	CTID wire.CTID `path:"ctid" minimum:"1"`
}

func (s *Server) getNode(_ context.Context, c caller, in *nodeInput) (operator.Node, error) {
	n, ok := c.world().Node(in.CTID)
	if !ok {
		return n, noNode(in.CTID)
	}
	return n, nil
}

func noNode(id wire.CTID) *operator.Problem {
	return operator.NewProblem(operator.NotFound, "nodes/"+id.String(), "there is no such node", "see hnctl node list")
}
